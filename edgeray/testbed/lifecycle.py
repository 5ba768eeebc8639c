"""`edgeray up` and `edgeray down`."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeray.errors import BadInputError, TestbedError
from edgeray.network.manager import clear_namespace
from edgeray.spec.app import Cluster
from edgeray.testbed import cgroups, cleanup, device_file, namespaces, physical, raylets
from edgeray.testbed import state as states
from edgeray.testbed.command import run
from edgeray.testbed.description import Description
from edgeray.testbed.entry import device_prefix, holder_prefix
from edgeray.testbed.layout import Layout, plan_layout, prefix
from edgeray.testbed.modes import choose_mode, free_loopback, start_holder
from edgeray.testbed.state import ClusterState, DeviceState

Progress = Callable[[str], None]


def up(cluster: Cluster, *, mode: str = "auto", progress: Progress) -> ClusterState:
    """Bring cluster up on this machine, or return it when it is up already.

    mode: "root", "userns", "loopback", or "auto" for the first of them that this machine allows; a cluster
    whose file gives addresses is physical, and only its head is started here.
    Raises TestbedError when another cluster is up or a step fails; what was made by then is removed.
    """
    with _lock():
        present = states.current()
        if present is not None:
            return _same_or_refuse(present, cluster, mode, progress)
        tag = states.current_tag()
        if cleanup.leftovers_of(tag):
            progress("removing what an earlier run left behind")
        cleanup.clean(tag)
        states.forget()
        with _undone_on_failure(tag, progress):
            if cluster.addresses:
                return physical.start_head(
                    _description(cluster),
                    tag,
                    cluster_file=str(cluster.file),
                    fingerprint=_fingerprint(cluster),
                    progress=progress,
                )
            return _make(cluster, mode, tag, progress)


def join(
    head: str,
    *,
    type: str | None = None,
    device: str | None = None,
    token_file: str | Path | None = None,
    takeover: bool = False,
    progress: Progress,
) -> ClusterState:
    """Join this machine to the head at "address" or "address:port" as one of its cluster's devices.

    type: checked against the head's description. device: which one it is; found by its address when not given.
    token_file: a copy of the head's token; $RAY_AUTH_TOKEN_PATH when not given. takeover: let the network
    manager replace a root qdisc that it did not make.
    Raises BadInputError for what the head does not know, TestbedError when this machine is in a cluster already.
    """
    address = head if ":" in head else f"{head}:{raylets.GCS_PORT}"
    with _lock():
        present = states.current()
        if present is not None and present.mode == "joined" and present.gcs_address == address:
            progress(f"joined {present.name} already as {', '.join(present.devices)}")
            return present
        if present is not None:
            raise _other_cluster(present)
        token = _read_token(token_file)
        tag = states.current_tag()
        cleanup.clean(tag)
        states.forget()
        with _undone_on_failure(tag, progress):
            return physical.join_head(
                address, tag, type=type, device=device, token=token, takeover=takeover, progress=progress
            )


def down(*, progress: Progress) -> None:
    """Remove the cluster of this state folder and everything that carries its tag; nothing to do is no error.

    Raises TestbedError that names what could not be removed.
    """
    with _lock():
        tag = states.current_tag()
        present = states.read()
        if present is None and not cleanup.leftovers_of(tag):
            progress("no cluster is up")
            return
        progress(f"taking {present.name if present else 'what is left of a cluster'} down")
        if present is not None and present.mode in ("physical", "joined"):
            cleanup.kill(tag, time.monotonic() + cleanup.CLEAN_TIMEOUT_S)
            clear_namespace()  # of a real machine; an emulated device takes its namespace along
        cleanup.clean(tag)
        states.forget()
        progress("down: no process, namespace, interface, cgroup or folder is left")


def leftovers() -> list[str]:
    """Everything of this state folder's cluster that is on this machine now, in words; [] after down."""
    return cleanup.leftovers_of(states.current_tag())


def _make(cluster: Cluster, mode: str, tag: str, progress: Progress) -> ClusterState:
    chosen, notes = choose_mode(mode)
    loopback = chosen == "loopback"
    ports = (raylets.GCS_PORT, raylets.DASHBOARD_PORT)
    subnet = free_loopback(tag, ports) if loopback else namespaces.free_subnet(tag)
    layout = plan_layout(cluster.network, cluster.head, tag=tag, subnet=subnet, pacing=loopback)
    hierarchy = cgroups.find_hierarchy()
    notes += tuple(f"no {name} limits: {reason}" for name, reason in sorted(hierarchy.missing.items()))
    if any(link.delay_s > 0 for link in cluster.network.links.values()):
        notes += ("link delays are not emulated",)
    state = _first_state(cluster, chosen, layout, hierarchy, notes)
    states.write(state)
    for note in notes:
        progress(f"note: {note}")
    progress(f"{cluster.name}: {len(layout.files)} devices, {len(layout.links)} links, {chosen} mode")
    if chosen == "userns":
        state = dataclasses.replace(state, holder_pid=start_holder(tag))
        states.write(state)
    _write_files(layout, state)
    if chosen != "loopback":
        progress("making namespaces and links")
        namespaces.make(layout, enter=holder_prefix(state.holder_pid), management=chosen == "root")
        state = _set_up_inside(state, progress)
    _make_groups(cluster, layout, hierarchy)
    _start_raylets(layout, state, progress)
    state = dataclasses.replace(state, phase="up")
    states.write(state)
    progress(f"up: {state.gcs_address}, dashboard {state.dashboard_url}")
    return state


def _first_state(
    cluster: Cluster, mode: str, layout: Layout, hierarchy: cgroups.Hierarchy, notes: tuple[str, ...]
) -> ClusterState:
    folder, temp = states.state_dir(), cleanup.temp_dir(layout.tag)
    devices = {}
    for number, (id, file) in enumerate(sorted(layout.files.items())):
        groups = cgroups.device_groups(hierarchy, prefix(layout.tag), id)
        devices[id] = DeviceState(
            id=id,
            type=file.type,
            address=file.address,
            netns=None if mode == "loopback" else layout.namespaces[id],
            device_file=str(folder / "devices" / f"{id}.json"),
            output_root=str(folder / "outputs" / id),
            temp_dir=str(temp / str(number)),
            system_cgroups=tuple(map(str, groups.system)),
            stage_cgroups=tuple(map(str, groups.stages)),
        )
    head = layout.address(layout.head)
    return ClusterState(
        name=cluster.name,
        tag=layout.tag,
        mode=mode,
        phase="starting",
        head=layout.head,
        gcs_address=f"{head}:{raylets.GCS_PORT}",
        dashboard_url=f"http://{head}:{raylets.DASHBOARD_PORT}",
        token_path=str(folder / "token"),
        temp_dir=str(temp),
        cluster_file=str(cluster.file),
        fingerprint=_fingerprint(cluster),
        boot_id=states.boot_id(),
        devices=devices,
        notes=notes,
    )


def _write_files(layout: Layout, state: ClusterState) -> None:
    cleanup.make_temp_dir(layout.tag)
    token = Path(state.token_path)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    for id, device in state.devices.items():
        device_file.write(Path(device.device_file), layout.files[id])
        Path(device.output_root).mkdir(parents=True, exist_ok=True)
        Path(device.temp_dir).mkdir(mode=0o700)


def _set_up_inside(state: ClusterState, progress: Progress) -> ClusterState:
    """Forwarding and shaping on every device; the state with a note where the kernel cannot shape."""
    pairs = [f"{device.netns}={device.device_file}" for device in state.devices.values()]
    argv = [*holder_prefix(state.holder_pid), sys.executable, "-m", "edgeray.testbed.inside", *pairs]
    problems = json.loads(run(argv, what="switch on forwarding and shape the links"))
    if not problems:
        progress("links are shaped both ways")
        return state
    notes = tuple(f"{reason}: links are not limited, senders pace their own flows" for reason in problems)
    for note in notes:
        progress(f"note: {note}")
    return dataclasses.replace(state, notes=state.notes + notes)


def _make_groups(cluster: Cluster, layout: Layout, hierarchy: cgroups.Hierarchy) -> None:
    if not hierarchy.parents:
        return
    name = prefix(layout.tag)
    cgroups.make_root(hierarchy, name)
    for id, device in sorted(cluster.network.devices.items()):
        cgroups.make_device(hierarchy, name, id, cpus=device.cpus, memory_bytes=device.memory_bytes)


def _start_raylets(layout: Layout, state: ClusterState, progress: Progress) -> None:
    plans = {id: _raylet(layout, state, id) for id in state.devices}
    progress("starting raylets")
    head = plans.pop(state.head)
    raylets.start([head], progress=progress)
    raylets.start(list(plans.values()), progress=progress)
    enter = device_prefix(state.holder_pid, state.devices[state.head].netns)
    raylets.wait_for_nodes(state.dashboard_url, Path(state.token_path), list(state.devices), enter=enter)
    progress(f"all {len(state.devices)} devices have joined")


def _raylet(layout: Layout, state: ClusterState, id: str) -> raylets.Raylet:
    file, device = layout.files[id], state.devices[id]
    loopback = state.mode == "loopback"
    return raylets.Raylet(
        device=id,
        enter=device_prefix(state.holder_pid, device.netns),
        groups=cgroups.procs_files(device.system_cgroups),
        argv=raylets.start_argv(
            file,
            temp_dir=device.temp_dir,
            head_address=None if id == state.head else state.gcs_address,
            own_ports=not loopback,
        ),
        environment=raylets.raylet_environment(
            file,
            device_file=Path(device.device_file),
            stage_groups=cgroups.procs_files(device.stage_cgroups),
            output_root=Path(device.output_root),
            temp_dir=device.temp_dir,
            token=Path(state.token_path),
            tag=state.tag,
            marked=loopback,
        ),
        log=Path(device.temp_dir) / "ray-start.log",
    )


def _same_or_refuse(present: ClusterState, cluster: Cluster, mode: str, progress: Progress) -> ClusterState:
    if present.fingerprint == _fingerprint(cluster) and mode in ("auto", present.mode):
        progress(f"{present.name} is up already")
        return present
    raise _other_cluster(present)


def _other_cluster(present: ClusterState) -> TestbedError:
    return TestbedError(
        f"another cluster is up: {present.name} in {present.mode} mode, from {present.cluster_file}\n"
        "  remedy:   edgeray down first"
    )


def _description(cluster: Cluster) -> Description:
    return Description(
        name=cluster.name, head=cluster.head, network=cluster.network, addresses=cluster.addresses
    )


def _read_token(file: str | Path | None) -> str:
    path = file or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not path:
        raise BadInputError(
            "no token to join with\n  expected: --token-file, or RAY_AUTH_TOKEN_PATH\n"
            "  remedy:   copy the token file that edgeray up named on the head to this machine"
        )
    try:
        return Path(path).read_text().strip()
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{path}: cannot read the token: {error}\n"
            "  remedy:   copy the token file that edgeray up named on the head to this machine"
        ) from error


@contextlib.contextmanager
def _undone_on_failure(tag: str, progress: Progress) -> Iterator[None]:
    """Remove everything again when what is inside fails, or is interrupted."""
    try:
        yield
    except BaseException:
        progress("failed: removing what was made")
        cleanup.clean(tag)
        states.forget()
        raise


def _fingerprint(cluster: Cluster) -> str:
    text = repr((cluster.name, cluster.head, cluster.network, sorted(cluster.addresses.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One `up` or `down` at a time in a state folder; a process that is killed lets go by itself."""
    folder = states.state_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise BadInputError(
            f"{folder}: cannot keep the cluster's state there: {error}\n"
            "  remedy:   set EDGERAY_STATE_DIR to a folder that you can write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise TestbedError(
                f"another edgeray up or down (process {file.read().strip() or 'unknown'}) is at work in {folder}\n"
                "  remedy:   wait for it to end"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
