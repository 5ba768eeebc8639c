"""Control groups on a made-up cgroup file system under tmp_path: version 1, version 2, and neither."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeray.errors import BadInputError, TestbedError
from edgeray.testbed import cgroups
from edgeray.testbed.throttle import limit


def mount_line(kind: str, point: Path, options: str) -> str:
    escaped = str(point).replace(" ", "\\040")
    return f"30 23 0:26 / {escaped} rw,relatime shared:9 - {kind} {kind} rw,{options}"


def make_v1(root: Path, *names: str) -> str:
    lines = []
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text("")
        lines.append(mount_line("cgroup", folder, name))
    return "\n".join(lines)


def make_v2(root: Path, *, controllers: str, enabled: str = "", procs: str = "") -> str:
    root.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.procs").write_text(procs)
    (root / "cgroup.controllers").write_text(controllers)
    (root / "cgroup.subtree_control").write_text(enabled)
    return mount_line("cgroup2", root, "nsdelegate")


def test_version_1_uses_every_mounted_controller(tmp_path: Path) -> None:
    mounts = make_v1(tmp_path, "cpu", "cpuacct", "memory", "pids")
    found = cgroups.find_hierarchy(mounts, "4:memory:/somewhere/deep\n2:cpu:/\n")
    assert found.version == 1
    assert found.parents == {name: tmp_path / name for name in ("cpu", "cpuacct", "memory")}
    assert found.missing == {}


def test_version_1_with_two_controllers_in_one_mount_makes_one_folder(tmp_path: Path) -> None:
    mounts = make_v1(tmp_path, "cpu,cpuacct", "memory")
    found = cgroups.find_hierarchy(mounts, "")
    assert found.folders == (tmp_path / "cpu,cpuacct", tmp_path / "memory")


def test_version_1_writes_limits_to_the_stages_only(tmp_path: Path) -> None:
    hierarchy = cgroups.find_hierarchy(make_v1(tmp_path, "cpu", "memory"), "")
    groups = cgroups.device_groups(hierarchy, "er-x", "pi")
    for folder in (*groups.stages, *groups.system):
        folder.mkdir(parents=True)
        for file in ("cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes"):
            (folder / file).write_text("untouched")
    made = cgroups.make_device(hierarchy, "er-x", "pi", cpus=0.25, memory_bytes=3e8)
    assert made == groups
    cpu, memory = groups.stages
    assert (cpu / "cpu.cfs_period_us").read_text() == "50000"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "12500"
    assert (memory / "memory.limit_in_bytes").read_text() == "300000000"
    for folder in groups.system:
        assert (folder / "cpu.cfs_quota_us").read_text() == "untouched"


def test_version_2_delegates_and_limits(tmp_path: Path) -> None:
    mounts = make_v2(tmp_path / "cg", controllers="cpuset cpu io memory pids", enabled="memory pids")
    hierarchy = cgroups.find_hierarchy(mounts, "0::/\n")
    assert (hierarchy.version, hierarchy.folders, hierarchy.missing) == (2, (tmp_path / "cg",), {})
    cgroups.make_root(hierarchy, "er-x")
    groups = cgroups.make_device(hierarchy, "er-x", "pi", cpus=1.5, memory_bytes=1e9)
    assert groups.system == (tmp_path / "cg/er-x/pi/system",)
    for folder in (tmp_path / "cg", tmp_path / "cg/er-x", tmp_path / "cg/er-x/pi"):
        assert (folder / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert cgroups.limits(hierarchy, cpus=1.5, memory_bytes=1e9)[:2] == (
        ("cpu.max", "75000 50000"),
        ("memory.max", "1000000000"),
    )


def test_version_2_below_a_group_with_processes_says_so(tmp_path: Path) -> None:
    mounts = make_v2(tmp_path, controllers="cpu memory", procs="1\n77\n")
    (tmp_path / "cgroup.type").write_text("domain")  # absent only at the real root
    found = cgroups.find_hierarchy(mounts, "0::/\n")
    assert found.parents == {}
    assert "holds processes" in found.missing["cpu"]


def test_version_2_without_a_controller_names_it(tmp_path: Path) -> None:
    found = cgroups.find_hierarchy(make_v2(tmp_path, controllers="memory"), "0::/\n")
    assert set(found.parents) == {"memory"}
    assert set(found.missing) == {"cpu"}


def test_a_controller_on_version_1_wins_over_an_empty_version_2(tmp_path: Path) -> None:
    mounts = make_v1(tmp_path / "one", "cpu", "memory") + "\n" + make_v2(tmp_path / "two", controllers="")
    assert cgroups.find_hierarchy(mounts, "").version == 1


def test_no_cgroups_at_all() -> None:
    found = cgroups.find_hierarchy("22 1 8:1 / / rw - ext4 /dev/sda rw\n", "")
    assert found.version == 0
    assert set(found.missing) == {"cpu", "memory"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_hierarchy_of_somebody_else_is_reported_not_used(tmp_path: Path) -> None:
    mounts = make_v1(tmp_path, "cpu", "memory")
    (tmp_path / "cpu").chmod(0o555)
    found = cgroups.find_hierarchy(mounts, "")
    assert set(found.parents) == {"memory"}
    assert "not writable" in found.missing["cpu"]


def test_the_quota_never_falls_below_what_the_kernel_takes(tmp_path: Path) -> None:
    hierarchy = cgroups.find_hierarchy(make_v1(tmp_path, "cpu"), "")
    assert dict(cgroups.limits(hierarchy, cpus=0.001, memory_bytes=1e9))["cpu.cfs_quota_us"] == "1000"


def test_find_reaches_nested_groups_and_not_into_them(tmp_path: Path) -> None:
    mounts = make_v1(tmp_path, "cpu", "memory")
    (tmp_path / "memory/user/er-x/pi/stages").mkdir(parents=True)
    (tmp_path / "cpu/er-x").mkdir()
    (tmp_path / "cpu/er-other").mkdir()
    assert cgroups.find("er-x", mounts) == (tmp_path / "cpu/er-x", tmp_path / "memory/user/er-x")


def test_processes_are_counted_in_all_groups_below(tmp_path: Path) -> None:
    (tmp_path / "pi/stages").mkdir(parents=True)
    (tmp_path / "cgroup.procs").write_text("12\n")
    (tmp_path / "pi/stages/cgroup.procs").write_text("7\n30\n0\n")
    assert cgroups.processes(tmp_path) == (7, 12, 30)


# Throttled while it runs


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [("cpu.cfs_quota_us", "50000", "5000"), ("cpu.max", "50000 50000", "5000 50000")],
)
def test_a_device_is_throttled_whatever_the_version(
    tmp_path: Path, file: str, before: str, after: str
) -> None:
    cpu, memory = tmp_path / "cpu", tmp_path / "memory"
    for folder in (cpu, memory):
        folder.mkdir()
    (cpu / file).write_text(before)
    assert limit((cpu, memory), "e1", 0.1) == (cpu / file,)
    assert (cpu / file).read_text() == after
    assert list(memory.iterdir()) == []


def test_a_device_gets_no_less_than_the_kernel_takes(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("50000")
    limit((tmp_path,), "e1", 1e-6)
    assert int((tmp_path / "cpu.cfs_quota_us").read_text()) == cgroups.CPU_QUOTA_MIN_US


@pytest.mark.parametrize("cpus", [0.0, -1.0, float("nan")])
def test_no_cores_at_all_are_refused(tmp_path: Path, cpus: float) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("50000")
    with pytest.raises(BadInputError, match="above 0"):
        limit((tmp_path,), "e1", cpus)
    assert (tmp_path / "cpu.cfs_quota_us").read_text() == "50000"


def test_what_has_no_limit_cannot_be_throttled(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="no CPU limit"):
        limit((tmp_path,), "e1", 0.5)
