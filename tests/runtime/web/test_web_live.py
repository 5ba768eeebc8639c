"""The page's server: what it says of a cluster, of one that is in trouble, and to whom."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from live_cluster import EVIL, FakeCluster

from edgeray.errors import ClusterError
from edgeray.web.live.guard import host_name, may_act
from edgeray.web.live.pictures import Pictures
from edgeray.web.live.plain import plain
from edgeray.web.live.rows import SILENT_S
from edgeray.web.live.server import STATIC, make_app
from edgeray.web.live.telemetry import PERIODS_S, Telemetry
from edgeray.web.live.topology import BOX_IN, PIXELS_PER_INCH, Topology

TOKEN = "correct-horse-battery"


class Yard:
    """A fake cluster with the page's server on it; nothing moves unless the test says so."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.trouble: dict[str, Any] = {}
        self.cluster = FakeCluster(at=lambda: self.at_s, trouble=lambda: self.trouble)
        self.app, self.telemetry = make_app(
            self.ask, token=TOKEN, cluster="yard", head="e1", clock=lambda: self.at_s
        )

    def ask(self, method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        return plain(self.cluster(method, *args))

    def poll(self, seconds: float = 0.0) -> None:
        self.at_s += seconds
        for question in PERIODS_S:
            self.telemetry.poll(question)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8266") as browser:
                return await browser.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def states(self) -> dict[str, str]:
        return {device["id"]: device["state"] for device in self.get("/api/now").json()["devices"]}


@pytest.fixture
def yard() -> Yard:
    made = Yard()
    made.poll()
    return made


def test_now_tells_of_every_kind_of_job(yard: Yard) -> None:
    now = yard.get("/api/now").json()
    jobs = {job["job"]: job for job in now["jobs"]}
    assert {name: job["measure"] for name, job in jobs.items()} == {
        "attributes-1": "items",
        "split-2": "round",
        "reid-3": "frames",
        "offload-4": "items",
        "poster-0": "makespan",
    }
    assert (jobs["split-2"]["planned"], jobs["split-2"]["measured"], jobs["split-2"]["progress"]) == (
        3.9,
        4.1,
        [3, 20],
    )
    assert jobs["attributes-1"]["planned"] == 12.0
    assert jobs["reid-3"]["measured"] == pytest.approx(sum(s["fps"] for s in now["streams"]) / 4)
    assert jobs["poster-0"]["ended"] and not jobs["split-2"]["ended"]
    assert (now["cluster"], now["head"]) == ("yard", "e1")


def test_what_the_learner_holds_is_told_with_its_age_and_drawn(yard: Yard) -> None:
    yard.poll(1.0)
    yard.at_s += 2.0
    jobs = {job["job"]: job for job in yard.get("/api/now").json()["jobs"]}
    learner = jobs["offload-4"]["learner"]
    assert (learner["items"], learner["arms"]["gone"]["seen"], learner["away"]) == (240, 48, False)
    assert learner["age_s"] == 12.5 + 2.0, "as long as the scheduler has not answered since"
    assert jobs["attributes-1"]["learner"] is None
    names = ["regret:offload-4", "estimate:offload-4/e2", "estimate:offload-4/gone", "estimate:split-2/e2"]
    told = yard.get("/api/history", params={"series": names, "seconds": 10, "points": 10}).json()["series"]
    regret, *estimates, nobody = ([value for value in told[name] if value is not None] for name in names)
    assert set(regret) == {6.5}
    assert all(values and 0.52 <= min(values) <= max(values) <= 0.72 for values in estimates)
    assert nobody == []


def test_what_a_learner_held_that_is_away_is_told_but_not_drawn_on(yard: Yard) -> None:
    yard.trouble = {"unlearned": True}
    yard.poll(3.0)
    now = yard.get("/api/now").json()
    learner = next(job["learner"] for job in now["jobs"] if job["job"] == "offload-4")
    assert (learner["away"], learner["regret_proxy"]) == (True, 6.5)
    for _ in range(3):
        yard.poll(1.0)
    drawn = yard.telemetry.excerpt(["regret:offload-4", "estimate:offload-4/e2"], 2, 2).series
    assert set(map(tuple, drawn.values())) == {(None, None)}


def test_rates_are_those_of_the_samples(yard: Yard) -> None:
    now = yard.get("/api/now").json()
    views = {view["device"]: view for view in yard.ask("devices")}
    link = now["links"][0]
    sample = next(row for row in views[link["ends"][0]]["sample"]["links"] if row["peer"] == link["ends"][1])
    assert link["sent_bps"][0] == sample["wire_bytes"] * 8
    flow = now["flows"][0]
    sent = next(
        row
        for row in views[flow["route"][0]]["sample"]["stages"][0]["flows"]
        if row["flow"] == f"{flow['job']}/{flow['from']}->{flow['to']}"
    )
    assert flow["measured_bps"] == sent["wire_bytes"] * 8
    assert (flow["granted_bps"], flow["ceiling_bps"]) == (2e6, 8e6)


def test_without_kernel_counters_a_flow_is_what_the_application_sent(yard: Yard) -> None:
    def paced(method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        answer = yard.ask(method, *args)
        if method == "devices":
            for view in answer:
                for flow in view["sample"]["stages"][0]["flows"]:
                    flow["wire_bytes"] = None
        return answer

    telemetry = Telemetry(paced, clock=lambda: yard.at_s)
    for question in PERIODS_S:
        telemetry.poll(question)
    assert {flow["measured_bps"] for flow in telemetry.now()["flows"]} == {800_000.0}


def test_a_silent_device_shows_within_three_seconds(yard: Yard) -> None:
    yard.trouble = {"lost": ["e3"]}
    died_s = yard.at_s
    while yard.states()["e3"] == "up":
        yard.poll(PERIODS_S["devices"])
        assert yard.at_s < died_s + 60
    assert yard.at_s - died_s <= 3.0
    assert set(yard.states().values()) == {"up", "silent"}
    now = yard.get("/api/now").json()
    assert all(None in link["sent_bps"] for link in now["links"] if "e3" in link["ends"])
    assert next(device["age_s"] for device in now["devices"] if device["id"] == "e3") > SILENT_S
    yard.trouble = {}
    yard.poll(0.5)
    assert yard.states()["e3"] == "up"


def test_a_device_that_left_is_away(yard: Yard) -> None:
    yard.trouble = {"away": ["e2"]}
    yard.poll(1.0)
    assert yard.states()["e2"] == "away"
    yard.poll(1.0)
    series = yard.telemetry.excerpt(["cpu:e2", "cpu:e1"], 10, 10).series
    assert series["cpu:e2"][-1] is None and series["cpu:e1"][-1] is not None


def test_when_the_scheduler_is_silent_the_age_and_the_reason_are_told(yard: Yard) -> None:
    yard.trouble = {"down": True}
    yard.poll(4.0)
    now = yard.get("/api/now").json()
    assert now["silent_s"] == pytest.approx(4.0)
    assert set(yard.states().values()) == {"unknown"}
    assert any("the scheduler died" in error for error in now["errors"])
    yard.trouble = {}
    yard.poll(1.0)
    assert set(yard.states().values()) == {"up"}
    assert yard.get("/api/now").json()["errors"] == []


def test_a_call_that_hangs_keeps_neither_the_page_nor_other_questions_waiting(yard: Yard) -> None:
    asked = threading.Event()
    hang = threading.Event()

    def stuck(method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        if method == "jobs":
            asked.set()
            hang.wait(60)
        return yard.ask(method, *args)

    telemetry = Telemetry(stuck)
    telemetry.start()
    try:
        assert asked.wait(20)
        devices = threading.Event()
        while telemetry.now()["age_s"]["devices"] is None:
            assert not devices.wait(0.05)
        now = telemetry.now()
        assert now["age_s"]["jobs"] is None and len(now["devices"]) == 5
    finally:
        telemetry.stop()
        hang.set()


def test_history_over_http(yard: Yard) -> None:
    for _ in range(11):
        yard.poll(1.0)
    read = yard.get(
        "/api/history", params={"series": ["fps:reid-3/gate-0", "job:split-2"], "seconds": 10, "points": 10}
    ).json()
    assert [value for value in read["series"]["job:split-2"] if value is not None] == [4.1] * 10
    assert all(6.4 < value < 8.6 for value in read["series"]["fps:reid-3/gate-0"])
    assert yard.get("/api/history", params={"series": "a", "seconds": 9999}).status_code == 422


def test_a_cameras_picture_comes_with_boxes(yard: Yard) -> None:
    view = yard.get("/api/view", params={"job": "reid-3", "camera": "gate-1"}).json()
    assert base64.b64decode(view["jpeg"])[:2] == b"\xff\xd8"
    assert len(view["boxes"]) == len(view["tracks"]) == len(view["persons"]) == 3
    assert yard.get("/api/view", params={"job": "reid-3", "camera": "cellar-9"}).status_code == 404


def test_pictures_share_a_call_and_give_up_on_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeray.web.live.pictures.WAIT_S", 0.05)
    calls, release = [], threading.Event()

    def ask(method: str, *args: Any, timeout_s: float = 5.0) -> Any:
        calls.append(args)
        release.wait(60)
        return {"camera": args[1]}

    at = [0.0]
    pictures = Pictures(ask, clock=lambda: at[0])
    for _ in range(20):
        with pytest.raises(ClusterError, match="no picture of gate"):
            pictures.get("reid-3", "gate")
    assert calls == [("reid-3", "gate")]
    monkeypatch.setattr("edgeray.web.live.pictures.WAIT_S", 30.0)
    release.set()
    assert pictures.get("reid-3", "gate") == pictures.get("reid-3", "gate") == {"camera": "gate"}
    assert len(calls) == 1
    at[0] += 1.0
    assert pictures.get("reid-3", "gate") == {"camera": "gate"} and len(calls) == 2
    pictures.close()


def test_people_and_what_is_missing_of_them(yard: Yard) -> None:
    assert len(yard.get("/api/people", params={"job": "reid-3"}).json()["persons"]) == 14
    yard.trouble = {"lost": ["e4"]}
    one = yard.get("/api/people", params={"job": "reid-3", "person": 7}).json()
    assert {visit["person"] for visit in one["visits"]} == {7}
    assert not one["complete"] and [lost["device"] for lost in one["missing"]] == ["e4"]
    assert yard.get("/api/people", params={"job": "nobody-1"}).status_code == 404
    yard.trouble = {"down": True}
    failed = yard.get("/api/people", params={"job": "reid-3"})
    assert failed.status_code == 503 and "the scheduler died" in failed.json()["detail"]


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ü"],
)
def test_stopping_needs_the_token(yard: Yard, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given.encode()}
    assert yard.request("POST", "/api/jobs/reid-3/stop", headers=headers).status_code == 401
    assert yard.cluster.stopped == []


def test_stopping_with_the_token(yard: Yard) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert yard.request("POST", "/api/jobs/reid-3/stop", headers=headers).status_code == 200
    assert yard.cluster.stopped == ["reid-3"]
    assert yard.request("POST", "/api/jobs/nobody-1/stop", headers=headers).status_code == 404
    assert yard.get("/api/jobs/reid-3/stop", headers=headers).status_code == 405


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8266", 200),
        ("localhost", 200),
        ("[::1]:8266", 200),
        ("192.168.1.4:8266", 200),
        ("evil.example", 421),
        ("evil.example:8266", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_only_under_its_own_name(yard: Yard, host: str, status: int) -> None:
    for path in ("/", "/api/now", "/static/page.js"):
        assert yard.get(path, headers={"Host": host}).status_code == status


def test_every_answer_carries_the_security_headers(yard: Yard) -> None:
    for path in ("/", "/api/now", "/static/page.css", "/nothing", "/api/people?job=nobody-1"):
        headers = yard.get(path, headers={"Origin": "https://evil.example"}).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]


def test_what_browsers_load_goes_into_the_wheel() -> None:
    asked = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    kinds = {file.suffix for file in STATIC.iterdir()}
    assert {".js", ".css", ".html", ".svg"} <= kinds
    assert [kind for kind in kinds if f'"**/*{kind}"' not in asked] == []


def test_nothing_is_loaded_from_elsewhere_and_no_text_is_parsed(yard: Yard) -> None:
    page = yard.get("/").text
    assert "<script>" not in page and " style=" not in page and "http" not in page
    names = (
        "page",
        "dom",
        "api",
        "format",
        "chart",
        "decisions",
        "overview",
        "topology",
        "cameras",
        "people",
        "history",
    )
    scripts = {name: yard.get(f"/static/{name}.js") for name in names}
    assert {answer.status_code for answer in scripts.values()} == {200}
    code = "".join(answer.text for answer in scripts.values())
    assert not [
        bad for bad in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(") if bad in code
    ]
    assert yard.get("/static/../server.py").status_code == 404
    assert EVIL in json.dumps(yard.get("/api/now").json())


def test_the_map_is_the_same_each_time_and_boxes_lie_apart(yard: Yard) -> None:
    drawn = yard.get("/api/topology").json()
    assert set(drawn["centres"]) == {"e1", "e2", "e3", "e4", "e5"}
    assert Topology().of(yard.telemetry.network()) == drawn
    width, height = (side * PIXELS_PER_INCH for side in BOX_IN)
    centres = sorted(drawn["centres"].items())
    for place, (_, a) in enumerate(centres):
        assert 0 < a[0] < drawn["width"] and 0 < a[1] < drawn["height"]
        for _, b in centres[place + 1 :]:
            assert abs(a[0] - b[0]) > width or abs(a[1] - b[1]) > height
    assert Topology().of({"devices": {}, "links": {}})["centres"] == {}


def test_pieces() -> None:
    assert [host_name(host) for host in ("A.b:80", "[::1]:80", "[::1]", "::1", "x")] == [
        "a.b",
        "::1",
        "::1",
        "::1",
        "x",
    ]
    assert may_act("bearer abc", "abc") and not may_act("bearer abc", "abd")
    assert plain({"a": (float("nan"), b"\x01", {1: None})}) == {"a": [None, "AQ==", {"1": None}]}
