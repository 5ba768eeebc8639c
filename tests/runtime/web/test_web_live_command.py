"""`edgeray ui`: its options, its address, its end; and its connection, which outlives the cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from live_page import live_page, until

from edgeray.cli import ui
from edgeray.cli.enter import head_process
from edgeray.errors import BadInputError, ClusterError, TestbedError
from edgeray.web.live.connection import HOPELESS_S, Connection

TALKER = Path(__file__).with_name("live_cluster.py")


def edgeray(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeray.cli.main", "ui", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def talking(control: Path) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, str(TALKER), str(control)], dict(os.environ)


def test_it_serves_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with live_page(tmp_path) as page:
        assert urlsplit(page.url).hostname == "127.0.0.1"
        assert urlsplit(page.url).fragment == f"token={page.token}" and len(page.token) >= 32
        now = until(lambda: (found := httpx.get(f"{page.base}/api/now").json())["devices"] and found)
        assert [device["id"] for device in now["devices"]] == ["e1", "e2", "e3", "e4", "e5"]
        assert (now["cluster"], now["head"]) == ("yard", "e1")
        assert httpx.post(f"{page.base}/api/jobs/reid-3/stop").status_code == 401
        headers = {"Authorization": f"Bearer {page.token}"}
        until(lambda: httpx.get(f"{page.base}/api/now").json()["jobs"])
        assert httpx.post(f"{page.base}/api/jobs/reid-3/stop", headers=headers).status_code == 200
        with httpx.Client() as browser:  # a browser that stays does not keep the command
            browser.get(f"{page.base}/api/now")
            code, said = page.end()
    assert code == 0
    assert said.splitlines()[-1] == "the page is closed"
    assert "Traceback" not in said


def test_a_cluster_that_goes_is_told_and_one_that_comes_back_is_shown(tmp_path: Path) -> None:
    with live_page(tmp_path) as page:

        def now() -> dict[str, Any]:
            return dict(httpx.get(f"{page.base}/api/now").json())

        until(lambda: now()["devices"])
        page.trouble(die=True)
        lost = until(lambda: (found := now())["silent_s"] > 2.5 and found["errors"] and found)
        assert "the connection to the cluster was lost" in lost["errors"][0]
        assert len(lost["devices"]) == 5 and {device["state"] for device in lost["devices"]} == {"unknown"}
        page.trouble()
        until(lambda: {device["state"] for device in now()["devices"]} == {"up"})
        assert page.end()[0] == 0


def test_it_ends_when_the_cluster_stays_away(tmp_path: Path) -> None:
    with live_page(tmp_path, LIVE_GONE_S="1.5") as page:
        page.trouble(down=True)
        until(lambda: page.process.poll() is not None)
        code, said = page.end()
    assert code == 1
    assert "the cluster has not answered for" in said and "remedy:" in said and "Traceback" not in said


def test_a_port_that_is_taken_is_bad_input() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = edgeray("--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr and "--port 0" in done.stderr and done.stdout == ""


def test_an_address_of_another_machine_is_bad_input() -> None:
    with pytest.raises(BadInputError, match=r"(?s)cannot listen on 192\.0\.2\.7.*--host 127\.0\.0\.1"):
        ui.listen("192.0.2.7", 0)


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    away = {
        key: ""
        for key in ("EDGERAY_INSIDE", "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR")
        if key in os.environ
    }
    assert not away, "these tests run outside of a cluster"
    done = edgeray("--port", "0", EDGERAY_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "no cluster is up on this machine" in done.stderr and done.stdout == ""


def test_where_the_scheduler_can_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERAY_STATE_DIR", str(tmp_path))
    with pytest.raises(TestbedError, match="no cluster is up"):
        head_process(["program"])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    argv, environment = head_process(["program"])
    assert argv == ["program"] and environment["RAY_ADDRESS"] == "10.0.0.1:6379"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        (b"short", "5 characters"),
        (b"with a space in it all", "no spaces"),
        (b"\xff\xfe" * 20, "not a text file"),
    ],
)
def test_bad_token_files(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInputError, match=told) as caught:
        ui.read_token(file)
    assert "remedy:" in str(caught.value)


def test_the_token_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef0123\n")
    assert ui.read_token(file) == "0123456789abcdef0123"
    with live_page(tmp_path, "--token-file", str(file)) as page:
        assert page.token == "0123456789abcdef0123"


def test_addresses_for_browsers() -> None:
    assert ui.page_url("127.0.0.1", 80, "t") == "http://127.0.0.1:80/#token=t"
    assert ui.page_url("::1", 80, "t") == "http://[::1]:80/#token=t"
    assert ui.page_url("0.0.0.0", 80, "t") == f"http://{socket.gethostname()}:80/#token=t"


def test_answers_and_errors_cross_the_connection(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text("{}")
    connection = Connection(lambda: talking(control))
    try:
        assert len(connection("devices", timeout_s=60)) == 5
        with pytest.raises(BadInputError, match="watches no cameras"):
            connection("query", "poster-2", None)
        control.write_text('{"hang": ["jobs"]}')
        with pytest.raises(ClusterError, match="did not answer jobs within"):
            connection("jobs", timeout_s=0.2)
        assert len(connection("devices")) == 5, "a question that hangs leaves the others alone"
    finally:
        connection.close()
    with pytest.raises(ClusterError):
        connection("devices")


def test_a_connection_that_breaks_is_made_again_but_not_at_once(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text("{}")
    at_s, started = [0.0], []

    def command() -> tuple[list[str], dict[str, str]]:
        started.append(at_s[0])
        return talking(control)

    connection = Connection(command, clock=lambda: at_s[0])
    try:
        connection("network", timeout_s=60)
        control.write_text('{"die": true}')
        with pytest.raises(ClusterError, match="the connection to the cluster was lost"):
            connection("network", timeout_s=60)
        control.write_text("{}")
        for _ in range(5):
            with pytest.raises(ClusterError, match="the connection to the cluster was lost"):
                connection("network")
        assert started == [0.0]
        at_s[0] = 10.0
        assert connection("network", timeout_s=60)["devices"]
        assert started == [0.0, 10.0]
    finally:
        connection.close()


def test_a_process_that_never_answers_is_replaced(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text('{"hang": ["network"]}')
    at_s, started = [0.0], []

    def command() -> tuple[list[str], dict[str, str]]:
        started.append(at_s[0])
        return talking(control)

    connection = Connection(command, clock=lambda: at_s[0])
    try:
        for at_s[0] in (0.0, HOPELESS_S - 1):
            with pytest.raises(ClusterError, match="did not answer"):
                connection("network", timeout_s=0.1)
        assert started == [0.0]
        control.write_text("{}")
        at_s[0] = HOPELESS_S + 1
        assert connection("network", timeout_s=60)["devices"]
        assert started == [0.0, HOPELESS_S + 1]
    finally:
        connection.close()


def test_a_process_that_cannot_start_gives_its_reason() -> None:
    connection = Connection(
        lambda: ([sys.executable, "-c", "raise SystemExit('no room left')"], dict(os.environ))
    )
    with pytest.raises(ClusterError, match="no room left"):
        connection("network", timeout_s=60)
    connection.close()


def test_the_real_process_tells_why_it_cannot_reach_the_cluster() -> None:
    argv = [sys.executable, "-m", "edgeray.web.live.bridge"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    connection = Connection(lambda: (argv, environment))
    with pytest.raises(ClusterError, match="RAY_ADDRESS is not set"):
        connection("network", timeout_s=120)
    connection.close()


def test_the_watch_ends_the_server_only_when_nobody_answers() -> None:
    server, lost = types.SimpleNamespace(should_exit=False), threading.Event()
    silent = [0.0]

    def silent_s() -> float:
        silent.append(silent[-1] + ui.GONE_S / 2)
        return silent[-2]

    telemetry: Any = types.SimpleNamespace(silent_s=silent_s)
    ui._watch(telemetry, server, lost)
    assert lost.is_set() and server.should_exit
    assert silent[-2] > ui.GONE_S >= silent[-3]
