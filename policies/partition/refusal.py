"""Why devices cannot train their part, in words and amounts."""

from __future__ import annotations

import numpy as np

from policies.partition.instance import Ints, NoSplit, SplitInstance, whole_units
from policies.placement.reasons import bytes_text

MOST_REASONS = 20
"""Of more devices it is said how many there are."""


def refusal(instance: SplitInstance, policy: str, cuts: Ints | None = None) -> NoSplit | None:
    """Why no plan exists, with these cuts (shape (devices,)) or with any; None where one exists."""
    usable = instance.usable
    if cuts is None:
        without = np.flatnonzero(~usable.any(axis=1))
        reasons = [_of_device(instance, device) for device in without[:MOST_REASONS].tolist()]
    else:
        without = np.flatnonzero(~usable[np.arange(len(cuts)), cuts])
        reasons = [_of_cut(instance, device, int(cuts[device])) for device in without[:MOST_REASONS].tolist()]
    if len(without) > MOST_REASONS:
        reasons.append(f"{len(without) - MOST_REASONS} more devices likewise")
    if not reasons and instance.rate_unit_bps is not None:
        reasons = _of_units(instance, cuts, instance.rate_unit_bps)
    return NoSplit(policy=policy, reasons=tuple(reasons)) if reasons else None


def _of_units(instance: SplitInstance, cuts: Ints | None, unit_bps: float) -> list[str]:
    """A device of which each usable cut sends something needs one unit at least."""
    if cuts is None:
        sending = int((~(instance.usable & (instance.C_bits == 0)).any(axis=1)).sum())
    else:
        sending = int((instance.C_bits[np.arange(len(cuts)), cuts] > 0).sum())
    units = int(whole_units(instance.total_bps, unit_bps))
    if sending <= units:
        return []
    return [
        f"{sending} devices must send, at {unit_bps:g} bit/s each at least (rate_unit_bps); "
        f"the total of {instance.total_bps:g} bit/s holds {units} such units"
    ]


def _of_device(instance: SplitInstance, device: int) -> str:
    name = instance.devices[device]
    needs, memory = instance.needs_bytes[device], instance.memory_bytes[device]
    if not (needs <= memory).any():
        return (
            f"device {name}: no cut fits its memory: the smallest part of the model needs "
            f"{bytes_text(float(needs.min()))}, it has {bytes_text(float(memory))}"
        )
    finite = np.isfinite(instance.A_s[device]) & np.isfinite(instance.C_bits[device])
    if not (finite & (needs <= memory)).any():
        return f"device {name}: no cut that fits its memory has a finite time and finite bits"
    return f"device {name}: {_rate(instance, device)}, and every cut that it could have sends something"


def _of_cut(instance: SplitInstance, device: int, cut: int) -> str:
    name = instance.devices[device]
    needs, memory = instance.needs_bytes[device, cut], instance.memory_bytes[device]
    if needs > memory:
        return (
            f"device {name}: cut {cut} ({_what(instance, cut)}) needs {bytes_text(float(needs))} of memory, "
            f"it has {bytes_text(float(memory))}"
        )
    if not (np.isfinite(instance.A_s[device, cut]) and np.isfinite(instance.C_bits[device, cut])):
        return f"device {name}: cut {cut} ({_what(instance, cut)}) has no finite time or no finite bits"
    return f"device {name}: {_rate(instance, device)}, and cut {cut} ({_what(instance, cut)}) sends something"


def _what(instance: SplitInstance, cut: int) -> str:
    deep, whole = int(instance.layers[cut]), int(instance.layers[-1])
    return "the whole model" if cut == len(instance.layers) - 1 else f"{deep} of {whole} layers"


def _rate(instance: SplitInstance, device: int) -> str:
    cap_bps, unit_bps = float(instance.rate_caps_bps[device]), instance.rate_unit_bps
    if unit_bps is not None and cap_bps > 0:
        most_bps = min(cap_bps, instance.total_bps)
        return f"the most that it can have, {most_bps:g} bit/s, is less than one unit of {unit_bps:g} bit/s"
    return "its rate cap is 0"
