"""The course of a comparison of training: each job under each policy, one after the other, to its end."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.live import Live
from rich.text import Text

from edgeray.cli import comparing
from edgeray.cli.console import say, stderr
from edgeray.cli.training import TrainingWatch, summary_lines
from edgeray.client import LEASE_S, Client
from edgeray.errors import BadInputError
from edgeray.scheduler.views import JobView
from edgeray.spec import App, Code
from edgeray.spec.units import SECONDS, UnitError
from edgeray.telemetry.training_records import TrainingComparison, TrainingPolicyRun, TrainingRun
from edgeray.telemetry.training_runs import training_run
from policies.model import CutProfile, Network


def with_rounds(app: App, rounds: int) -> App:
    """The same training in so many rounds; of fog training in as many intervals as these are."""
    assert app.job.training is not None, "only of training"
    code = {
        task: replace(named, args=_args_with_rounds(named.args, rounds)) for task, named in app.code.items()
    }
    return replace(app, job=replace(app.job, training=replace(app.job.training, rounds=rounds)), code=code)


def _args_with_rounds(args: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    told = {**args, "recipe": {**args["recipe"], "rounds": rounds}}
    if "fog" in args:
        told["fog"] = {**args["fog"], "intervals": rounds * args["fog"]["aggregate"]}
    return told


def with_cycle(app: App, cycle: str) -> App:
    """The same batch training in cycles of this length, such as 12s. Raises BadInputError for what is no length."""
    training = app.job.training
    assert training is not None and training.cycles is not None, "only of batch training"
    try:
        cycle_s = SECONDS.parse(cycle)
    except UnitError as error:
        raise BadInputError(f"--cycle {cycle}: {error.problem}\n  expected: {error.expected}") from error
    if cycle_s <= 0:
        raise BadInputError(f"--cycle {cycle}: expected a time above 0, such as 12s")
    served = app.code[training.server]
    assert isinstance(served, Code), "its tasks are EdgeRay's own"
    code = replace(served, args={**served.args, "cycle": {**served.args["cycle"], "cycle_s": cycle_s}})
    cycles = replace(training.cycles, cycle_s=cycle_s)
    return replace(
        app,
        job=replace(app.job, training=replace(training, cycles=cycles)),
        code={**app.code, training.server: code},
    )


def compare_training(apps: Sequence[App], policies: Sequence[str]) -> TrainingComparison:
    """Train every job under every policy. One that a policy refuses, or that fails, is told of and the others go on.

    Ctrl-C stops the job that runs, and ends the comparison with the policies so far; before the first was done it
    raises KeyboardInterrupt.
    """
    client = Client(apps[0].folder)
    network: Network = client.call("network")
    cuts = [
        workload.profile.cuts if workload.profile else None for workload in comparing.workloads(client, apps)
    ]
    started = datetime.datetime.now(datetime.timezone.utc)
    notes = ["Each job was trained once under each policy, alone on the cluster, from the same seed."]
    runs: list[TrainingPolicyRun] = []
    try:
        for policy in policies:
            jobs = tuple(
                _train(client, app, policy, network, found) for app, found in zip(apps, cuts, strict=True)
            )
            planning_s: float = client.call("planning_s")
            runs.append(TrainingPolicyRun(policy=policy, jobs=jobs, planning_s=planning_s))
    except KeyboardInterrupt:
        if not runs:
            raise
        notes.append(f"Interrupted after {len(runs)} of {len(policies)} policies.")
    return TrainingComparison(
        **comparing.about(apps, network, started),
        runs=tuple(runs),
        notes=tuple(notes),
    )


def _train(client: Client, app: App, policy: str, network: Network, cuts: CutProfile | None) -> TrainingRun:
    assert app.job.training is not None, "only of training"
    asked = app.job.training.rounds
    watch = TrainingWatch(client.call, asked, lambda line: say(f"{policy}: {line}"))
    job = client.submit(app, policy, lease_s=LEASE_S)
    view: JobView | None = None
    with Live(console=stderr, refresh_per_second=4, transient=True) as live:
        try:
            view = client.watch(job, seen=lambda v: live.update(Text(f"{policy}: {watch.line(v)}")))
        finally:
            if view is None:
                comparing.stop_all(client, [job])
    for line in summary_lines(view, watch.rounds, asked):
        say(f"{policy}: {line}")
    types = {str(device.id): device.type for device in network.devices.values()}
    return training_run(view, watch.rounds, rounds_asked=asked, types=types, cuts=cuts)
