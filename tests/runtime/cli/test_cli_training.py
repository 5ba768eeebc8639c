"""Split training by `edgeray profile`, `submit`, `jobs`, `compare` and edgeray.submit, on a scheduler that is a fake."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_command import ONCE, edgeray
from rich.console import Console
from training_scheduler import (
    CUTS,
    DONE,
    ROOT,
    VIEW,
    FakeScheduler,
    lines,
    round_json,
)

import edgeray as library
from edgeray.cli.jobs import jobs_table
from edgeray.errors import BadInputError, ClusterError
from edgeray.profiler.cuts import CutMeasurements
from edgeray.telemetry import rounds as rounds_module
from edgeray.telemetry.rounds import RoundsReader

APP = ROOT / "apps" / "split-training"
THREE = [round_json(1, 20.0), round_json(2, 12.0), round_json(3, 12.0)]
COURSE = [
    (b"", replace(VIEW, phase="waiting", plan=None, reasons=("another job runs",))),
    (b"", VIEW),
    (lines(THREE[:1]) + lines(THREE[1:])[:40], VIEW),  # cut off in the middle of a line
    (lines(THREE), VIEW),
    (lines(THREE), DONE),
]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeScheduler], FakeScheduler]:
    """Make this the scheduler of the cluster that is up."""
    return lambda scheduler: scheduler.put_up(monkeypatch)


# The file of rounds


def reader_of(*states: bytes) -> tuple[RoundsReader, Callable[[], list[int]]]:
    """A reader, and what tells the numbers of the rounds that it finds in the file's next state."""
    scheduler, left = FakeScheduler(), list(states)
    reader = RoundsReader(scheduler.call)

    def read() -> list[int]:
        scheduler.written = left.pop(0)
        return [each["number"] for each in reader.read(VIEW)]

    return reader, read


@pytest.mark.parametrize("piece_bytes", [7, 100, 10**6])
def test_rounds_are_read_line_by_line_in_pieces(piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "PIECE_BYTES", piece_bytes)
    whole = lines(THREE)
    reader, read = reader_of(b"", whole[:50], whole[:-1], whole, whole)
    assert [read() for _ in range(5)] == [[], [], [1, 2], [3], []]
    assert reader.rounds == THREE


def test_a_round_that_did_not_count_is_read_anew() -> None:
    """The server was killed between a round's record and its checkpoint, and trains it again."""
    first, killed, again = (
        lines(THREE[:1]),
        round_json(2, 99.0, dropped={"client-c2": "a long story"}),
        lines(THREE),
    )
    reader, read = reader_of(first + lines([killed]), first, again)
    assert [read() for _ in range(3)] == [[1, 2], [], [3]]
    assert reader.rounds == THREE


def test_a_job_that_went_on_after_another_begins_in_the_middle() -> None:
    _, read = reader_of(lines([round_json(6), round_json(7)]))
    assert read() == [6, 7]


def test_without_a_plan_nothing_is_asked_for() -> None:
    scheduler = FakeScheduler()
    assert RoundsReader(scheduler.call).read(replace(VIEW, plan=None)) == ()
    assert scheduler.calls == []


# submit


def test_training_is_followed_round_by_round_and_its_model_fetched(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    scheduler = use(FakeScheduler(COURSE))
    out = tmp_path / "out"
    done = edgeray("submit", APP, "--policy", "edgesplit", "--out", out, state=tmp_path)
    told = done.stderr.splitlines()
    assert "submitted lenet-edgesplit" in told
    finished = [line for line in told if line.startswith("round ")]
    assert finished == [
        "round 1 of 10: loss 3.00, accuracy 20.0 %, 20.00 s (10.00 s predicted), 2.0 MB up, 1.0 MB down",
        "round 2 of 10: loss 1.50, accuracy 40.0 %, 12.00 s (10.00 s predicted), 2.0 MB up, 1.0 MB down",
        "round 3 of 10: loss 1.00, accuracy 60.0 %, 12.00 s (10.00 s predicted), 2.0 MB up, 1.0 MB down",
    ]
    assert done.stdout.splitlines() == [
        "lenet-edgesplit done: 3 of 10 rounds, loss 1.00, accuracy 60.0 %",
        "  a round: 12.00 s measured (median); 1.20 times the 10.00 s predicted; "
        "1.50 times the 8.00 s T_LB, under which no round can be",
        f"  model: {out / 'model.pt'} (7 B)",
        f"  rounds: {out / 'rounds.jsonl'} (2.0 kB)",
    ]
    assert (out / "model.pt").read_bytes() == b"weights"
    [app] = scheduler.apps
    assert app.job.mode == "loop" and app.job.tasks[0].device == "server", "the head, as nobody named another"


def test_who_was_dropped_is_told_with_its_reason(use: Callable[..., FakeScheduler], tmp_path: Path) -> None:
    dropped = round_json(1, dropped={"client-c2": "nothing came from it for 60 s"}, accuracy=None)
    use(FakeScheduler([(lines([dropped]), DONE)]))
    told = edgeray("submit", APP, "--out", tmp_path / "out", state=tmp_path).stderr
    assert "dropped c2: nothing came from it for 60 s" in told and "accuracy" not in told


def test_json_is_one_object_with_all_rounds(use: Callable[..., FakeScheduler], tmp_path: Path) -> None:
    diverged = [*THREE[:2], {**THREE[2], "loss": math.nan}]
    use(FakeScheduler([(lines(diverged), DONE)]))
    done = edgeray("submit", APP, "--json", "--out", tmp_path / "out", state=tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    told = json.loads(done.stdout, parse_constant=refuse)
    assert told["phase"] == "done" and told["plan"]["rounds"]["predicted_s"] == 10.0
    assert told["rounds"] == [*THREE[:2], {**THREE[2], "loss": None}]
    assert [Path(output["path"]).name for output in told["outputs"]] == ["model.pt", "rounds.jsonl"]


def test_a_failed_job_keeps_its_rounds_and_says_how_to_go_on(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    failed = replace(VIEW, phase="failed", detail="server: the device was lost")
    use(FakeScheduler([(lines(THREE[:2]), VIEW), (lines(THREE[:2]), failed)]))
    out = tmp_path / "out"
    done = edgeray("submit", APP, "--out", out, state=tmp_path, code=1)
    assert "failed: server: the device was lost" in done.stderr
    assert f"edgeray submit {APP} --resume lenet-edgesplit-overlap` goes on after round 2" in done.stderr
    assert [json.loads(line) for line in (out / "rounds.jsonl").read_text().splitlines()] == THREE[:2]
    assert not (out / "model.pt").exists()


def test_a_job_that_failed_before_its_first_round_has_nothing_to_go_on_after(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    failed = replace(VIEW, phase="failed", plan=None, detail="cannot be placed: c1 lacks memory")
    use(FakeScheduler([(b"", failed)]))
    done = edgeray("submit", APP, "--policy", "vanilla-fl", state=tmp_path, code=1)
    assert "--resume" not in done.stderr and "edgeray logs lenet-vanilla-fl" in done.stderr
    resumed = edgeray("submit", APP, "--resume", "lenet-3", state=tmp_path, code=1)
    assert "--resume lenet-3` goes on;" in resumed.stderr, "that of the job it went on after is still there"


def test_seconds_and_interrupts_stop_the_job_and_keep_its_rounds(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    scheduler = use(FakeScheduler([(b"", VIEW), (lines(THREE[:1]), VIEW)], interrupted=True))
    done = edgeray("submit", APP, "--out", tmp_path / "a", state=tmp_path, code=1)
    assert scheduler.stopped == "interrupted by its user"
    assert "--resume lenet-edgesplit-overlap` goes on after round 1" in done.stderr
    assert "stopped: 1 of 10 rounds, loss 3.00, accuracy 20.0 %. interrupted" in done.stdout
    assert (tmp_path / "a" / "rounds.jsonl").read_bytes() == lines(THREE[:1])
    # started_s of the view is long ago
    scheduler = use(FakeScheduler([(lines(THREE[:1]), VIEW)]))
    done = edgeray("submit", APP, "--seconds", 5, "--out", tmp_path / "b", state=tmp_path)
    assert scheduler.stopped == "ran for 5 s"
    assert done.stdout.splitlines()[-1] == f"  rounds: {tmp_path / 'b' / 'rounds.jsonl'}"


def test_resume_reaches_the_server_and_detach_returns_at_once(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    scheduler = use(FakeScheduler())
    done = edgeray("submit", APP, "--resume", "lenet-3", "--detach", "--json", state=tmp_path)
    assert json.loads(done.stdout) == {"job": "lenet-edgesplit-overlap"}
    assert scheduler.apps[0].code["server"].args["resume"] == "lenet-3"  # type: ignore[index]
    assert scheduler.calls[-1] == ("submit", "edgesplit-overlap", None)


def test_what_cannot_be_submitted_is_said_before_the_cluster_is_asked(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("def read(): return 1\n")
    other = tmp_path / "stream.yaml"
    other.write_text("kind: dataflow\ntasks: {read: {run: 'tasks:read', device: e1}}\n")
    done = edgeray("submit", other, "--resume", "lenet-3", state=tmp_path, code=2)
    assert "--resume lenet-3" in done.stderr and "does not train a model" in done.stderr
    declared = tmp_path / "declared.yaml"
    declared.write_text("kind: split-training\ndeclared: {A: [[1, 2]], C: [8, 9], total_bps: 1Mbps}\n")
    assert "nothing to train" in edgeray("submit", declared, state=tmp_path, code=2).stderr
    done = edgeray("compare", APP, other, state=tmp_path, code=2)
    assert "is split training and" in done.stderr
    done = edgeray("compare", APP, "--policies", "edgesplit,joint", state=tmp_path, code=2)
    assert "'joint' is for streams" in done.stderr
    done = edgeray("compare", APP, "--rounds", 0, state=tmp_path, code=2)
    assert "--rounds 0" in done.stderr
    done = edgeray("compare", APP, "--sources", "c1", state=tmp_path, code=2)
    assert "--sources c1" in done.stderr
    (tmp_path / "once.yaml").write_text(ONCE.replace("{work: 20}", "{work: 20, run: tasks:read, device: e1}"))
    assert "edgeray up" in edgeray("submit", APP, state=tmp_path / "none", code=1).stderr


def test_rounds_are_of_training_only(tmp_path: Path) -> None:
    done = edgeray("compare", "apps/synthetic", "--rounds", 3, state=tmp_path, code=2)
    assert "--rounds 3: only training" in done.stderr


# profile and jobs


def measured(**changes: Any) -> CutMeasurements:
    values: dict[str, Any] = {
        "names": ("conv1", "fc3"),
        "layers": (1, 7),
        "up_bytes": (602_112.0, 0.0),
        "down_bytes": (602_112.0, 0.0),
        "weights_bytes": (1_100.0, 178_000.0),
        "forward_s": (0.0123, 0.05),
        "backward_s": (0.0246, 0.1),
        "server_s": (0.07, 0.0),
        "memory_bytes": (3.1e8, 3.3e8),
        "piece_s": (0.0, 0.0),
        "server_piece_s": (0.0, 0.0),
        "send_s_per_byte": 1e-9,
        "steps": 5,
    }
    return CutMeasurements(**{**values, **changes})


def test_profile_tells_each_cut_on_each_type(use: Callable[..., FakeScheduler], tmp_path: Path) -> None:
    small = measured(forward_s=(0.5, math.inf), backward_s=(1.5, math.inf), memory_bytes=(3.1e8, math.inf))
    use(FakeScheduler(profile={"pi": small, "server": measured()}))
    text = edgeray("profile", APP, state=tmp_path).stdout
    tables = text.split("profile of lenet")
    assert len(tables) == 3 and "on type pi" in tables[1] and "on type server" in tables[2]
    rows = [" ".join(line.replace("│", " ").split()) for line in tables[1].splitlines() if "of 7" in line]
    assert rows[0] == "0 conv1 1 of 7 500.0 ms 1.50 s 70.0 ms 602.1 kB 602.1 kB 1.1 kB 310.0 MB"
    assert rows[1] == "1 fc3 7 of 7 - - 0.0 ms 0 B 0 B 178.0 kB -", "the whole model does not fit a pi"
    told = json.loads(edgeray("profile", APP, "--json", state=tmp_path).stdout)
    assert told["app"] == "lenet" and told["types"]["pi"]["forward_s"] == [0.5, None]
    assert told["types"]["server"]["weights_bytes"] == [1100.0, 178000.0]


def test_jobs_are_listed_by_rounds() -> None:
    console = Console(width=160)
    with console.capture() as told:
        console.print(jobs_table([replace(VIEW, job="new-1"), replace(DONE, job="old-1")]))
    rows = {line.split()[1]: line for line in told.get().splitlines() if "lenet" in line}
    assert (
        "3 of 3 rounds" in rows["old-1"] and "12.00 s a round" in rows["old-1"] and "10.00 s" in rows["old-1"]
    )
    assert "0 of 3 rounds" in rows["new-1"] and "a round" not in rows["new-1"]


# compare


def test_each_policy_trains_to_its_end_and_a_refusal_is_a_row(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    refused = replace(
        VIEW, policy="vanilla-fl", phase="failed", plan=None, detail="cannot be placed: c1 is small"
    )
    scheduler = use(
        FakeScheduler(COURSE, {"vanilla-fl": [(b"", refused)], "edgesplit": COURSE}, profile=CUTS)
    )
    out = tmp_path / "out"
    done = edgeray(
        *("compare", APP, "--policies", "vanilla-fl,edgesplit", "--rounds", 3, "--out", out, "--json"),
        state=tmp_path,
    )
    told = json.loads(done.stdout)
    [no], [yes] = (run["jobs"] for run in told["runs"])
    assert (
        no["failure"] == "cannot be placed: c1 is small"
        and no["rounds"] == []
        and no["median_round_s"] is None
    )
    assert yes["failure"] is None and yes["rounds"] == THREE and yes["rounds_asked"] == 3
    assert (yes["median_round_s"], yes["planned_s"], yes["predicted_s"], yes["bound_s"]) == (
        12.0,
        9.0,
        10.0,
        8.0,
    )
    assert yes["above_bound"] == 0.5 and yes["off_prediction"] == pytest.approx(0.2)
    assert [(c["device"], c["type"], c["layer"], c["layers"]) for c in yes["clients"]] == [
        ("c1", "pi", "conv1", 1),
        ("c2", "pi", "fc3", 7),
    ]
    assert told["runs"][1]["planning_s"] == 0.25 and told["emulation"] == "a fake"
    assert [app.job.training.rounds for app in scheduler.apps] == [3, 3]  # type: ignore[union-attr]
    assert scheduler.apps[0].code["client-c1"].args["recipe"]["rounds"] == 3  # type: ignore[index]
    assert json.loads((out / "comparison.json").read_text()) == told
    assert "edgesplit: round 2 of 3" in done.stderr and f"report: {out / 'report.html'}" in done.stderr


def test_an_interrupted_comparison_keeps_the_policies_that_were_done(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    class Impatient(FakeScheduler):
        def submit(self, app: Any, policy: str, *, lease_s: float | None) -> str:
            self.interrupted = policy == "edgesplit-fix"
            return super().submit(app, policy, lease_s=lease_s)

    scheduler = use(Impatient(COURSE, profile=CUTS))
    policies = "edgesplit,edgesplit-fix,edgesplit-overlap"
    done = edgeray(
        "compare", APP, "--policies", policies, "--out", tmp_path / "out", state=tmp_path, code=130
    )
    assert scheduler.stopped == "its comparison is done"
    assert [call[1] for call in scheduler.calls if call[0] == "submit"] == ["edgesplit", "edgesplit-fix"]
    told = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [run["policy"] for run in told["runs"]] == ["edgesplit"]
    assert told["notes"][-1] == "Interrupted after 1 of 3 policies."
    assert "edgesplit " in done.stdout


# Python


def test_python_programs_get_rounds_and_the_model(
    use: Callable[..., FakeScheduler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = use(FakeScheduler(COURSE))
    job = library.submit(APP, resume="lenet-3")
    assert job.id == "lenet-edgesplit-overlap", "the default policy"
    assert scheduler.apps[0].code["server"].args["resume"] == "lenet-3"  # type: ignore[index]
    assert job.rounds() == THREE
    found = job.results(tmp_path / "kept")
    assert found == {"model": tmp_path / "kept" / "model.pt", "rounds": tmp_path / "kept" / "rounds.jsonl"}
    assert found["model"].read_bytes() == b"weights"


def test_python_programs_are_told_what_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="does not train a model"):
        library.submit(ROOT / "apps" / "synthetic", resume="lenet-3")
    with pytest.raises(BadInputError, match="keeps checkpoints"):
        library.submit(object(), resume="lenet-3")


def test_a_lost_server_does_not_break_who_follows_the_job(
    use: Callable[..., FakeScheduler], tmp_path: Path
) -> None:
    class Lost(FakeScheduler):
        def call(self, method: str, *args: Any, **options: Any) -> Any:
            if method == "read_output":
                raise ClusterError("results of lenet-7 lie on server, which is gone")
            return super().call(method, *args, **options)

    use(Lost([(b"", VIEW), (b"", replace(VIEW, phase="failed", detail="server was lost"))]))
    assert "failed: server was lost" in edgeray("submit", APP, state=tmp_path, code=1).stderr
