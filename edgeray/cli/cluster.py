"""up, down, join, devices, doctor, exec: the cluster and its devices."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edgeray.cli.console import bps_text, bytes_text, print_json, say, seconds_text, stdout
from edgeray.cli.enter import be_on_head, run_on_head
from edgeray.errors import BadInputError, ClusterError
from edgeray.testbed import ClusterState, head_command, head_environment

JOIN_WAIT_S = 120.0

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]


def add_commands(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(join)
    app.command()(devices)
    app.command()(throttle)
    app.command()(doctor)
    app.command(name="exec", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        execute
    )
    app.command(hidden=True)(serve)


def up(
    cluster: Annotated[Path, typer.Argument(help="Cluster file, e.g. cluster/testbed/five.yaml.")],
    mode: Annotated[
        str,
        typer.Option(
            help="auto, root, userns or loopback. auto takes the best that is allowed here: namespaces as root, "
            "namespaces of an ordinary user, or several raylets on loopback with sender pacing."
        ),
    ] = "auto",
) -> None:
    """Bring a cluster up: emulated devices on this machine, or the head of real ones."""
    bring_up(cluster, mode)
    say("the cluster is up; `edgeray devices` shows it, `edgeray down` takes it down")


def bring_up(file: Path, mode: str = "auto") -> ClusterState:
    """Devices, raylets and the scheduler; returns once every emulated device has its node."""
    from edgeray import testbed
    from edgeray.spec import load_cluster

    if mode not in ("auto", "root", "userns", "loopback"):
        raise BadInputError(f"--mode {mode}: expected auto, root, userns or loopback")
    state = testbed.up(load_cluster(file), mode=mode, progress=say)
    try:
        _serve_on_head(state, file)
    except BaseException:
        testbed.down(progress=say)
        raise
    return state


def _serve_on_head(state: ClusterState, file: Path) -> None:
    """Start the scheduler, from a process on the head."""
    argv = head_command(state, [sys.executable, "-m", "edgeray.cli.main", "serve", str(file.resolve())])
    environment = {**os.environ, **head_environment(state), "EDGERAY_INSIDE": "1"}
    done = subprocess.run(argv, env=environment, check=False)
    if done.returncode != 0:
        raise ClusterError("the scheduler did not come up; see the lines above, and `edgeray doctor`")


def serve(file: Path) -> None:
    """Start the scheduler of the cluster that RAY_ADDRESS names, and wait for its nodes."""
    from edgeray.client import Client
    from edgeray.spec import load_cluster

    cluster = load_cluster(file)
    client = Client()
    from edgeray.actors import start_learner, start_scheduler

    root = os.environ["EDGERAY_OUTPUT_ROOT"]
    start_learner(cluster.head, root)
    start_scheduler(cluster.network, cluster.head, root)
    wanted = set(cluster.network.devices) if not cluster.addresses else {cluster.head}
    say(f"starting the scheduler on {cluster.head}, and a node on each device")
    deadline_s = time.monotonic() + JOIN_WAIT_S
    while True:
        joined = {view.device for view in client.call("devices") if view.joined}
        if wanted <= joined:
            return
        if time.monotonic() > deadline_s:
            missing = ", ".join(sorted(wanted - joined))
            raise ClusterError(f"no node came up on {missing} within {JOIN_WAIT_S:.0f} s")
        time.sleep(0.3)


def down() -> None:
    """Take the cluster on this machine down, and everything that was left of one."""
    from edgeray import testbed

    testbed.down(progress=say)


def join(
    head: Annotated[str, typer.Argument(help="HOST:PORT of the head, as `edgeray up` prints it there.")],
    type: Annotated[
        str | None, typer.Option(help="Device type, e.g. jetson-nx: checked against the head's cluster file.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Which device of the cluster file this is; found by address if left out."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A copy of the head's token file: `edgeray up` there says where it is."),
    ] = None,
    takeover: Annotated[
        bool, typer.Option(help="Replace a root qdisc on the link's interface that EdgeRay did not make.")
    ] = False,
) -> None:
    """Let this real device join a cluster: the same node actor, its own network interface."""
    from edgeray import testbed

    testbed.join(head, type=type, device=device, token_file=token_file, takeover=takeover, progress=say)


def devices(
    detail: Annotated[
        bool, typer.Option("--detail", help="Also every task and flow of the last second.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The devices, what they do, and how their flows are held to their rates."""
    be_on_head()
    from dataclasses import asdict

    from edgeray.client import Client

    views = Client().call("devices")
    if as_json:
        print_json({"devices": [asdict(view) for view in views]})
        return
    table = Table(title="devices", title_justify="left")
    for column in (
        "device",
        "type",
        "state",
        "address",
        "cpu",
        "memory",
        "enforcement",
        "links (sent)",
        "jobs",
    ):
        table.add_column(column)
    for view in views:
        table.add_row(
            view.device,
            view.type,
            "up" if view.joined else "away",
            view.address or "-",
            _cpu_text(view),
            f"{bytes_text((view.sample or {}).get('memory_bytes'))} of {bytes_text(view.memory_bytes)}",
            view.enforcement or "-",
            _links_text(view.sample),
            ", ".join(view.jobs) or "-",
        )
    stdout.print(table)
    if detail:
        stages = [stage for view in views for stage in (view.sample or {}).get("stages", ())]
        stdout.print(_tasks_table(stages))
        stdout.print(_flows_table(stages))


def _tasks_table(stages: list[dict[str, Any]]) -> Table:
    table = Table(title="tasks, last second", title_justify="left")
    for column in ("job", "device", "task", "items/s", "busy", "waiting", "dropped", "p50", "p95"):
        table.add_column(column)
    for stage in stages:
        for row in stage["tasks"]:
            table.add_row(
                stage["job"],
                stage["device"],
                row["task"],
                f"{row['items'] / stage['window_s']:.2f}",
                f"{row['busy_s'] / stage['window_s']:.0%}",
                str(row["queue"]),
                str(row["dropped_total"]),
                seconds_text(row["latency_p50_s"]),
                seconds_text(row["latency_p95_s"]),
            )
    return table


def _flows_table(stages: list[dict[str, Any]]) -> Table:
    table = Table(title="flows sent, last second", title_justify="left")
    for column in ("flow", "device", "granted", "on the wire", "payload", "waiting in the kernel", "refused"):
        table.add_column(column)
    for stage in stages:
        for row in stage["flows"]:
            if row["wire_bytes"] is None:
                continue  # it arrives here: its sender counts it
            table.add_row(
                row["flow"],
                stage["device"],
                bps_text(row["granted_bps"]),
                bps_text(row["wire_bytes"] * 8 / stage["window_s"]),
                bps_text(row["payload_bytes"] * 8 / stage["window_s"]),
                bytes_text(row["backlog_bytes"]),
                f"{row['dropped_packets']} packets",
            )
    return table


def _cpu_text(view: Any) -> str:
    if view.sample is None:
        return f"- of {view.cpus:g}"
    return f"{view.sample['cpu_fraction']:.0%} of {view.cpus:g}"


def _links_text(sample: dict[str, Any] | None) -> str:
    rows = (sample or {}).get("links", ())
    window_s = (sample or {}).get("window_s", 1.0)
    return (
        "\n".join(
            f"{row['peer']}: {bps_text(row['wire_bytes'] * 8 / window_s)} of {bps_text(row['capacity_bps'])}"
            for row in rows
        )
        or "-"
    )


def throttle(
    device: Annotated[str, typer.Argument(help="An emulated device of the cluster that is up.")],
    cpus: Annotated[float, typer.Option(help="Cores that its stages have from now on, such as 0.05.")],
) -> None:
    """Make an emulated device slower or faster while jobs run, without telling anybody: to see how policies cope."""
    from edgeray.testbed.throttle import throttle as change

    change(device, cpus)
    say(f"the stages of {device} have {cpus:g} cores from now on; nobody was told")


def doctor(as_json: Json = False) -> None:
    """Check what this machine can do: privileges, kernel features, tools, leftovers."""
    from dataclasses import asdict

    from edgeray.testbed.doctor import checks

    found = checks()
    if as_json:
        print_json({"checks": [asdict(check) for check in found]})
    else:
        for check in found:
            mark = "ok " if check.ok else "NO "
            remedy = f"\n      remedy: {check.remedy}" if not check.ok and check.remedy else ""
            stdout.print(f"{mark} {check.name}: {check.detail}{remedy}", markup=False, highlight=False)
    if not all(check.ok for check in found if check.required):
        raise typer.Exit(1)


def execute(context: typer.Context) -> None:
    """Run a command on the head device, e.g. edgeray exec -- ray job submit ... ; or show the environment."""
    if not context.args:
        raise BadInputError("exec: no command given\n  expected: edgeray exec -- COMMAND [ARGUMENT...]")
    say(f"on the head: {shlex.join(context.args)}")
    code = run_on_head(context.args)
    if code:
        raise typer.Exit(code)
