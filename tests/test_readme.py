"""Every command of the README is run, in its order, on a real testbed; the few that cannot be are named here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeray.spec import load_app, load_cluster

REPO = Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")

# Not run as they stand: the command, and what covers it.
ELSEWHERE = {
    "make test": "this very run; test_repo.py holds .ci/run to it",
    ". .venv/bin/activate": "the session's PATH starts with the folder that it would put there",
    "edgeray ui": "it serves until it is stopped; test_web_live_command.py starts it and asks it",
    "edgeray up my-lan.yaml": "real machines; see test_lan_example_is_valid",
    "scp desk:.local/state/edgeray/token edgeray-token": "real machines; the session finds the token at that place",
    "edgeray join 192.168.1.10:6379 --type jetson-nx --token-file edgeray-token": "see test_join_fails_by_name",
}
# Run with fewer devices or policies and less time, in place of the command as it stands.
SHORTER = {
    # What `make demo` does, see test_make_demo_is_edgeray_demo.
    "make demo": "edgeray demo --cluster cluster/testbed/three.yaml --policies lr,joint --seconds 3",
    "edgeray compare apps/attributes --policies lr,br,tp,otfs,otfa,joint --seconds 30": (
        "edgeray compare apps/attributes --policies lr,joint --seconds 4"
    ),
    (
        "edgeray compare apps/split-training "
        "--policies vanilla-fl,adaptive-fl,edgesplit-fix,edgesplit,edgesplit-overlap"
    ): "edgeray compare apps/split-training --policies vanilla-fl,edgesplit-overlap --rounds 1",
    "edgeray compare apps/batch-training --policies eta,mel,mel-exact --cycle 12s": (
        "edgeray compare apps/batch-training --policies eta,mel-exact --cycle 8s --rounds 1"
    ),
    "edgeray compare apps/fog-training --policies local,federated,network-aware,network-aware-sqrt": (
        "edgeray compare apps/fog-training --policies local,network-aware --rounds 2"
    ),
    "edgeray simulate apps/fog-training --topology small-world --n 50": (
        "edgeray simulate apps/fog-training --topology small-world --n 12 --set intervals=20"
    ),
    "edgeray compare apps/reid --policies nmno,wmno,nmwo,jstsh,load-aware": (
        "edgeray compare apps/reid --policies wmno,load-aware --seconds 5"
    ),
    "edgeray submit apps/reid --policy load-aware --seconds 30": (
        "edgeray submit apps/reid --policy load-aware --seconds 12"
    ),
    "edgeray submit apps/offload --policy hybrid --seconds 30": (
        "edgeray submit apps/offload --policy hybrid --seconds 8"
    ),
    "edgeray compare apps/offload --policies round-robin,p2c,jsq,toof,hybrid": (
        "edgeray compare apps/offload --policies round-robin,hybrid --seconds 4"
    ),
    "edgeray submit apps/frames --policy djos --seconds 60": "edgeray submit apps/frames --policy djos --seconds 10",
    "edgeray compare apps/frames --policies lfos,efos,djos-slides,djos --seconds 120": (
        "edgeray compare apps/frames --policies lfos,djos --seconds 6"
    ),
    "edgeray simulate apps/frames --frames 500000": "edgeray simulate apps/frames --frames 20000",
}
# What must come out: on stdout, or on stderr for those that say it there.
EXPECTED = {
    "edgeray doctor": "tc",
    "edgeray devices": r"(?s)e1.*e2.*e3.*e4.*e5",
    "edgeray profile apps/attributes": r"(?s)camera.*detect.*fuse",
    "edgeray profile apps/poster": r"(?s)stretch1.*summary",
    "edgeray plan apps/attributes": r"items/s",
    "edgeray plan tests": r'"throughput_per_s": 4(\.0+)?\b',
    "edgeray submit apps/attributes": r"^\S+\n$",
    "edgeray submit brightness/replicas": r"(?s)shrink\.1.*shrink\.3.*brightness\.txt",
    "edgeray submit brightness": r"brightness\.txt",
    "edgeray jobs": "attributes",
    "edgeray logs": "submitted|running|waiting",
    "edgeray stop": "stopped",
    "edgeray compare apps/attributes": r"(?s)LR.*joint",
    "edgeray plan apps/poster": r"makespan",
    "edgeray plan diamond": r"(?s)diamond by heft.*makespan",
    "edgeray submit apps/poster": r"poster\.png",
    "edgeray compare apps/poster": r"(?s)HEFT.*portfolio",
    "edgeray profile apps/split-training": r"(?s)jetson-nano.*jetson-nx.*pi.*server",
    "edgeray plan apps/split-training": r"(?s)edgesplit.*c1.*c8",
    "edgeray submit apps/split-training": r"(?s)10 of 10 rounds.*model\.pt",
    "edgeray compare apps/split-training": r"(?s)vanilla-fl.*edgesplit-overlap",
    "edgeray profile apps/batch-training": r"(?s)fast.*server.*slow",
    "edgeray plan apps/batch-training": r"(?s)iterations.*f1.*s3",
    "edgeray compare apps/batch-training": r"(?s)eta.*mel-exact",
    "edgeray submit apps/fog-training": r"(?s)6 of 6 rounds.*model\.pt",
    "edgeray compare apps/fog-training": r"(?s)local.*network-aware",
    "edgeray simulate apps/fog-training": r"(?s)local.*network-aware",
    "edgeray profile apps/reid": r"(?s)detect/gate.*identify/door",
    "edgeray plan apps/reid": r"(?s)gate.*hub",
    "edgeray submit apps/reid": r"(?s)stopped: \d+ frames.*gate.*door",
    "edgeray query apps/reid": r"(?s)gate|person",
    "edgeray compare apps/reid": r"(?s)wmno.*load-aware",
    "edgeray plan apps/offload": r"toof decides while it runs",
    "edgeray submit apps/offload": r"(?s)met their deadline.*n1.*n5",
    "edgeray compare apps/offload": r"(?s)round-robin.*hybrid",
    "edgeray submit apps/frames": r"(?s)packets.*door.*yard",
    "edgeray compare apps/frames": r"(?s)lfos.*djos",
    "edgeray simulate apps/offload": r"(?s)round-robin.*toof.*optimal",
    "edgeray simulate apps/frames": r"(?s)lfos.*djos",
    "edgeray simulate apps/split-training": r"(?s)vanilla-fl.*edgesplit-overlap",
    "edgeray generate": r"^$",
    "edgeray simulate camera": r"(?s)lr.*otfa.*joint",
    "edgeray simulate apps/reid": r"(?s)nmno.*load-aware",
    "edgeray simulate apps/poster": r"poster",
    "edgeray reproduce --quick": r"(?s)joint",
    "edgeray reproduce dcei": r"(?s)Frame by frame|frame by frame",
    "edgeray reproduce toof": r"(?i)toof",
    "edgeray reproduce djos": r"(?i)djos",
    "edgeray reproduce mel": r"(?i)mel",
    "edgeray reproduce fog": r"unit cost",
    "edgeray forget": r"what it learned is forgotten",
    "edgeray schema": r'"items_per_s"',
    "edgeray --version": r"^edgeray \d+\.\d+\.\d+\n$",
    "edgeray exec -- python": r"^done$",
    "edgeray exec -- ray": "succeeded",
}


def commands() -> list[str]:
    """Every command line of every console block, in order."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a console block holds commands only"
    return [line[2:] for line in lines]


def files() -> dict[str, str]:
    """The example app: blocks whose first line is a comment with a path."""
    blocks = re.findall(r"^```(?:yaml|python|text)\n# ([\w/.]+).*?\n(.*?)^```", README, re.M | re.S)
    in_app = ("dag.py",)
    return {f"brightness/{name}" if name in in_app else name: body for name, body in blocks}


def test_every_command_is_run_or_covered() -> None:
    shown = commands()
    assert len(shown) > 15
    assert not re.search(r"^```(?:bash|sh|shell)", README, re.M), "commands stand in console blocks"
    for command in (*ELSEWHERE, *SHORTER):
        assert command in shown, f"not in the README any more: {command}"
    run = [SHORTER.get(command, command) for command in shown if command not in ELSEWHERE]
    strange = [command for command in run if not command.startswith("edgeray ")]
    assert strange == []
    for prefix in EXPECTED:
        assert any(command.startswith(prefix) for command in shown), f"not in the README any more: {prefix}"


def test_every_verb_is_in_the_readme() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", "--help"], check=True, capture_output=True, text=True
    ).stdout
    verbs = re.findall(r"^│ (\w+)  ", shown.partition("Commands")[2], re.M)
    assert {"up", "down", "join", "compare"} < set(verbs)
    assert [verb for verb in verbs if not re.search(rf"edgeray {verb}\b", README)] == []


def test_make_demo_is_edgeray_demo() -> None:
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    steps = subprocess.run(
        ["make", "-n", "demo"], cwd=REPO, env=alone, check=True, capture_output=True, text=True
    ).stdout
    assert steps.splitlines()[-1].endswith("edgeray demo")


def test_lan_example_is_valid() -> None:
    cluster = load_cluster(REPO / "cluster" / "lan.example.yaml")
    assert set(cluster.addresses) == set(cluster.network.devices)
    assert any(device.type == "jetson-nx" for device in cluster.network.devices.values())


def test_example_app_is_valid(folder: Path) -> None:
    app = load_app(folder / "brightness")
    assert [task.id for task in app.job.tasks] == ["camera", "shrink", "log"]
    assert load_app(folder / "brightness" / "replicas.yaml").job.replicas[0].dispatch == "toof"
    compile((folder / "brightness" / "dag.py").read_text(), "dag.py", "exec")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder like the repo's, with the README's example in it; short, since sockets' paths must be."""
    with tempfile.TemporaryDirectory(prefix="er-readme-") as name:
        root = Path(name)
        for copied in ("apps", "cluster", "tests/oracles"):
            shutil.copytree(REPO / copied, root / copied, ignore=shutil.ignore_patterns("__pycache__"))
        for path, body in files().items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text(body)
        yield root


@pytest.fixture(scope="module")
def environment(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster of this session's own, which is down at the end whatever happened."""
    variables = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        "EDGERAY_STATE_DIR": str(folder / "state"),
        "COLUMNS": "200",
    }
    variables.pop("RAY_ADDRESS", None)
    yield variables
    subprocess.run(
        ["edgeray", "down"], cwd=folder, env=variables, check=True, timeout=120, capture_output=True
    )


def run(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        timeout=280,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done


def test_join_fails_by_name(folder: Path, environment: dict[str, str]) -> None:
    """Its options are as the README says; what is missing here is the token."""
    command = "edgeray join 192.168.1.10:6379 --type jetson-nx --token-file edgeray-token"
    assert command in ELSEWHERE
    done = subprocess.run(
        command.split(), cwd=folder, env=environment, timeout=60, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "edgeray-token" in done.stderr and "remedy" in done.stderr


@pytest.mark.testbed
@pytest.mark.timeout(1800)
def test_session(folder: Path, environment: dict[str, str]) -> None:
    """Up, devices, profile, plan, submit, ..., down: as a reader would type it."""
    for command in commands():
        if command not in ELSEWHERE:
            step(command, folder, environment)
    left = json.loads(run("edgeray doctor --json", folder, environment).stdout)["checks"]
    assert [check for check in left if check["name"] == "cluster" and not check["ok"]] == []
    assert not (folder / "state" / "cluster.json").exists()


def step(command: str, folder: Path, environment: dict[str, str]) -> None:
    if command.endswith(" JOB"):
        jobs = json.loads(run("edgeray jobs --json", folder, environment).stdout)["jobs"]
        command = command.replace("JOB", jobs[-1]["job"])
    began = time.monotonic()
    done = run(SHORTER.get(command, command), folder, environment)
    print(f"{time.monotonic() - began:6.1f} s  {command}")
    expected = next((pattern for prefix, pattern in EXPECTED.items() if command.startswith(prefix)), "")
    assert re.search(expected, done.stdout, re.M), f"$ {command}\n{done.stdout}\n{done.stderr}"
    if command.startswith("edgeray compare"):
        report = (folder / "reports/compare/report.html").read_text().lower()
        [policies] = re.findall(r"--policies (\S+)", SHORTER.get(command, command))
        assert [name for name in policies.split(",") if name not in report] == []
    if command == "make demo":
        assert "joint" in (folder / "reports/demo/report.html").read_text()
    if command.startswith("edgeray up"):
        assert (folder / "state" / "token").stat().st_mode & 0o077 == 0
