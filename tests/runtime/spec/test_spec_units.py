import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.spec import units
from edgeray.spec.units import Quantity, UnitError, format_quantity

QUANTITIES = [
    units.BYTES,
    units.BITS_PER_S,
    units.SECONDS,
    units.ITEMS_PER_S,
    units.FLOP,
    units.FLOP_PER_S,
    units.CPUS,
    units.GPUS,
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12B", 12),
        ("5MB", 5e6),
        ("2GB", 2e9),
        ("2GiB", 2 * 2**30),
        ("1KiB", 1024),
        ("1kB", 1000),
        ("1KB", 1000),
        (" 1.5 GB ", 1.5e9),
        ("1e3B", 1000),
        ("1_000B", 1000),
        (".5kB", 500),
        ("7", 7),
        (7, 7),
        (0, 0),
        (2.5, 2.5),
    ],
)
def test_bytes(text: object, value: float) -> None:
    assert units.parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("80bps", 80), ("10Mbps", 1e7), ("1Gbps", 1e9), ("500kbps", 5e5), ("10Mbit/s", 1e7), (96, 96)],
)
def test_bits_per_second(text: object, value: float) -> None:
    assert units.parse_bps(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("5ms", 0.005), ("2s", 2), ("30us", 3e-5), ("30µs", 3e-5), (1, 1)]
)
def test_seconds(text: object, value: float) -> None:
    assert units.parse_seconds(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("quantity", "value", "problem"),
    [
        (units.BYTES, "-5MB", "negative"),
        (units.BYTES, -1, "negative"),
        (units.BYTES, "nan", "NaN"),
        (units.BYTES, math.nan, "NaN"),
        (units.BYTES, math.inf, "infinite"),
        (units.BYTES, "inf", "infinite"),
        (units.BYTES, "1e999", "infinite"),
        (units.BYTES, 10**400, "infinite"),
        (units.BYTES, 1.1e18, "absurd"),
        (units.BYTES, "2000PB", "absurd"),
        (units.BYTES, "5Mb", "did you mean 'MB'"),
        (units.BYTES, "5Mbps", "unknown unit 'Mbps'"),
        (units.BYTES, "five", "no number"),
        (units.BYTES, "5 5MB", "no number"),
        (units.BYTES, "", "no number"),
        (units.BYTES, "0x10", "unknown unit 'x'|no number"),
        (units.BYTES, True, "no number"),
        (units.BYTES, None, "no number"),
        (units.BYTES, [5], "no number"),
        (units.BYTES, "٣MB", "no number"),
        (units.BITS_PER_S, "11Tbps", "absurd"),
        (units.BITS_PER_S, 0, "zero"),
        (units.BITS_PER_S, "10MBps", "did you mean 'Mbps'"),
        (units.BITS_PER_S, "10MB", "unknown unit 'MB'"),
        (units.ITEMS_PER_S, "1000001", "absurd"),
        (units.ITEMS_PER_S, 0, "zero"),
        (units.SECONDS, "2h", "unknown unit 'h'"),
        (units.SECONDS, 3601, "absurd"),
        (units.CPUS, 0, "zero"),
        (units.CPUS, "2cores", "without a unit"),
    ],
)
def test_refused(quantity: Quantity, value: object, problem: str) -> None:
    with pytest.raises(UnitError, match=problem):
        quantity.parse(value)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
@given(share=st.floats(min_value=0, max_value=1))
def test_what_is_printed_reads_back(quantity: Quantity, share: float) -> None:
    value = quantity.maximum * share**8  # all magnitudes
    if value == 0 and not quantity.zero:
        return
    assert quantity.parse(format_quantity(quantity, value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
@given(data=st.data(), number=st.integers(min_value=1, max_value=900))
def test_every_unit_scales_its_number(quantity: Quantity, data: st.DataObject, number: int) -> None:
    unit = data.draw(st.sampled_from(sorted(quantity.units)))
    value = number * quantity.units[unit]
    if value <= quantity.maximum:
        assert quantity.parse(f"{number}{unit}") == pytest.approx(value, rel=1e-12)
        assert quantity.parse(value) == value


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans(), st.lists(st.integers())))
def test_anything_is_a_number_in_range_or_refused(value: object) -> None:
    for quantity in QUANTITIES:
        try:
            parsed = quantity.parse(value)
        except UnitError:
            continue
        assert 0 <= parsed <= quantity.maximum


def test_limits_are_included() -> None:
    for quantity in QUANTITIES:
        assert quantity.parse(quantity.maximum) == quantity.maximum
        with pytest.raises(UnitError, match="absurd"):
            quantity.parse(math.nextafter(quantity.maximum, math.inf))


def test_zero_is_printed_in_the_base_unit() -> None:
    assert units.format_bytes(0) == "0B"
    assert units.format_bytes(1.5e9) == "1.5GB"
    assert units.format_bps(10e6) == "10Mbps"
