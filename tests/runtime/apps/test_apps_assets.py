"""Fetching assets: checked, whole, once. The packages here are made up; the real ones come in by `make assets`."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgeray.assets import asset, cache_path, catalog
from edgeray.assets.__main__ import main
from edgeray.assets.catalog import Derived, Original, Package
from edgeray.assets.fetch import fetch
from edgeray.errors import EdgeRayError, MissingAssetError

CONTENT = b"seven walkers and a van"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of package files; the cache is empty and knows tiny.bin, packed.bin and upper.txt."""
    monkeypatch.setenv("EDGERAY_CACHE_DIR", str(tmp_path / "cache"))
    packages = tmp_path / "packages"
    packages.mkdir()
    with zipfile.ZipFile(packages / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("data/tiny.bin", CONTENT)
    with tarfile.open(packages / "packed-2.0.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("package/packed.bin")
        info.size = len(CONTENT)
        tar.addfile(info, io.BytesIO(CONTENT))
    for name, client, pattern, member in (
        ("tiny.bin", "pip", "tiny-*.whl", "data/tiny.bin"),
        ("packed.bin", "npm", "packed-*.tgz", "package/packed.bin"),
    ):
        package = Package(client=client, name=name, version="0", file_pattern=pattern, download_bytes=1)  # type: ignore[arg-type]
        original = Original(
            name=name, package=package, member=member, sha256=hashlib.sha256(CONTENT).hexdigest()
        )
        monkeypatch.setitem(catalog.ORIGINALS, name, original)  # type: ignore[arg-type]
    upper = Derived(
        name="upper.txt", inputs=("tiny.bin", "packed.bin"), convert=lambda files: files[0].upper()
    )
    monkeypatch.setitem(catalog.DERIVED, "upper.txt", upper)  # type: ignore[arg-type]
    return packages


def files_in_cache(folder: Path) -> list[str]:
    return sorted(str(p.name) for p in (folder.parent / "cache").rglob("*") if p.is_file())


def test_a_file_comes_out_of_its_package_checked(folder: Path) -> None:
    said: list[str] = []
    paths = fetch(["tiny.bin", "packed.bin"], progress=said.append, package_folder=folder)
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT]
    assert paths == [asset("tiny.bin"), asset("packed.bin")]
    assert said == ["tiny.bin: fetched, sum right", "packed.bin: fetched, sum right"]


def test_what_is_there_is_not_fetched_again(folder: Path) -> None:
    fetch(["tiny.bin"], progress=lambda _: None, package_folder=folder)
    before = asset("tiny.bin").stat().st_mtime_ns
    for package in folder.iterdir():
        package.unlink()
    said: list[str] = []
    fetch(["tiny.bin"], progress=said.append, package_folder=folder)
    assert said == ["tiny.bin: there"]
    assert asset("tiny.bin").stat().st_mtime_ns == before


def test_a_damaged_file_is_fetched_again(folder: Path) -> None:
    fetch(["tiny.bin"], progress=lambda _: None, package_folder=folder)
    cache_path("tiny.bin").write_bytes(b"half of")
    fetch(["tiny.bin"], progress=lambda _: None, package_folder=folder)
    assert asset("tiny.bin").read_bytes() == CONTENT


def test_a_wrong_sum_leaves_nothing_behind(folder: Path) -> None:
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("data/tiny.bin", b"something else")
    with pytest.raises(EdgeRayError, match="expected: " + hashlib.sha256(CONTENT).hexdigest()):
        fetch(["tiny.bin"], progress=lambda _: None, package_folder=folder)
    assert files_in_cache(folder) == []
    with pytest.raises(MissingAssetError):
        asset("tiny.bin")


def test_a_package_without_the_file_is_named(folder: Path) -> None:
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("data/other.bin", CONTENT)
    with pytest.raises(EdgeRayError, match=r"tiny-1.0-py3-none-any.whl holds no data/tiny.bin"):
        fetch(["tiny.bin"], progress=lambda _: None, package_folder=folder)
    assert files_in_cache(folder) == []


def test_a_derived_file_is_made_once_of_what_it_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = fetch(["upper.txt"], progress=lambda _: None, package_folder=folder)
    assert path.read_bytes() == CONTENT.upper()
    assert files_in_cache(folder) == ["packed.bin", "tiny.bin", "upper.txt"]
    said: list[str] = []
    fetch(["upper.txt"], progress=said.append)
    assert said == ["upper.txt: there"]
    monkeypatch.setattr(catalog.models, "VERSION", "another")
    with pytest.raises(MissingAssetError):
        asset("upper.txt")  # made by an older converter: not taken


def test_a_converter_that_fails_leaves_no_derived_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(files: Any) -> bytes:
        raise ValueError("cannot translate")

    monkeypatch.setitem(
        catalog.DERIVED,  # type: ignore[arg-type]
        "upper.txt",
        Derived(name="upper.txt", inputs=("tiny.bin",), convert=broken),
    )
    with pytest.raises(ValueError, match="cannot translate"):
        fetch(["upper.txt"], progress=lambda _: None, package_folder=folder)
    assert files_in_cache(folder) == ["tiny.bin"]


def test_a_missing_client_is_named_with_a_remedy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(MissingAssetError, match=r"npm is not installed.*\n.*--from"):
        fetch(["packed.bin"], progress=lambda _: None)


def test_a_missing_asset_names_the_command(folder: Path) -> None:
    with pytest.raises(MissingAssetError, match=r"edgeray assets fetch vtest\.avi"):
        asset("vtest.avi")


def test_the_command_refuses_unknown_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "vtest.mp4"]) == 2
    said = capsys.readouterr()
    assert "vtest.mp4" in said.err
    assert "vtest.avi" in said.err
    assert said.out == ""


def test_looking_for_an_asset_imports_no_converter() -> None:
    script = "import sys, edgeray.assets; print(sorted({'torch', 'onnx', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
