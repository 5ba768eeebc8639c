"""Reading a device's limits from cgroup v1 and v2 files, as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeray.node.limits import enter_memory_group, enter_stage_group, group_usage, memory_kills


def groups(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv("EDGERAY_STAGE_CGROUP", os.pathsep.join(str(f / "cgroup.procs") for f in folders))


def test_version_1_has_a_folder_a_controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, memory = tmp_path / "cpu", tmp_path / "memory"
    for folder in (cpu, memory):
        folder.mkdir()
    (cpu / "cpuacct.usage").write_text("2500000000\n")
    (memory / "memory.usage_in_bytes").write_text("4096\n")
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (cpu / "cpu.cfs_quota_us").write_text("20000\n")
    groups(monkeypatch, cpu, memory)
    enter_memory_group()
    assert (memory / "cgroup.procs").exists()
    assert not (cpu / "cgroup.procs").exists()
    assert group_usage() == (2.5, 4096)
    assert memory_kills() == 3
    assert enter_stage_group()
    assert (cpu / "cgroup.procs").read_text() == (memory / "cgroup.procs").read_text() == str(os.getpid())


def test_version_2_has_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\n")
    (tmp_path / "memory.current").write_text("8192\n")
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n")
    groups(monkeypatch, tmp_path)
    assert group_usage() == (1.5, 8192)
    assert memory_kills() == 1


def test_a_device_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGERAY_STAGE_CGROUP", raising=False)
    assert group_usage() is None
    assert memory_kills() == 0
    assert not enter_stage_group()
