"""Jobs that decide while they run, on a real testbed: helpers that are killed, a learner that is, shares by tc."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from testbed_session import Session, namespace_of, session_on, until

from edgeray.profiler.store import cache_folder

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(600)]

APPS = Path(__file__).resolve().parents[2] / "apps"
OFFLOAD = """
kind: offload
name: {name}
source: {{device: e1, run: "tasks:views", args: {{close: 0.2}}, rate: 5/s, items: {items}}}
work: {{run: "tasks:FindPeople", args: {{device: "${{DEVICE}}"}}}}
complexity: {{run: "tasks:tiles"}}
deadline: 1500ms
"""
FRAMES = """
kind: frames
name: shares
users:
  left: {device: e2, source: {run: "tasks:Bursts", args: {camera: left, size: [192, 144]}, rate: 4/s}}
  right: {device: e4, source: {run: "tasks:Bursts", args: {camera: right, size: [192, 144], seed: 1}, rate: 4/s}}
work: {run: "tasks:FindPeople", args: {output: "${OUTPUT_DIR}"}}
slots: 4
slot: 250ms
frames: 25
link: 2Mbps
"""
REPLICAS = """
name: dealt
tasks:
  source: {device: e1, run: "dealt:numbers", args: {count: 400}}
  spin: {inputs: [source], replicas: [e1, e2, e4], deadline: 5s, run: "dealt:spin"}
  keep: {inputs: [spin, source], device: e1, run: "dealt:Keep", args: {folder: "${OUTPUT_DIR}"}}
"""
DEALT = """
import time
from pathlib import Path


def numbers(count):
    yield from range(count)


def spin(number):
    until_s = time.thread_time() + 0.02
    while time.thread_time() < until_s:
        pass
    return -number


class Keep:
    def __init__(self, folder):
        self.file = Path(folder, "kept.txt").open("w")

    def __call__(self, spun, number):
        self.file.write(f"{number} {spun}\\n")

    def close(self):
        self.file.close()
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with session_on("cluster/testbed/three.yaml") as session:
        cache = session.root / "cache"  # the video and the models are everybody's
        cache.mkdir(exist_ok=True)
        for name in ("originals", "derived"):
            (cache / name).symlink_to(cache_folder() / name)
        yield session


def job_folder(session: Session, app: str, name: str, text: str) -> Path:
    folder = session.root / name
    shutil.copytree(APPS / app, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "job.yaml").write_text(text)
    return folder


def start(session: Session, folder: Path, policy: str) -> str:
    return session.run("submit", folder, "--policy", policy, "--detach").strip()


def told(session: Session, job: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = session.job(job)["online"]
    return found or {}


def until_told(session: Session, job: str, what: str, condition: Any) -> None:
    def seen() -> bool:
        view = session.job(job)
        assert view["phase"] not in ("failed", "stopped"), view["detail"]
        return bool(view["online"] and condition(view["online"]))

    until(seen, what, 120)


def until_done(session: Session, job: str) -> Mapping[str, Any]:
    view: dict[str, Any] = until(
        lambda: (view := session.job(job))["phase"] in ("done", "failed", "stopped") and view, job, 240
    )
    assert view["phase"] == "done", view["detail"]
    online: Mapping[str, Any] = view["online"]
    return online


def test_every_item_is_answered_though_a_helper_and_the_learner_are_killed(session: Session) -> None:
    items = 150
    job = start(
        session, job_folder(session, "offload", "killed", OFFLOAD.format(name="killed", items=items)), "toof"
    )
    until_told(session, job, "the first results", lambda now: now["met"] >= 10)
    [stage] = session.processes("ray::StageHost", "e4")
    stage.send_signal(signal.SIGKILL)
    until(lambda: "is started again" in session.run("logs", job), "its next process", 60)
    until_told(session, job, "its return", lambda now: not now["helpers"]["e4"]["away"])
    [learner] = session.processes("ray::LearnerActor", "e1")
    learner.send_signal(signal.SIGKILL)
    end = until_done(session, job)
    assert not any(row["away"] for row in end["helpers"].values())
    assert end["items"] == items
    assert end["met"] + end["late"] + end["refused"] + end["failed"] + end["lost"] == items
    assert end["met"] > items / 2
    assert sum(row["sent"] for row in end["helpers"].values()) + end["refused"] == items


def test_a_killed_dispatcher_goes_on_with_what_it_learned(session: Session) -> None:
    text = OFFLOAD.format(name="again", items=4000)
    job = start(session, job_folder(session, "offload", "again", text), "toof")
    until_told(session, job, "results", lambda now: now["met"] >= 70)
    before = most_expected(session, job)
    [stage] = session.processes("ray::StageHost", "e1")
    stage.send_signal(signal.SIGKILL)
    until_told(session, job, "results of the next process", lambda now: 1 <= now["items"] < 30)
    # One that had forgotten would expect .5, and so few items would not teach it half of the rest.
    assert before > 0.6
    assert most_expected(session, job) > (0.5 + before) / 2
    assert "is started again" in session.run("logs", job)
    session.run("stop", job)


def test_what_is_learned_is_shown_with_its_age_and_forgotten_at_the_end(session: Session) -> None:
    job = start(
        session, job_folder(session, "offload", "held", OFFLOAD.format(name="held", items=4000)), "toof"
    )

    def held() -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = session.job(job)["learner"]
        return found or {"items": 0, "away": False}

    until(lambda: held()["items"] >= 10, "what the learner holds", 120)
    now = session.job(job)
    assert now["learner"]["policy"] == "toof" and set(now["learner"]["arms"]) == set(now["online"]["helpers"])
    assert now["learner"]["items"] == sum(arm["seen"] for arm in now["learner"]["arms"].values())
    [learner] = session.processes("ray::LearnerActor", "e1")
    learner.send_signal(signal.SIGSTOP)
    try:
        until(lambda: held()["away"], "that it does not answer", 60)
        old = held()
        until(lambda: held()["age_s"] > old["age_s"] + 2, "its last word to grow old", 60)
        assert held()["items"] == old["items"] > 0
    finally:
        learner.send_signal(signal.SIGCONT)
    until(lambda: not held()["away"] and held()["items"] > old["items"], "its next word", 60)
    session.run("forget", job, code=2)
    session.run("stop", job)
    assert "is forgotten" in session.run("forget", job)
    assert session.job(job)["learner"] is None
    assert "nothing" in session.run("forget", job)
    session.run("forget", "nobody-1", code=2)


def test_replicas_share_the_items_as_they_can_and_none_is_lost_or_out_of_order(session: Session) -> None:
    folder = session.root / "dealt"
    folder.mkdir()
    (folder / "job.yaml").write_text(REPLICAS)
    (folder / "dealt.py").write_text(DEALT)
    job = start(session, folder, "joint")
    until(lambda: (session.job(job)["replicas"] or {}).get("spin", {}).get("met"), "items done in time", 180)
    [learner] = session.processes("ray::LearnerActor", "e1")
    learner.send_signal(signal.SIGKILL)
    view = until(lambda: (now := session.job(job))["ended_s"] and now, "its end", 180)
    assert view["phase"] == "done", view["detail"]
    told = view["replicas"]["spin"]
    assert told["items"] == 400
    assert told["met"] + told["late"] == 400
    assert told["met"] > 200
    sent = {name: row["sent"] for name, row in told["helpers"].items()}
    assert sum(sent.values()) == 400
    assert sent["spin.1"] > sent["spin.3"]  # of three times the cores, and all are kept busy
    kept = session.root / "state" / "outputs" / "e1" / job / "kept.txt"
    assert kept.read_text().split("\n")[:-1] == [f"{number} {-number}" for number in range(400)]
    assert "is forgotten" in session.run("forget", job)


def most_expected(session: Session, job: str) -> float:
    """Of the helper that the policy thinks best of."""
    rows = told(session, job)["helpers"].values()
    return max(row["probability"] for row in rows if row["probability"] is not None)


def test_frames_go_by_shares_that_tc_enforces(session: Session) -> None:
    job = start(session, job_folder(session, "frames", "shares", FRAMES), "djos")
    until_told(session, job, "frames", lambda now: now["frames"] >= 5)

    namespace = namespace_of(session, "e2")

    def classes() -> str:
        ask = ["ip", "netns", "exec", namespace, "tc", "class", "show", "dev"]
        return "".join(
            subprocess.run([*ask, port], capture_output=True, text=True, check=False).stdout
            for port in _ports(namespace)
        )

    before = classes()
    assert "htb" in before
    until(lambda: classes() != before, "other shares in the kernel", 60)
    end = until_done(session, job)
    assert end["frames"] == 25
    assert end["arrived"] == end["sent"] + end["local"] + end["dropped"]
    assert end["arrived"] > 0 and end["sent"] + end["local"] > 0
    assert end["energy_j"] > 0
    assert "declared" in end["meter"]


def _ports(namespace: str) -> list[str]:
    shown = subprocess.run(
        ["ip", "-n", namespace, "-o", "link"], capture_output=True, text=True, check=False
    ).stdout
    return [line.split(": ")[1].partition("@")[0] for line in shown.splitlines() if ": lo:" not in line]
