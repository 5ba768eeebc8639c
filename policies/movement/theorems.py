"""Theorems 2, 4, 5 and 6 of Tu et al. 2020, as functions. Theorem 3 is in `rule`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import comb, exp, expm1, log

from scipy.optimize import brentq


def capacity_for_waiting(sigma: float, mu: float) -> float:
    """Theorem 2: points an interval that a device may be given, so that a point waits sigma intervals on average.

    A point takes exp(mu), and they come evenly (D/M/1): phi = sigma mu / (1 + sigma mu), and phi = exp(-mu (1 - phi)
    / C). Waiting is until processing begins. Raises ValueError unless both are above 0.
    """
    if not (sigma > 0 and mu > 0):
        raise ValueError(f"sigma is {sigma} and mu is {mu}, expected both above 0")
    phi = sigma * mu / (1 + sigma * mu)
    return -mu * (1 - phi) / log(phi)


def waiting(capacity: float, mu: float) -> float:
    """Theorem 2 the other way round: average waiting at so many points an interval; infinite from mu on."""
    if capacity >= mu:
        return float("inf")
    load = mu / capacity

    def left_over(log_phi: float) -> float:
        return log_phi + load * -expm1(log_phi)

    low = -load  # phi = exp(-load (1 - phi)) is above exp(-load)
    high = -2 * (1 - 1 / load) / load  # near phi = 1 the other root is about there
    while left_over(high) < 0:
        high /= 2
    phi_log = brentq(left_over, low, high, xtol=1e-15)
    return float(exp(phi_log) / (mu * -expm1(phi_log)))


def hierarchy_discarded(s: float, *, gamma: float, c: float, D: float) -> float:
    """Theorem 4, eq. 13: r*(s), the part that each of the devices discards when it sends the part s to the server.

    Errors are gamma / sqrt(G). For D so large that the result is in [0, 1]."""
    return float(1 - (gamma / (2 * c)) ** (2 / 3) / D - s)


def hierarchy_offloaded(*, gamma: float, c_server: float, c_send: float, D: float, devices: int) -> float:
    """Theorem 4, eq. 14: s*, the part that each of the devices sends to the server."""
    return float((gamma / (2 * (c_server + c_send))) ** (2 / 3) / (devices * D))


def offloading_value(degrees: Mapping[int, float], C: float) -> float:
    """Theorem 5: cost saved a point, on average, by offloading, with costs ~ U(0, C), free links and no discarding.

    degrees: the fraction N(k) of devices with k neighbours. The paper's alternating sum
    (`offloading_value_as_published`) is C/2 - C/(k+2): of k + 1 uniform costs the least is C/(k+2) on average.
    """
    return sum(part * (C / 2 - C / (k + 2)) for k, part in degrees.items())


def offloading_value_as_published(degrees: Mapping[int, float], C: float) -> float:
    """Eq. 15, for reference. Loses all digits for large k."""

    def saved(k: int) -> float:
        terms = (comb(k, low) * C * (-1) ** low * (k + 3) / ((low + 2) * (low + 3)) for low in range(k))
        return float(C / 2 - C * (-1) ** k / (k + 2) - sum(terms))

    return sum(part * saved(k) for k, part in degrees.items())


def expected_load(k: int, offloads: Callable[[int], float], neighbours: Mapping[int, float]) -> float:
    """Data at a device with k neighbours over what it collects: what it keeps, and what they send it on average.

    offloads: P_o(k), the probability that a device with k neighbours offloads. neighbours: p_k, the probability that
    one of this device's neighbours has so many.
    """
    return 1 - offloads(k) + k * sum(part * offloads(m) / m for m, part in neighbours.items())


def expected_violations(
    degrees: Mapping[int, float],
    offloads: Callable[[int], float],
    neighbours: Mapping[int, Mapping[int, float]],
    capacity_below: Callable[[float], float],
    D: float,
) -> float:
    """Theorem 6, eq. 16: devices that are asked for more than they can process, on average.

    degrees: the number N(k) of devices with k neighbours. capacity_below: the distribution of capacities, P[C <= x].
    Loads are replaced by their means, so the number is exact only where that distribution is linear up to the largest
    load.
    """
    return sum(
        count * capacity_below(D * expected_load(k, offloads, neighbours.get(k, {})))
        for k, count in degrees.items()
    )
