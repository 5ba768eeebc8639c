"""Trials on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from edgeray.errors import EdgeRayError, one_line
from edgeray.reproduce.experiments import Trial
from edgeray.reproduce.rows import Row, compute
from edgeray.reproduce.store import Store

# One thread a process: the processes share the cores, and sums come out alike on any number of them.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_trials(trials: Sequence[Trial], processes: int, done: Callable[[Row], None]) -> None:
    """Compute trials in fresh processes and hand each row over as it comes.

    A trial that fails does not keep the others from being run. Raises EdgeRayError that names what failed.
    """
    failures = []
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)
    try:
        futures = {pool.submit(compute, trial): trial for trial in trials}
        for future in as_completed(futures):
            error = future.exception()
            if error is None:
                done(future.result())
            else:
                failures.append(f"{_name(futures[future])}: {one_line(error)}")
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    pool.shutdown()
    if failures:
        raise EdgeRayError(
            f"{len(failures)} of {len(trials)} rows failed, the first is {failures[0]}\n"
            "  remedy:   the others are stored; the same command tries only the failed ones again"
        )


def collect(
    wanted: Sequence[Trial], store: Store, processes: int, progress: Callable[[int, int], None]
) -> list[Row]:
    """The rows of wanted, in that order; those that the store lacks are computed and stored one by one.

    progress: is told how many rows are there and how many there will be, first before any is computed.
    """
    missing = [trial for trial in wanted if trial not in store.rows]
    there = len(wanted) - len(missing)

    def keep(row: Row) -> None:
        nonlocal there
        store.add(row)
        there += 1
        progress(there, len(wanted))

    progress(there, len(wanted))
    if missing:
        run_trials(missing, min(processes, len(missing)), keep)
    return [store.rows[trial] for trial in wanted]


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole process group; the parent ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _name(trial: Trial) -> str:
    cell = trial.cell
    return (
        f"{cell.measure}, {cell.devices} devices, {cell.mean_bps / 1e6:g} Mbps, {cell.jobs} jobs, "
        f"seed {trial.seed}, policy {trial.policy}"
    )
