"""Clusters brought up for real: namespaces, limits, raylets, tokens; and that down leaves nothing, whatever happened."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from edgeray import testbed
from edgeray.errors import TestbedError
from edgeray.spec.app import Cluster
from edgeray.testbed import cleanup, modes
from edgeray.testbed import state as states
from policies.model import Device, DeviceId, Link, Network

pytestmark = [
    pytest.mark.testbed,
    pytest.mark.skipif(modes.why_not("root") is not None, reason=f"root mode: {modes.why_not('root')}"),
]


def make_cluster(name: str, cpus: Sequence[float]) -> Cluster:
    """A line of devices e1, e2, ...; e1 is the head."""
    ids = [DeviceId(f"e{number}") for number in range(1, len(cpus) + 1)]
    links = [Link(ends=(a, b), capacity_bps=10e6) for a, b in itertools.pairwise(ids)]
    devices = {
        id: Device(id=id, type="pi" if share < 1 else "server", memory_bytes=400e6, cpus=share)
        for id, share in zip(ids, cpus, strict=True)
    }
    network = Network(devices=devices, links={link.id: link for link in links})
    return Cluster(name=name, head=ids[0], network=network, file=Path(f"{name}.yaml"))


THREE = make_cluster("three", (1.0, 0.5, 0.25))


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.02)


def run_on_head(
    state: testbed.ClusterState, code: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        testbed.head_command(state, [sys.executable, "-c", code]),
        env={**testbed.head_environment(state), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[testbed.ClusterState]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGERAY_STATE_DIR", str(tmp_path_factory.mktemp("three")))
        said: list[str] = []
        state = testbed.up(THREE, mode="root", progress=said.append)
        assert any("all 3 devices have joined" in line for line in said)
        yield state
        testbed.down(progress=said.append)
        assert testbed.leftovers() == []
        assert not Path(state.temp_dir).exists()


def test_nodes_have_their_resources_labels_and_environment(three: testbed.ClusterState) -> None:
    done = run_on_head(
        three,
        """
import json, os, ray
ray.init(address="auto", log_to_driver=False, logging_level="error")
nodes = {n["Labels"]["edgeray.device"]: n for n in ray.nodes() if n["Alive"]}

@ray.remote(num_cpus=0)
def where():
    import ray
    return [os.environ["EDGERAY_DEVICE"], os.environ["EDGERAY_DEVICE_FILE"], os.environ["EDGERAY_STAGE_CGROUP"],
            os.environ["EDGERAY_OUTPUT_ROOT"], ray.util.get_node_ip_address()]

asked = {id: where.options(resources={f"device:{id}": 1}).remote() for id in sorted(nodes)}
print(json.dumps({id: [nodes[id]["Resources"], nodes[id]["Labels"], ray.get(asked[id])] for id in asked}))
""",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(found) == ["e1", "e2", "e3"]
    for id, (resources, labels, (device, file, groups, outputs, address)) in found.items():
        type = "server" if id == "e1" else "pi"
        assert (resources[f"device:{id}"], resources[f"type:{type}"]) == (1000, 1000)
        assert resources.get("CPU", 0) == 0
        assert (labels["edgeray.device"], labels["edgeray.type"]) == (id, type)
        assert (device, address) == (id, three.devices[id].address)
        assert testbed.device_file.read(file).device == id
        assert [Path(path).parent for path in groups.split(os.pathsep)] == [
            Path(path) for path in three.devices[id].stage_cgroups
        ]
        assert Path(outputs).is_dir()


def test_a_driver_without_the_token_is_refused(three: testbed.ClusterState, tmp_path: Path) -> None:
    code = "import sys; from ray._raylet import GcsClient; print(len(GcsClient(address=sys.argv[1]).get_all_node_info()))"
    command = testbed.head_command(three, [sys.executable, "-c", code, three.gcs_address])
    allowed = testbed.head_environment(three)
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)

    def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    good = run(allowed)
    assert (good.returncode, good.stdout.strip()) == (0, "3"), good.stderr[-2000:]
    for environment in (
        {**allowed, "RAY_AUTH_TOKEN_PATH": str(wrong)},
        {**allowed, "RAY_AUTH_MODE": "disabled"},
    ):
        refused = run(environment)
        assert refused.returncode != 0
        assert "uthenticat" in refused.stderr, refused.stderr[-2000:]
    assert Path(three.token_path).stat().st_mode & 0o077 == 0


def test_the_dashboard_is_reached_from_outside_with_the_token_only(three: testbed.ClusterState) -> None:
    """What `ray job submit` on this machine needs: the management link leads to the head."""
    url = f"{three.dashboard_url}/api/jobs/"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    token = Path(three.token_path).read_text().strip()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with opener.open(request, timeout=30) as answer:
        assert isinstance(json.load(answer), list)
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(url, timeout=30)
    assert refused.value.code in (401, 403)


def test_stages_get_the_cpu_of_their_device_and_no_more(three: testbed.ClusterState) -> None:
    """A busy loop in e3's group (0.25 CPUs) for 2 s of real time: what it used is what the quota says."""
    device = three.devices["e3"]
    groups = [f"{folder}/cgroup.procs" for folder in device.stage_cgroups]
    code = f"""
import os, time
for path in {groups!r}:
    open(path, "w").write(str(os.getpid()))
start, used = time.monotonic(), time.process_time()
while time.monotonic() - start < 2.0:
    pass
print((time.process_time() - used) / (time.monotonic() - start))
"""
    share = float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    # Below 0.25 only where other work on this machine takes the CPUs; the quota itself is what must hold.
    assert 0.05 < share < 0.25 * 1.15


def test_stages_that_take_more_than_the_devices_memory_are_killed(three: testbed.ClusterState) -> None:
    groups = [f"{folder}/cgroup.procs" for folder in three.devices["e2"].stage_cgroups]
    code = f"""
import os
for path in {groups!r}:
    open(path, "w").write(str(os.getpid()))
kept = bytearray(200 << 20)
print("within", flush=True)
kept += bytearray(400 << 20)
print("beyond", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.returncode) == (["within"], -signal.SIGKILL)


def test_the_raylet_is_in_the_system_group_which_has_no_cpu_limit(three: testbed.ClusterState) -> None:
    names = set()
    for folder in three.devices["e1"].system_cgroups:
        for pid in (Path(folder) / "cgroup.procs").read_text().split():
            names.add(Path(f"/proc/{pid}/comm").read_text().strip())
        quota = Path(folder) / "cpu.cfs_quota_us"
        assert not quota.exists() or quota.read_text().strip() == "-1"
    assert "raylet" in names


def test_devices_reach_each_other_only_over_the_links(three: testbed.ClusterState) -> None:
    """A ping from e1 to e3 must pass e2: its hop count is seen in the TTL, and e2's counters grow."""
    counters = "import sys; print(open('/proc/net/dev').read())"

    def packets_from_e2_to_e3() -> int:
        text = subprocess.run(
            testbed.device_command(three, "e2", [sys.executable, "-c", counters]),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        line = next(line for line in text.splitlines() if line.strip().startswith("to-e3:"))
        return int(line.split()[10])

    code = """
import socket, sys
with socket.create_connection((sys.argv[1], 9), timeout=5): pass
"""
    before = packets_from_e2_to_e3()
    argv = testbed.device_command(three, "e1", [sys.executable, "-c", code, three.devices["e3"].address])
    done = subprocess.run(argv, capture_output=True, text=True)
    assert "ConnectionRefusedError" in done.stderr  # e3 answered: nothing listens there
    assert packets_from_e2_to_e3() > before


def test_up_again_is_the_same_cluster_and_another_is_refused(three: testbed.ClusterState) -> None:
    said: list[str] = []
    assert testbed.up(THREE, mode="auto", progress=said.append) == three
    assert said == ["three is up already"]
    with pytest.raises(TestbedError, match="edgeray down"):
        testbed.up(make_cluster("other", (1.0,)), mode="auto", progress=said.append)
    assert testbed.current() == three


def test_two_clusters_stand_side_by_side_and_down_takes_its_own(
    three: testbed.ClusterState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one also loses its raylet to kill -9 and its state file before it goes down."""
    monkeypatch.setenv("EDGERAY_STATE_DIR", str(tmp_path / "second"))
    second = testbed.up(make_cluster("second", (0.5,)), mode="root", progress=lambda line: None)
    assert second.gcs_address != three.gcs_address
    raylet = next(
        pid
        for pid in cleanup.processes(second.tag)
        if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet"
    )
    os.kill(raylet, signal.SIGKILL)
    wait_until(lambda: raylet not in cleanup.processes(second.tag), "the raylet to be gone")
    (states.state_dir() / "cluster.json").unlink()
    testbed.down(progress=lambda line: None)
    assert testbed.leftovers() == []
    testbed.down(progress=lambda line: None)
    assert len(cleanup.leftovers_of(three.tag)) > 10
    assert (
        run_on_head(
            three,
            "import socket, sys; socket.create_connection(('" + three.devices["e1"].address + "', 6379))",
        ).returncode
        == 0
    )


UP = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, sys.argv[1])
from test_testbed import make_cluster
from edgeray import testbed
testbed.up(make_cluster("killed", (0.5, 0.5)), mode=sys.argv[2], progress=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize(
    ("stop_at", "how"),
    [
        ("making namespaces", signal.SIGKILL),
        ("starting raylets", signal.SIGKILL),
        ("e1: raylet runs", signal.SIGKILL),
        ("starting raylets", signal.SIGINT),
    ],
)
def test_down_cleans_after_up_was_stopped_half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str, how: signal.Signals
) -> None:
    monkeypatch.setenv("EDGERAY_STATE_DIR", str(tmp_path / "state"))
    argv = [sys.executable, "-c", UP, str(Path(__file__).parent), "root"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if stop_at in line:
                process.send_signal(how)
                break
        process.stdout.read()
    left, current = testbed.leftovers(), testbed.current()
    if how == signal.SIGKILL:
        testbed.down(progress=lambda line: None)
    left_at_last = testbed.leftovers()
    testbed.down(progress=lambda line: None)  # whatever failed: nothing stays for the tests that follow
    assert process.returncode != 0
    assert (left != []) == (how == signal.SIGKILL)
    assert current is None
    assert left_at_last == []
    assert states.read() is None
