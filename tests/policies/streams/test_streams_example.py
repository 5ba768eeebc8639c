"""The worked example of Fig. 5.3, by processor sharing: an evaluation of its own beside the policies'."""

from __future__ import annotations

from itertools import product

import pytest

DEVICES, CAMERAS, TRANSFER_S = 3, 4, 0.5
CROWDED = (0, 0, 0, 1)


def makespan_s(x: tuple[int, ...], y: tuple[int, ...]) -> float:
    """One frame of each stream: a unit of detection on x, TRANSFER_S where y is another device, a unit there. Who
    computes on a device at the same time has the same part of it."""
    left = {(x[k], k, "detect"): 1.0 for k in range(len(x))}
    transfers: dict[int, float] = {}
    now_s = 0.0
    while left or transfers:
        crowd = {device: sum(at == device for at, _, _ in left) for device in range(DEVICES)}
        step_s = min(
            [amount * crowd[task[0]] for task, amount in left.items()]
            + [at - now_s for at in transfers.values()]
        )
        now_s += step_s
        left = {task: amount - step_s / crowd[task[0]] for task, amount in left.items()}
        for task in [task for task, amount in left.items() if amount <= 1e-9]:
            del left[task]
            if task[2] == "detect":
                transfers[task[1]] = now_s + (TRANSFER_S if y[task[1]] != x[task[1]] else 0.0)
        for k in [k for k, at_s in transfers.items() if at_s <= now_s + 1e-9]:
            del transfers[k]
            left[y[k], k, "identify"] = 1.0
    return now_s


EVERY = list(product(range(DEVICES), repeat=CAMERAS))


def test_one_stream_alone() -> None:
    assert makespan_s((0,), (0,)) == pytest.approx(2)
    assert makespan_s((0,), (1,)) == pytest.approx(2.5)


def test_crowded_and_local_takes_six() -> None:
    assert makespan_s(CROWDED, CROWDED) == pytest.approx(6)


def test_the_best_mapping_with_everything_local_takes_four() -> None:
    assert min(makespan_s(x, x) for x in EVERY) == pytest.approx(4)


def test_the_best_offloading_of_the_crowded_mapping_takes_four_and_a_half() -> None:
    assert min(makespan_s(CROWDED, y) for y in EVERY) == pytest.approx(4.5)


def test_both_together_take_three_and_a_half() -> None:
    """Over all mappings but for the names of the devices: the first stream's detector is on the first device."""
    best = min(makespan_s(x, y) for x in EVERY if x[0] == 0 and max(x) <= len(set(x)) - 1 for y in EVERY)
    assert best == pytest.approx(3.5)
