"""The other ways to have devices: a user namespace, loopback addresses, and machines that join over a network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeray import testbed
from edgeray.errors import BadInputError
from edgeray.spec.app import Cluster
from edgeray.testbed import cleanup, modes, namespaces
from edgeray.testbed.layout import Layout, plan_layout
from policies.model import Device, DeviceId, Link, Network

pytestmark = pytest.mark.testbed

WHERE = """
import json, os, ray
ray.init(address="auto", log_to_driver=False, logging_level="error")

@ray.remote(num_cpus=0)
def where():
    return os.environ["EDGERAY_DEVICE"]

print(json.dumps([ray.get(where.options(resources={f"device:{id}": 1}).remote()) for id in ("e1", "e2")]))
"""


def make_cluster(addresses: dict[DeviceId, str]) -> Cluster:
    """Two devices, e1 (the head) and e2, with a link of 10 Mbit/s."""
    one, two = DeviceId("e1"), DeviceId("e2")
    link = Link(ends=(one, two), capacity_bps=10e6)
    network = Network(
        devices={id: Device(id=id, type="nano", memory_bytes=400e6, cpus=0.5) for id in (one, two)},
        links={link.id: link},
    )
    return Cluster(name="pair", head=one, network=network, file=Path("pair.yaml"), addresses=addresses)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("EDGERAY_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path / "state"
    testbed.down(progress=lambda line: None)


def on_device(state: testbed.ClusterState, device: str, *argv: str) -> str:
    return subprocess.run(
        testbed.device_command(state, device, argv), capture_output=True, text=True, check=True
    ).stdout


def devices_that_answer(state: testbed.ClusterState) -> list[str]:
    done = subprocess.run(
        testbed.head_command(state, [sys.executable, "-c", WHERE]),
        env=testbed.head_environment(state),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(modes.why_not("userns") is not None, reason=f"userns mode: {modes.why_not('userns')}")
def test_a_user_namespace_holds_shaped_devices_and_goes_with_its_holder() -> None:
    state = testbed.up(make_cluster({}), mode="userns", progress=lambda line: None)
    assert devices_that_answer(state) == ["e1", "e2"]
    for device, interface in (("e1", "to-e2"), ("e2", "to-e1")):
        assert "htb" in on_device(state, device, "tc", "qdisc", "show", "dev", interface)
    assert namespaces.find(state.tag) == {}, "the namespaces are bound in the holder's own mount namespace"
    assert on_device(state, "e2", "pwd").strip() == str(Path.cwd())
    testbed.down(progress=lambda line: None)
    assert testbed.leftovers() == []


def test_loopback_devices_answer_and_the_notes_say_what_is_missing() -> None:
    state = testbed.up(make_cluster({}), mode="loopback", progress=lambda line: None)
    assert devices_that_answer(state) == ["e1", "e2"]
    assert any("senders pace" in note for note in state.notes)
    assert testbed.device_file.read(state.devices["e2"].device_file).enforcement_hint == "pacing"
    testbed.down(progress=lambda line: None)
    assert testbed.leftovers() == []


# A machine that joins is played by a namespace: it has an interface and an address of its own, and no more.
MACHINE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_testbed_modes import make_cluster
from edgeray import testbed
say = lambda line: print(line, file=sys.stderr)
verb, *rest = sys.argv[2:]
if verb == "up":
    state = testbed.up(make_cluster(json.loads(rest[0])), mode="auto", progress=say)
elif verb == "join":
    state = testbed.join(rest[0], type=rest[1], token_file=rest[2], progress=say)
else:
    testbed.down(progress=say)
    sys.exit(json.dumps(testbed.leftovers()) if testbed.leftovers() else 0)
print(json.dumps([state.mode, state.token_path, {id: d.device_file for id, d in state.devices.items()}]))
"""


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    obstacle = modes.why_not("root")
    if obstacle is not None:
        pytest.skip(f"needs two network namespaces: {obstacle}")
    cluster = make_cluster({})
    tag = "machine"
    layout = plan_layout(cluster.network, cluster.head, tag=tag, subnet=namespaces.free_subnet("0000"))
    try:
        namespaces.make(layout, management=False)
        yield layout
    finally:
        cleanup.clean(tag)


def test_a_machine_joins_a_head_and_leaves(machines: Layout, tmp_path: Path) -> None:
    def run(device: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--net={namespaces.NETNS_FOLDER / machines.namespaces[device]}", "--"]
        environment = {**testbed.raylets.clean_environment(), "EDGERAY_STATE_DIR": str(tmp_path / device)}
        argv = [*enter, sys.executable, "-c", MACHINE, str(Path(__file__).parent), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120)

    addresses = {id: machines.address(id) for id in ("e1", "e2")}
    try:
        head = run("e1", "up", json.dumps(addresses))
        assert head.returncode == 0, head.stderr[-3000:]
        mode, token, _ = json.loads(head.stdout)
        assert mode == "physical"
        assert f"edgeray join {addresses['e1']}:6379 --type nano --device e2" in head.stderr

        wrong = run("e2", "join", addresses["e1"], "pi", token)
        assert BadInputError.__name__ in wrong.stderr
        assert "e2 is of type nano, not pi" in wrong.stderr
        assert run("e2", "down").returncode == 0

        joined = run("e2", "join", addresses["e1"], "nano", token)
        assert joined.returncode == 0, joined.stderr[-3000:]
        mode, _, files = json.loads(joined.stdout)
        assert (mode, list(files)) == ("joined", ["e2"])
        file = testbed.device_file.read(files["e2"])
        (port,) = file.network.ports
        assert (port.interface, port.peer, port.peer_address) == ("to-e1", "e1", addresses["e1"])
        assert file.type == "nano"
    finally:
        for device in ("e2", "e1"):
            done = run(device, "down")
            assert done.returncode == 0, done.stderr
