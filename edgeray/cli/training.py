"""What a person sees of split training: its profile by cuts, its rounds while it runs, and what it came to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from edgeray.cli.console import bytes_text, seconds_text
from edgeray.errors import ClusterError
from edgeray.telemetry.rounds import RoundsReader, rounds_done
from edgeray.telemetry.training_records import Round
from edgeray.telemetry.training_runs import dropped, last_known, median_round_s, sent_bytes, steady
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
        done = rounds_done(self.rounds)
        if done >= self.rounds_asked:
            return f"{view.job}: all {self.rounds_asked} rounds are done"
        predicted_s = planned(view.plan, "predicted_s")
        return (
            f"{view.job} running: round {done + 1} of {self.rounds_asked} for {time.monotonic() - self._since_s:.0f} s"
            f" ({seconds_text(predicted_s)} predicted)"
        )


def planned(plan: Mapping[str, Any] | None, key: str) -> float | None:
    """A number of the plan's rounds: round_s, predicted_s or bound_s; None where there is none."""
    rounds: Mapping[str, Any] = (plan or {}).get("rounds") or {}
    return rounds.get(key)


def round_line(each: Round, asked: int, plan: Mapping[str, Any] | None) -> str:
    """A finished round, in one line; then a line for each device that was dropped from it."""
    up_bytes, down_bytes = sent_bytes(each)
    parts = [f"round {each['number']} of {asked}: loss {figures(each['loss'])}"]
    if each["accuracy"] is not None:
        parts.append(f"accuracy {accuracy(each['accuracy'])}")
    predicted_s = planned(plan, "predicted_s")
    against = "" if predicted_s is None else f" ({seconds_text(predicted_s)} predicted)"
    parts.append(f"{seconds_text(each['seconds_s'])}{against}")
    parts.append(f"{bytes_text(up_bytes)} up, {bytes_text(down_bytes)} down")
    lost = [f"  dropped {device}: {why}" for device, why in dropped(each, plan)]
    return "\n".join([", ".join(parts), *lost])


def summary_lines(view: JobView, rounds: Sequence[Round], asked: int) -> list[str]:
    """What became of a job of split training: its rounds, and how long one took against what was reckoned."""
    told = f"{view.job} {view.phase}: {rounds_done(rounds)} of {asked} rounds"
    if (loss := last_known(rounds, "loss")) is not None:
        told += f", loss {figures(loss)}"
    if (right := last_known(rounds, "accuracy")) is not None:
        told += f", accuracy {accuracy(right)}"
    lines = [told if view.phase == "done" else f"{told}. {view.detail}"]
    measured_s = median_round_s(rounds)
    if measured_s is not None:
        several = "median" if len(steady(rounds)) > 1 else "one round"
        lines.append(
            f"  a round: {seconds_text(measured_s)} measured ({several})"
            f"{_against(measured_s, planned(view.plan, 'predicted_s'), 'predicted')}"
            f"{_against(measured_s, planned(view.plan, 'bound_s'), 'T_LB, under which no round can be')}"
        )
    return lines


def _against(measured_s: float, reckoned_s: float | None, what: str) -> str:
    if not reckoned_s:
        return ""
    return f"; {measured_s / reckoned_s:.2f} times the {seconds_text(reckoned_s)} {what}"


def remedy(app: str, job: str, rounds: Sequence[Round], resume: str | None) -> str:
    """How to go on after a job that was not done: after its last checkpoint, or that of the job it went on after."""
    kept = job if rounds else resume
    if kept is None:
        return f"`edgeray logs {job}` tells more"
    after = f" after round {rounds_done(rounds)}" if rounds else ""
    return f"`edgeray submit {app} --resume {kept}` goes on{after}; `edgeray logs {job}` tells more"
