"""Find and remove everything that carries a cluster's tag, whether or not its state file is left.

Nothing is killed unless it is inside our cgroups, inside a namespace of ours, or (loopback and physical
clusters, which may have neither) carries our tag in its environment and belongs to this user.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from edgeray.errors import TestbedError
from edgeray.testbed import cgroups, namespaces
from edgeray.testbed.layout import prefix

CLEAN_TIMEOUT_S = 30.0
TEMP_ROOT = Path("/tmp")  # noqa: S108
"""Ray's socket paths must stay under 108 characters, so its files cannot lie in the state folder."""


def temp_dir(tag: str) -> Path:
    return TEMP_ROOT / prefix(tag)


def make_temp_dir(tag: str) -> Path:
    """Make the cluster's folder for Ray's files, for this user alone.

    Raises TestbedError when the path is taken by somebody else, who could then read or steer Ray's sockets.
    """
    path = temp_dir(tag)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        stat = path.lstat()
        if path.is_symlink() or not path.is_dir() or stat.st_uid != os.getuid() or stat.st_mode & 0o077:
            raise TestbedError(
                f"{path} exists and is not a private folder of this user\n"
                f"  remedy:   remove it, or set EDGERAY_STATE_DIR to another folder"
            ) from None
    return path


def processes(tag: str) -> tuple[int, ...]:
    """The processes of the cluster: by cgroup, by network namespace, by user namespace, by tag; never our own."""
    found: set[int] = set()
    for group in cgroups.find(prefix(tag)):
        if group.name == prefix(tag):
            found.update(cgroups.processes(group))
    nets = namespaces.inodes(namespaces.find(tag))
    users = frozenset(filter(None, (_inode(pid, "user") for pid in holders(tag))))
    own_user = _inode(os.getpid(), "user")
    for pid in _all_pids():
        in_net = nets and _inode(pid, "net") in nets
        in_user = users and (inode := _inode(pid, "user")) in users and inode != own_user
        if in_net or in_user or _carries(pid, tag):
            found.add(pid)
    return tuple(sorted(found - _ancestors()))


def holders(tag: str) -> tuple[int, ...]:
    """Processes that hold a user namespace of the cluster, known by their own command line."""
    wanted = b"edgeray.testbed.holder\0" + prefix(tag).encode() + b"\0"
    return tuple(pid for pid in _all_pids() if _read(pid, "cmdline").endswith(wanted) and _owned(pid))


def leftovers_of(tag: str) -> list[str]:
    """What is on this machine with tag: processes, namespaces, interfaces, cgroups, folders; in words."""
    return [
        *(f"process {pid} ({_name(pid)})" for pid in processes(tag)),
        *(f"network namespace {name}" for name in namespaces.find(tag)),
        *(f"interface {name}" for name in namespaces.interfaces(tag)),
        *(f"cgroup {group}" for group in cgroups.find(prefix(tag)) if group.name == prefix(tag)),
        *(f"folder {path}" for path in (temp_dir(tag),) if path.exists()),
    ]


def clean(tag: str) -> None:
    """Kill, unmount and delete until nothing with tag is left.

    Raises TestbedError that names what could not be removed.
    """
    deadline_s = time.monotonic() + CLEAN_TIMEOUT_S
    while leftovers_of(tag):
        kill(tag, deadline_s)
        namespaces.remove(tag)
        for group in cgroups.find(prefix(tag)):
            if group.name == prefix(tag):
                cgroups.remove(group)
        shutil.rmtree(temp_dir(tag), ignore_errors=True)
        if time.monotonic() > deadline_s:
            raise TestbedError("could not remove: " + "; ".join(leftovers_of(tag)))


def kill(tag: str, deadline_s: float) -> None:
    """Kill the cluster's processes at once (there is nothing to save); wait until they are gone or the deadline.

    Handles are opened first and membership is looked at once more, so that a pid that has meanwhile gone to
    a stranger's process is left alone.
    """
    with contextlib.ExitStack() as stack:
        handles = {}
        for pid in processes(tag):
            with contextlib.suppress(OSError):
                handles[pid] = os.pidfd_open(pid)
                stack.callback(os.close, handles[pid])
        ours = [handles[pid] for pid in processes(tag) if pid in handles]
        for handle in ours:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        for handle in ours:
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            waiting.poll(max(0.0, deadline_s - time.monotonic()) * 1000)
        for pid in handles:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _ancestors() -> frozenset[int]:
    """This process and those that it descends from: `down` may be called from inside the cluster."""
    chain, pid = [], os.getpid()
    while pid > 0 and pid not in chain:
        chain.append(pid)
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0
    return frozenset(chain)


def _all_pids() -> Iterable[int]:
    return sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _carries(pid: int, tag: str) -> bool:
    environment = _read(pid, "environ")
    return f"EDGERAY_TAG={tag}".encode() in environment.split(b"\0") and _owned(pid)


def _owned(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}").stat().st_uid == os.getuid()
    except OSError:
        return False


def _inode(pid: int, kind: str) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino
    except OSError:
        return None


def _read(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return b""


def _name(pid: int) -> str:
    return _read(pid, "comm").decode(errors="replace").strip() or "gone"
