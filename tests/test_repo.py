"""Habits of the repo, held by tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from policies.registry import (
    BATCH_JOB_POLICIES,
    CAMERA_POLICIES,
    FOG_POLICIES,
    ONE_SHOT_POLICIES,
    POLICIES,
    TRAINING_POLICIES,
)

REPO = Path(__file__).resolve().parent.parent
# "About 400": a tenth of slack, so that nobody squeezes a file by a line.
LONGEST = 440
# File: why it may be longer.
LONG_FILES: dict[str, str] = {}
# Distribution: the module that it is imported by, where the two names differ; "" where nobody imports it.
MODULES = {
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "pyzmq": "zmq",
    "pytest-timeout": "",
    "ruff": "",
    "mypy": "",
    "import-linter": "",
    "types-PyYAML": "",
    "types-psutil": "",
}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=REPO, check=True, capture_output=True, text=True
    ).stdout
    return [REPO / name for name in listed.split("\0") if name and (REPO / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def dependencies() -> list[str]:
    """Names of all distributions that pyproject.toml asks for."""
    tables = re.findall(r"^(?:dependencies|dev) = \[(.*?)^\]", text(REPO / "pyproject.toml"), re.S | re.M)
    return re.findall(r'"([A-Za-z0-9_.-]+)', "".join(tables))


def test_python_files_stay_short() -> None:
    lengths = {str(path.relative_to(REPO)): len(text(path).splitlines()) for path in tracked("*.py")}
    assert lengths
    assert {
        name: lines for name, lines in lengths.items() if lines > LONGEST and name not in LONG_FILES
    } == {}
    assert [name for name in LONG_FILES if lengths.get(name, 0) <= LONGEST] == [], (
        "no exception is needed there"
    )


def test_no_path_of_somebodys_machine() -> None:
    """A path that holds on one machine only is a bug elsewhere."""
    private = re.compile(r"(?<![\w.$~}])/(?:home|Users|root|work|mnt|farm)/\w+")
    found = [
        f"{path.relative_to(REPO)}: {match.group()}"
        for path in tracked(
            "*.py", "*.yaml", "*.toml", "*.md", "*.sh", "Makefile", ".ci/run", "*.service", "*.j2"
        )
        for match in private.finditer(text(path))
    ]
    assert found == []


def test_every_policy_is_in_the_readme() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", text(REPO / "README.md"), re.M))
    assert rows == {
        *(*POLICIES, *ONE_SHOT_POLICIES, *TRAINING_POLICIES),
        *(*BATCH_JOB_POLICIES, *FOG_POLICIES, *CAMERA_POLICIES),
    }


def test_links_of_documents_lead_somewhere() -> None:
    dead = []
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", text(path)):
            if (
                not target.startswith(("https://", "#"))
                and not (path.parent / target.partition("#")[0]).exists()
            ):
                dead.append(f"{path.relative_to(REPO)}: {target}")
    assert dead == []


def test_version_is_the_newest_in_the_changelog() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", "--version"], check=True, capture_output=True, text=True
    ).stdout.split()
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text(REPO / "CHANGELOG.md"), re.M)
    packaged = re.search(r'^version = "(.+)"', text(REPO / "pyproject.toml"), re.M)
    assert packaged is not None
    assert shown == ["edgeray", released[0]] == ["edgeray", packaged.group(1)]


def test_every_dependency_is_pinned_justified_and_used() -> None:
    pins = {
        line.split("==")[0].lower() for line in text(REPO / "constraints.txt").splitlines() if "==" in line
    }
    decisions = text(REPO / "edgeray" / "DECISIONS.md")
    code = "\n".join(text(path) for path in tracked("*.py"))
    names = dependencies()
    assert "ray" in names and "pytest" in names
    assert [name for name in names if name.lower() not in pins] == []
    assert [name for name in names if not re.search(rf"^\|.*\b{name}\b", decisions, re.M)] == []
    unused = [
        name
        for name in names
        if (module := MODULES.get(name, name)) and not re.search(rf"^\s*(import|from) {module}\b", code, re.M)
    ]
    assert unused == []


def test_constraints_give_each_python_one_version() -> None:
    """One line a name; or two, one below Python 3.11 and one from there on."""
    markers: dict[str, list[str]] = {}
    for line in text(REPO / "constraints.txt").splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r'([\w.-]+)==[\w.]+(?: ; python_version (<|>=) "3\.11")?', line)
        assert match, line
        markers.setdefault(match.group(1), []).append(match.group(2) or "any")
    assert {name: m for name, m in markers.items() if sorted(m) not in (["any"], ["<"], ["<", ">="])} == {}
    assert markers["torch"] == ["any"]


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "clean", "setup", "assets"])
def test_make_knows_its_targets(target: str) -> None:
    shown = subprocess.run(
        ["make", "-n", "-B", target], cwd=REPO, check=False, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    helped = subprocess.run(["make", "help"], cwd=REPO, check=True, capture_output=True, text=True).stdout
    assert f"make {target} " in helped


def test_make_refuses_an_unfit_python(tmp_path: Path) -> None:
    """The message names what was found and what is needed."""
    (tmp_path / "Makefile").write_text(text(REPO / "Makefile"))
    (tmp_path / "constraints.txt").write_text("torch==0\n")
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    for python, found in ((str(old), "Python 3.8.1"), ("no-such-python", "no-such-python is missing")):
        made = subprocess.run(
            ["make", "setup", f"PYTHON={python}"], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert made.returncode != 0
        assert found in made.stderr and "3.10 to 3.13" in made.stderr
        assert not (tmp_path / ".venv").exists()


def test_ci_runs_the_tests() -> None:
    script = REPO / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in text(script)
    assert re.search(r"^make test$", text(script), re.M)
