"""The command line as a person meets it, without a cluster: plans, schemas, errors, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_command import CLUSTER, FIG32, edgeray


def test_the_motivating_example_is_planned_from_declared_numbers_alone(tmp_path: Path) -> None:
    done = edgeray("plan", FIG32, "--cluster", CLUSTER, "--policy", "otfa", "--json", state=tmp_path)
    answer = json.loads(done.stdout)
    assert set(answer) == {"policy", "feasible", "reasons", "jobs"}
    assert answer["policy"] == "otfa"
    assert answer["feasible"] is True
    [job] = answer["jobs"]
    assert job["throughput_per_s"] == pytest.approx(4)
    assert job["placement"]["camera"] == "e4"
    for flow in job["flows"]:
        assert {"from", "to", "route", "rate_bps"} <= set(flow)
        assert flow["route"][0] == job["placement"][flow["from"]]
        assert flow["route"][-1] == job["placement"][flow["to"]]


def test_several_jobs_are_planned_in_order_of_arrival(tmp_path: Path) -> None:
    jobs = [FIG32] * 3
    done = edgeray("plan", *jobs, "--cluster", CLUSTER, "--policy", "tp", "--json", state=tmp_path, code=1)
    answer = json.loads(done.stdout)
    # Each needs 11 B of memory and the cluster has 24 B: two fit, task by task, the third waits.
    assert [job["name"] for job in answer["jobs"]] == ["fig32", "fig32-2"]
    assert answer["feasible"] is False
    assert all(reason.startswith("fig32-3: ") for reason in answer["reasons"])
    assert any("memory" in reason for reason in answer["reasons"])


def test_planning_does_not_need_ray(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['edgeray', 'plan', "
        f"{str(FIG32)!r}, '--cluster', {str(CLUSTER)!r}, '--policy', 'otfa', '--json']; "
        "from edgeray.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("plan", "nowhere.yaml", "--cluster", CLUSTER), "nowhere.yaml"),
        (("plan", FIG32, "--cluster", CLUSTER, "--policy", "best"), "unknown policy 'best'"),
        (("compare", "apps/synthetic", "--policies", "lr,lr"), "distinct names"),
        (("compare", "apps/synthetic", "--seconds", "0"), "--seconds"),
        (("compare", "apps/synthetic", "--policies", "lr,heft"), "'heft' is for one-shot jobs"),
        (("submit", FIG32), "run"),
        (("submit", "apps/synthetic", "--seconds", "-1"), "--seconds"),
        (("schema", "house"), "expected job or cluster"),
        (("up", "cluster/testbed/three.yaml", "--mode", "cloud"), "--mode cloud"),
        (("exec",), "no command given"),
        (("fly",), "No such command"),
    ],
)
def test_bad_input_is_named_with_exit_code_2(args: tuple[object, ...], told: str, tmp_path: Path) -> None:
    done = edgeray(*args, state=tmp_path, code=2)
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["devices", "jobs"])
def test_without_a_cluster_the_remedy_is_named(command: str, tmp_path: Path) -> None:
    assert "edgeray up" in edgeray(command, state=tmp_path, code=1).stderr


def test_schemas_are_json_schemas(tmp_path: Path) -> None:
    for which in ("job", "cluster"):
        schema = json.loads(edgeray("schema", which, state=tmp_path).stdout)
        assert schema["type"] == "object" or "$ref" in schema or "$defs" in schema


def test_help_names_every_verb(tmp_path: Path) -> None:
    told = edgeray("--help", state=tmp_path).stdout
    for verb in (
        "up",
        "down",
        "join",
        "devices",
        "doctor",
        "profile",
        "plan",
        "simulate",
        "submit",
        "jobs",
        "logs",
        "stop",
    ):
        assert f" {verb} " in told
