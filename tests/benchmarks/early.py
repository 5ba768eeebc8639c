"""Policies of kinds of jobs that do not run yet: how fast they decide.

    python -m tests.benchmarks.early [--json]

batch: one decision for 1,000 learners. Median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from policies.batch.allocation import mel_exact
from policies.batch.instance import batch_instance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    options = parser.parse_args()
    rows = batches()
    if options.json:
        print(json.dumps(rows))
        return
    for name, value in rows.items():
        print(f"{name}: {value:.4g}")


def batches() -> dict[str, float]:
    rng = np.random.default_rng(0)
    instance = batch_instance(
        rng.uniform(0.001, 0.02, 1000), rng.uniform(0, 0.03, 1000), rng.uniform(0, 5, 1000), 60_000, 30.0
    )
    return {"mel-exact, ms": _median_ms(lambda: mel_exact(instance), 50)}


def _median_ms(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
