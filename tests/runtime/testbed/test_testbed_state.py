"""The saved state, the device file, how processes enter, and which real device a machine is."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeray.errors import BadInputError, ClusterError, TestbedError
from edgeray.network.types import DeviceNetwork, LinkPort
from edgeray.testbed import cleanup, description, device_file, doctor, modes, physical, state
from edgeray.testbed.description import Description
from edgeray.testbed.device_file import DeviceFile
from edgeray.testbed.entry import device_command, head_command, head_environment
from edgeray.testbed.raylets import start_argv
from edgeray.testbed.state import ClusterState, DeviceState
from policies.model import Device, DeviceId, Link, Network, link_id


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERAY_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def make_state(folder: Path, **changes: object) -> ClusterState:
    device = DeviceState(
        id="e1",
        type="pi",
        address="10.77.1.1",
        netns="er-x-e1",
        device_file=str(folder / "devices/e1.json"),
        output_root=str(folder / "outputs/e1"),
        temp_dir="/tmp/er-x/0",
        system_cgroups=("/cg/a",),
        stage_cgroups=("/cg/b", "/cg/c"),
    )
    made = ClusterState(
        name="one",
        tag="x",
        mode="root",
        phase="up",
        head="e1",
        gcs_address="10.77.1.1:6379",
        dashboard_url="http://10.77.1.1:8265",
        token_path=str(folder / "token"),
        temp_dir="/tmp/er-x",
        cluster_file="one.yaml",
        fingerprint="f",
        boot_id=state.boot_id(),
        devices={"e1": device},
        notes=("a note",),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def real_cluster() -> Description:
    ids = [DeviceId(name) for name in ("e1", "e2", "e3")]
    links = [
        Link(ends=(ids[0], ids[1]), capacity_bps=5e6, delay_s=0.01),
        Link(ends=(ids[1], ids[2]), capacity_bps=2e6),
    ]
    return Description(
        name="lab",
        head=ids[0],
        network=Network(
            devices={id: Device(id=id, type="nano", memory_bytes=4e9, cpus=4) for id in ids},
            links={link.id: link for link in links},
        ),
        addresses={id: f"192.168.7.{number}" for number, id in enumerate(ids, 1)},
    )


def test_state_survives_writing_and_reading(folder: Path) -> None:
    written = make_state(folder)
    state.write(written)
    assert state.read() == written
    assert state.current() == written
    assert [path.name for path in folder.iterdir()] == ["cluster.json"]


@pytest.mark.parametrize("changes", [{"phase": "starting"}, {"boot_id": "of another start of the machine"}])
def test_a_cluster_that_is_not_up_is_not_current(folder: Path, changes: dict[str, str]) -> None:
    state.write(make_state(folder, **changes))
    assert state.current() is None
    assert state.read() is not None
    with pytest.raises(TestbedError, match="edgeray up"):
        state.require_current()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 99}', '{"version": 1, "devices": 3}']
)
def test_a_damaged_state_file_counts_as_none(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "cluster.json").write_text(text)
    assert state.read() is None


def test_forget_keeps_job_outputs(folder: Path) -> None:
    state.write(make_state(folder))
    (folder / "devices").mkdir()
    (folder / "devices/e1.json").write_text("{}")
    (folder / "outputs/e1").mkdir(parents=True)
    (folder / "outputs/e1/video.mp4").write_text("x")
    state.forget()
    assert sorted(path.name for path in folder.rglob("*")) == ["e1", "outputs", "video.mp4"]


def test_tags_differ_by_folder_and_stay_the_same() -> None:
    assert state.tag_of(Path("/a")) == state.tag_of(Path("/a"))
    assert state.tag_of(Path("/a")) != state.tag_of(Path("/b"))


def test_device_file_survives_writing_and_reading(tmp_path: Path) -> None:
    network = DeviceNetwork(
        device=DeviceId("e2"),
        address="192.168.7.2",
        ports=tuple(
            LinkPort(
                link=link_id(DeviceId("e2"), DeviceId(peer)),
                interface=f"wlan{peer[1]}",
                peer=DeviceId(peer),
                peer_address=f"192.168.7.{peer[1]}",
                capacity_bps=1e6,
            )
            for peer in ("e1", "e3")
        ),
    )
    file = physical.make_device_file(real_cluster(), DeviceId("e2"), network=network, takeover=True)
    device_file.write(tmp_path / "d/e2.json", file)
    assert device_file.read(tmp_path / "d/e2.json") == file
    assert [(port.link, port.interface, port.peer, port.peer_address) for port in file.network.ports] == [
        ("e1-e2", "wlan1", "e1", "192.168.7.1"),
        ("e2-e3", "wlan3", "e3", "192.168.7.3"),
    ]


@pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"ports": [{"link": "a"}]}'])
def test_a_wrong_device_file_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "device.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInputError, match=r"device\.json: not a device file"):
        device_file.read(path)


def test_entering_a_device(folder: Path) -> None:
    root = make_state(folder)
    assert head_command(root, ["ls", "-l"]) == ["nsenter", "--net=/run/netns/er-x-e1", "--", "ls", "-l"]
    users = make_state(folder, holder_pid=77, mode="userns")
    assert head_command(users, ["ls"])[:2] == ["nsenter", "--target=77"]
    assert head_command(users, ["ls"])[-3:] == ["--net=/run/netns/er-x-e1", "--", "ls"]
    device = dataclasses.replace(root.devices["e1"], netns=None)
    loopback = make_state(folder, mode="loopback", devices={"e1": device})
    assert head_command(loopback, ["ls"]) == ["ls"]
    joined = make_state(folder, mode="joined", head="elsewhere", devices={"e1": device})
    assert head_command(joined, ["ls"]) == ["ls"]
    with pytest.raises(BadInputError, match="e1"):
        device_command(root, "e9", ["ls"])


def test_the_environment_says_auth_outright_and_drops_the_callers_ray(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("https_proxy", "http://proxy")
    found = head_environment(make_state(folder))
    assert found["RAY_ADDRESS"] == "10.77.1.1:6379"
    assert (found["RAY_AUTH_MODE"], found["RAY_AUTH_TOKEN_PATH"]) == ("token", str(folder / "token"))
    assert "RAY_AUTH_TOKEN" not in found
    assert "https_proxy" not in found
    assert found["EDGERAY_DEVICE"] == "e1"
    assert found["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_process_inside_a_device_does_not_enter_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a user namespace it could not: a process may not enter the one that it is in."""
    cluster = make_state(folder, holder_pid=77, mode="userns")
    for name, value in head_environment(cluster).items():
        if name.startswith("EDGERAY_"):
            monkeypatch.setenv(name, value)
    assert head_command(cluster, ["ls"]) == ["ls"]
    monkeypatch.setenv("EDGERAY_INSIDE", "another:e1")
    assert head_command(cluster, ["ls"])[0] == "nsenter"


def test_only_the_head_starts_a_dashboard_and_the_store_is_small() -> None:
    file = DeviceFile(
        type="nano",
        cpus=1,
        memory_bytes=1e9,
        enforcement_hint="tc",
        takeover=False,
        network=DeviceNetwork(device=DeviceId("e1"), address="10.77.1.1", ports=()),
    )
    head = start_argv(file, temp_dir="/tmp/x", head_address=None)
    worker = start_argv(file, temp_dir="/tmp/x", head_address="10.77.1.9:6379")
    assert "--dashboard-host=10.77.1.1" in head
    assert not any(word.startswith(("--dashboard-host", "--head", "--system-config")) for word in worker)
    for argv in (head, worker):
        resources = json.loads(
            next(word for word in argv if word.startswith("--resources=")).partition("=")[2]
        )
        assert resources == {"device:e1": 1000, "type:nano": 1000}
        assert "--num-cpus=0" in argv


def test_the_description_survives_the_way_to_a_device() -> None:
    assert description.from_json(description.to_json(real_cluster())) == real_cluster()
    with pytest.raises(ClusterError, match="same version"):
        description.from_json('{"name": "x"}')


def test_a_machine_is_the_device_whose_address_it_has() -> None:
    own = frozenset({"192.168.7.3", "172.17.0.1"})
    assert physical.identify(real_cluster(), own, device=None, type=None) == "e3"
    assert physical.identify(real_cluster(), own, device="e3", type="nano") == "e3"
    with pytest.raises(BadInputError, match="e3 is of type nano, not pi"):
        physical.identify(real_cluster(), own, device=None, type="pi")
    with pytest.raises(BadInputError, match=r"device e2 is not at an address of lab.*\n.*e2 \(192.168.7.2\)"):
        physical.identify(real_cluster(), own, device="e2", type=None)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(BadInputError, match="auto, root, userns or loopback"):
        modes.choose_mode("rot")


def test_doctor_answers_for_every_check() -> None:
    found = {check.name: check for check in doctor.checks()}
    assert {"python", "ray", "tools", "cgroups", "root mode", "userns mode", "cluster"} <= set(found)
    assert found["python"].ok
    assert found["python"].detail == ".".join(map(str, sys.version_info[:3]))
    assert all(check.remedy for check in found.values() if not check.ok)


def test_a_check_that_breaks_is_a_failed_check() -> None:
    def _broken_thing() -> doctor.Check:
        raise PermissionError("no")

    found = doctor._guarded(_broken_thing)
    assert (found.name, found.ok) == ("broken thing", False)


def test_the_temp_folder_is_private_and_not_anybody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "TEMP_ROOT", tmp_path)
    made = cleanup.make_temp_dir("abc")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert cleanup.make_temp_dir("abc") == made
    made.chmod(0o777)
    with pytest.raises(TestbedError, match="private"):
        cleanup.make_temp_dir("abc")
    (tmp_path / "er-link").symlink_to(made)
    with pytest.raises(TestbedError, match="private"):
        cleanup.make_temp_dir("link")


def test_only_processes_with_the_tag_are_found_and_killed() -> None:
    tag = f"t{os.getpid()}"
    code = "import signal; print(1, flush=True); signal.pause()"
    environments = ({**os.environ, "EDGERAY_TAG": tag}, {**os.environ, "EDGERAY_TAG": f"{tag}0"})
    ours, other = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for environment in environments
    ]
    try:
        for process in (ours, other):
            assert process.stdout is not None
            process.stdout.readline()
        assert cleanup.processes(tag) == (ours.pid,)
        cleanup.kill(tag, time.monotonic() + 10)
        assert cleanup.processes(tag) == ()
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
