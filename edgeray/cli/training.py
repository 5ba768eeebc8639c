"""What a person sees of training: its profile by cuts, its rounds while it runs, and what it came to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from edgeray.cli.console import bytes_text, seconds_text
from edgeray.errors import ClusterError
from edgeray.telemetry import training_cycles
from edgeray.telemetry.rounds import RoundsReader, rounds_done
from edgeray.telemetry.training_cycles import late_count, median_iterations
from edgeray.telemetry.training_movement import Moved, moved
from edgeray.telemetry.training_records import Round
from edgeray.telemetry.training_runs import (
    dropped,
    last_known,
    median_round_s,
    own_prediction_s,
    own_predictions,
    sent_bytes,
    steady,
)
from edgeray.web.numbers import accuracy, figures, finite

if TYPE_CHECKING:
    from edgeray.scheduler.views import JobView


def cuts_json(by_type: Mapping[str, Any]) -> dict[str, Any]:
    """The measurements of each cut by device type; what did not fit a device is null."""
    return {kind: finite(asdict(found)) for kind, found in sorted(by_type.items())}


def cuts_table(app: str, kind: str, found: Any) -> Table:
    """One row a cut of the model, on one type of device; - where it did not fit. found: its CutMeasurements."""
    table = Table(
        title=escape(f"profile of {app} on type {kind}: a batch, by where the model is cut"),
        title_justify="left",
    )
    table.add_column("cut", justify="right")
    table.add_column("after layer")
    for heading in ("layers", "forward", "backward", "server", "up", "down", "weights", "memory"):
        table.add_column(heading, justify="right")
    for cut, name in enumerate(found.names):
        table.add_row(
            str(cut),
            escape(name),
            f"{found.layers[cut]} of {found.layers[-1]}",
            _seconds(found.forward_s[cut]),
            _seconds(found.backward_s[cut]),
            _seconds(found.server_s[cut]),
            _bytes(found.up_bytes[cut]),
            _bytes(found.down_bytes[cut]),
            _bytes(found.weights_bytes[cut]),
            _bytes(found.memory_bytes[cut]),
        )
    return table


def _seconds(value: float) -> str:
    return seconds_text(value if math.isfinite(value) else None)


def _bytes(value: float) -> str:
    return bytes_text(value if math.isfinite(value) else None)


class TrainingWatch:
    """Follows a job's rounds. tell: prints a line for good; rounds_asked: how many there will be."""

    def __init__(self, call: Callable[..., Any], rounds_asked: int, tell: Callable[[str], None]) -> None:
        self._reader = RoundsReader(call)
        self.rounds_asked = rounds_asked
        self._tell = tell
        self._since_s: float | None = None

    @property
    def rounds(self) -> Sequence[Round]:
        return self._reader.rounds

    def line(self, view: JobView) -> str:
        """What the job does now, in one line; tells of each round that was finished meanwhile."""
        try:
            fresh = self._reader.read(view)
        except ClusterError:  # its server's device is gone: the job's own end will tell
            fresh = ()
        for each in fresh:
            self._tell(round_line(each, self.rounds_asked, view.plan))
        if view.phase != "running":
            return f"{view.job} {view.phase}: {'; '.join(view.reasons) or view.detail}"
        if fresh or self._since_s is None:
            self._since_s = time.monotonic()
        done, called = rounds_done(self.rounds), _called(view.mode)
        if done >= self.rounds_asked:
            return f"{view.job}: all {self.rounds_asked} {called}s are done"
        since_s = time.monotonic() - self._since_s
        return f"{view.job} running: {called} {done + 1} of {self.rounds_asked} for {since_s:.0f} s{self._foreseen(view)}"

    def _foreseen(self, view: JobView) -> str:
        """Of a cycle nothing is known before it is over but what was predicted of the one before it."""
        own_s = own_prediction_s(self.rounds[-1]) if self.rounds else None
        if own_s is not None:
            return f" ({seconds_text(own_s)} predicted of the one before)"
        predicted_s = planned(view.plan, "predicted_s")
        return (
            "" if predicted_s is None and view.mode != "loop" else f" ({seconds_text(predicted_s)} predicted)"
        )


def _called(mode: str) -> str:
    """How a round of such a job is called."""
    return "cycle" if mode == training_cycles.MODE else "round"


def planned(plan: Mapping[str, Any] | None, key: str) -> float | None:
    """A number of the plan's rounds: round_s, predicted_s or bound_s; None where there is none."""
    rounds: Mapping[str, Any] = (plan or {}).get("rounds") or {}
    return rounds.get(key)


def round_line(each: Round, asked: int, plan: Mapping[str, Any] | None) -> str:
    """A finished round, in one line; then a line for each device that was dropped from it."""
    found = moved([each])
    if found is not None:
        parts = [f"round {each['number']} of {asked}: {_loss(each)}", *_right(each), *_points(found)]
    elif each.get("iterations") is not None:
        iterations = f"{each['iterations']} {'iteration' if each['iterations'] == 1 else 'iterations'}"
        parts = [
            f"cycle {each['number']} of {asked}: {iterations}",
            _loss(each),
            *_right(each),
            _took(each, plan),
        ]
    else:
        up_bytes, down_bytes = sent_bytes(each)
        parts = [f"round {each['number']} of {asked}: {_loss(each)}", *_right(each), _took(each, plan)]
        parts.append(f"{bytes_text(up_bytes)} up, {bytes_text(down_bytes)} down")
    lost = [f"  dropped {device}: {why}" for device, why in dropped(each, plan)]
    return "\n".join([", ".join(parts), *lost])


def _loss(each: Round) -> str:
    return f"loss {figures(each['loss'] if each['samples'] else None)}"


def _right(each: Round) -> list[str]:
    return [] if each["accuracy"] is None else [f"accuracy {accuracy(each['accuracy'])}"]


def _took(each: Round, plan: Mapping[str, Any] | None) -> str:
    own_s = own_prediction_s(each)
    predicted_s = planned(plan, "predicted_s") if own_s is None else own_s
    against = "" if predicted_s is None else f" ({seconds_text(predicted_s)} predicted)"
    return f"{seconds_text(each['seconds_s'])}{against}"


def _points(found: Moved) -> list[str]:
    return [
        f"{found.processed:g} points processed",
        f"{found.sent:g} sent",
        f"{found.discarded:g} discarded",
        f"cost {figures(found.cost)}",
    ]


def summary_lines(view: JobView, rounds: Sequence[Round], asked: int) -> list[str]:
    """What became of a job that trains: its rounds, and how long one took against what was reckoned, or what its points
    cost."""
    called = _called(view.mode)
    told = f"{view.job} {view.phase}: {rounds_done(rounds)} of {asked} {called}s"
    if (loss := last_known(rounds, "loss")) is not None:
        told += f", loss {figures(loss)}"
    if (right := last_known(rounds, "accuracy")) is not None:
        told += f", accuracy {accuracy(right)}"
    lines = [told if view.phase == "done" else f"{told}. {view.detail}"]
    measured_s = median_round_s(rounds)
    if (found := moved(rounds)) is not None:
        lines += _costs(found)
    elif measured_s is not None:
        several = "median" if len(steady(rounds)) > 1 else f"one {called}"
        lines.append(
            f"  a {called}: {seconds_text(measured_s)} measured ({several})"
            f"{_against(measured_s, _reckoned_s(view.plan, rounds), 'predicted')}"
            f"{_against(measured_s, planned(view.plan, 'bound_s'), 'T_LB, under which no round can be')}"
        )
    return lines + _iterations(rounds)


def _reckoned_s(plan: Mapping[str, Any] | None, rounds: Sequence[Round]) -> float | None:
    """The median of what was predicted when each round began, else the plan's prediction."""
    own = [predicted_s for predicted_s, _ in own_predictions(rounds)]
    return statistics.median(own) if own else planned(plan, "predicted_s")


def _costs(found: Moved) -> list[str]:
    return [
        f"  cost {figures(found.cost)}: {figures(found.process_cost)} of processing, "
        f"{figures(found.transfer_cost)} of transfers, {figures(found.discard_cost)} of discards",
        f"  {found.collected:g} points collected: {found.processed:g} processed, {found.sent:g} sent, "
        f"{found.discarded:g} discarded",
    ]


def _iterations(rounds: Sequence[Round]) -> list[str]:
    """Of batch training."""
    count = median_iterations(rounds)
    if count is None:
        return []
    late = late_count(rounds)
    told = "" if late == 0 else f"; {late} {'time' if late == 1 else 'times'} a learner was dropped from one"
    return [f"  {count:g} iterations in a cycle (median){told}"]


def _against(measured_s: float, reckoned_s: float | None, what: str) -> str:
    if not reckoned_s:
        return ""
    return f"; {measured_s / reckoned_s:.2f} times the {seconds_text(reckoned_s)} {what}"


def remedy(app: str, job: str, rounds: Sequence[Round], resume: str | None) -> str:
    """How to go on after a job that was not done: after its last checkpoint, or that of the job it went on after."""
    kept = job if rounds else resume
    if kept is None:
        return f"`edgeray logs {job}` tells more"
    called = _called("loop" if median_iterations(rounds) is None else training_cycles.MODE)
    after = f" after {called} {rounds_done(rounds)}" if rounds else ""
    return f"`edgeray submit {app} --resume {kept}` goes on{after}; `edgeray logs {job}` tells more"
