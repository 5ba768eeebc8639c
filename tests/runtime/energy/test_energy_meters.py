"""Meters on recorded trees of /sys, and the declared model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.energy import DeclaredPower, Ina, PartOf, Rapl, find_meter
from edgeray.energy.ina import ina_rails
from edgeray.energy.rapl import rapl_zones

RANGE_UJ = 262_143_328_850
"""Of the package of an Intel processor, as its kernel said."""


class Hand:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n", encoding="ascii")
    return folder


def zone(root: Path, number: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ) -> Path:
    folder = root / "class" / "powercap" / f"intel-rapl:{number}"
    return write(folder, name=name, energy_uj=energy_uj, max_energy_range_uj=range_uj)


def orin(root: Path) -> Path:
    """An INA3221 of a Jetson: three rails, and the sum of its shunts as a fourth current and a seventh voltage."""
    write(root / "class" / "hwmon" / "hwmon0", name="cpu_thermal", temp1_input=43000)
    return write(
        root / "class" / "hwmon" / "hwmon1",
        name="ina3221",
        in1_label="VDD_IN",
        in1_input=5000,
        curr1_input=1200,
        in2_label="VDD_CPU_GPU_CV",
        in2_input=5000,
        curr2_input=300,
        in3_label="VDD_SOC",
        in3_input=5000,
        curr3_input=200,
        in7_label="sum of shunt voltages",
        in7_input=9,
        curr4_input=1700,
    )


# Declared


def test_declared_power_is_what_it_is_told() -> None:
    clock = Hand()
    meter = DeclaredPower(idle_w=2, local_w=7, send_w=4, clock=clock)
    assert meter.energy_j() == 0
    clock.now_s += 10
    meter.computing(3)
    meter.sending(0.5)
    meter.computing(1)
    assert meter.energy_j() == 2 * 10 + 7 * 4 + 4 * 0.5
    assert meter.name == "declared", "it says that it is a model"


def test_a_part_of_a_meter() -> None:
    whole = DeclaredPower(idle_w=0, local_w=6, send_w=0)
    parts = PartOf(whole, 3)
    whole.computing(2)
    assert parts.energy_j() == 4
    assert parts.name == "declared / 3"


# RAPL


def test_packages_and_their_memory_count_once(tmp_path: Path) -> None:
    zones = [
        zone(tmp_path, "0", "package-0"),
        zone(tmp_path, "0:2", "dram"),
        zone(tmp_path, "1", "package-1"),
    ]
    zone(tmp_path, "0:0", "core")
    zone(tmp_path, "0:1", "uncore")
    zone(tmp_path, "2", "psys")
    meter = find_meter(tmp_path)
    assert isinstance(meter, Rapl)
    for each, grown in zip(zones, (4_000_000, 500_000, 2_000_000), strict=True):
        write(each, energy_uj=grown)
    for each in ("0:0", "0:1", "2"):
        zone(tmp_path, each, "counts not", 77_000_000)
    assert meter.energy_j() == pytest.approx(6.5, abs=1e-9)


def test_the_platform_where_there_is_no_package(tmp_path: Path) -> None:
    platform = zone(tmp_path, "0", "psys")
    assert rapl_zones(tmp_path) == (platform,)


@given(st.integers(0, RANGE_UJ), st.lists(st.integers(0, RANGE_UJ), max_size=20))
def test_a_counter_that_wraps_around(
    tmp_path_factory: pytest.TempPathFactory, first: int, steps: list[int]
) -> None:
    """The counter goes from its range on to 0; between two samples it does so once at most."""
    root = tmp_path_factory.mktemp("sys")
    package = zone(root, "0", "package-0", first)
    meter, total = Rapl(rapl_zones(root)), 0
    for step in steps:
        total += step
        write(package, energy_uj=(first + total) % (RANGE_UJ + 1))
        meter.sample()
    assert meter.energy_j() == pytest.approx(total * 1e-6, rel=1e-12)


# INA


def test_a_jetsons_input_rail_is_all_that_counts(tmp_path: Path) -> None:
    chip, clock = orin(tmp_path), Hand()
    (rail,) = ina_rails(tmp_path)
    assert rail.label == "VDD_IN"
    meter = Ina([rail], clock)
    assert meter.energy_j() == 0
    clock.now_s += 2  # at 6 W
    assert meter.energy_j() == pytest.approx(12, abs=1e-9)
    write(chip, curr1_input=3200)  # 16 W, to which it rose evenly for all one knows
    clock.now_s += 1
    assert meter.energy_j() == pytest.approx(12 + 11, abs=1e-9)
    assert find_meter(tmp_path).name == "ina"  # type: ignore[union-attr]


def test_rails_are_summed_where_none_is_the_input(tmp_path: Path) -> None:
    chip = orin(tmp_path)
    for number, label in enumerate(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), 1):
        write(chip, **{f"in{number}_label": label})
    assert [rail.label for rail in ina_rails(tmp_path)] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert sum(rail.power_w() for rail in ina_rails(tmp_path)) == pytest.approx(8.5, abs=1e-9)


def test_a_chip_that_multiplies_by_itself(tmp_path: Path) -> None:
    """An INA219 tells the shunt's voltage, the bus', the current, and their product in microwatts."""
    write(
        tmp_path / "class" / "hwmon" / "hwmon3",
        name="ina219",
        in0_input=10,
        in1_input=5000,
        curr1_input=999,
        power1_input=4_980_000,
    )
    (rail,) = ina_rails(tmp_path)
    assert rail.power_w() == pytest.approx(4.98, abs=1e-9)


def test_a_board_goes_before_its_processor(tmp_path: Path) -> None:
    orin(tmp_path)
    zone(tmp_path, "0", "package-0")
    assert isinstance(find_meter(tmp_path), Ina)


# Nothing


@pytest.mark.parametrize("energy", ["", "none"])
def test_what_cannot_be_read_is_no_sensor(tmp_path: Path, energy: str) -> None:
    write(zone(tmp_path, "0", "package-0"), energy_uj=energy)
    write(tmp_path / "class" / "hwmon" / "hwmon0", name="ina3221", in1_label="off")
    assert find_meter(tmp_path) is None


def test_no_sensors_at_all(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None
