"""EdgeRay's flow against raw pyzmq PUSH/PULL, in the same setting, in one run.

    python -m tests.benchmarks.dataplane [--rounds N] [--json FILE] [--check]

Two processes in two network namespaces joined by a veth pair (root; made and removed here), else on
loopback. Both send the same bytes object again and again. Raw pyzmq is what one would write by hand: one
single-frame message an item, send(payload) and recv(), high-water marks at their default of 1000, with
encryption CURVE. So it has 2000 items in its two ends' queues, and what the kernel's buffers hold besides.
EdgeRay has 2000 items in flight at most, the kernel's buffers included, and 32 MiB; a second EdgeRay has 8.
Throughput: items a second at the receiver over the last nine tenths of a run. Latency: one item every
millisecond, from the stamp that the producer writes into it to the moment the consumer holds it.
The contenders alternate within each round; the table shows medians over the rounds, ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq

from edgeray.dataplane import EndOfStream, FlowReceiver, FlowSecurity, FlowSender, new_flow_security

RAW, EDGERAY, EDGERAY_8 = "raw pyzmq", "EdgeRay", "EdgeRay, 8 in flight"
WINDOW_ITEMS = {EDGERAY: 2000, EDGERAY_8: 8}
WINDOW_BYTES = 32 << 20
SIZES = {"1 KB": 1_000, "100 KB": 100_000, "6 MB": 6_000_000}
ITEMS = {
    (1_000, False): 200_000,
    (100_000, False): 10_000,
    (6_000_000, False): 200,
    (1_000, True): 120_000,
    (100_000, True): 3_000,
    (6_000_000, True): 60,
}
LATENCY_ITEMS = 1_000
LATENCY_SPACING_S = 0.001
TARGET_THROUGHPUT = {"1 KB": 0.5, "100 KB": 0.9, "6 MB": 0.9}
TARGET_LATENCY = 2.0
STAMP = struct.Struct("<d")


# -- the two ends: each a process of its own, told what to do by JSON lines -------------------------------


def serve() -> None:
    """Run commands until standard input ends."""
    roles = {"receive": receive, "send": send}
    for line in sys.stdin:
        command = json.loads(line)
        roles[command["role"]](command)


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def payloads(command: dict[str, Any]) -> Iterator[bytes]:
    """The items of a run; for latency, spaced and stamped."""
    payload = os.urandom(command["size"])
    if not command["latency"]:
        yield from (payload for _ in range(command["items"]))
        return
    rest = payload[STAMP.size :]
    for _ in range(command["items"]):
        time.sleep(LATENCY_SPACING_S)
        yield STAMP.pack(time.time()) + rest


def measure(command: dict[str, Any], values: Iterator[bytes]) -> None:
    """Read all items and tell items a second, or the median latency."""
    items = command["items"]
    if command["latency"]:
        delays_s = [time.time() - STAMP.unpack_from(value)[0] for value in values]
        say(latency_s=statistics.median(delays_s[items // 10 :]), items=len(delays_s))
        return
    skipped = items // 10
    for _ in range(skipped):
        next(values)
    began_s = time.perf_counter()
    count = sum(1 for _ in values)
    say(items_per_s=count / (time.perf_counter() - began_s), items=skipped + count)


def keys_of(command: dict[str, Any]) -> FlowSecurity | None:
    return FlowSecurity(**command["keys"]) if command["keys"] else None


def receive(command: dict[str, Any]) -> None:
    (receive_raw if command["contender"] == RAW else receive_flow)(command)


def send(command: dict[str, Any]) -> None:
    (send_raw if command["contender"] == RAW else send_flow)(command)


def receive_raw(command: dict[str, Any]) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        if keys := keys_of(command):
            socket.curve_server = True
            socket.curve_secretkey = (keys.server_secret or "").encode()
        say(port=socket.bind_to_random_port(f"tcp://{command['address']}"))
        measure(command, (socket.recv() for _ in range(command["items"])))


def send_raw(command: dict[str, Any]) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        if keys := keys_of(command):
            socket.curve_serverkey = keys.server_public.encode()
            socket.curve_publickey = keys.client_public.encode()
            socket.curve_secretkey = (keys.client_secret or "").encode()
        socket.connect(f"tcp://{command['address']}:{command['port']}")
        for payload in payloads(command):
            socket.send(payload)


def receive_flow(command: dict[str, Any]) -> None:
    receiver = FlowReceiver(
        command["address"],
        0,
        security=keys_of(command),
        max_items=WINDOW_ITEMS[command["contender"]],
        max_bytes=WINDOW_BYTES,
    )
    say(port=receiver.port)

    def values() -> Iterator[bytes]:
        while not isinstance(item := receiver.receive(10.0), EndOfStream):
            if item is None:
                raise TimeoutError("no item for 10 s")
            yield item.value

    measure(command, values())
    receiver.close()


def send_flow(command: dict[str, Any]) -> None:
    sender = FlowSender(
        command["address"],
        command["port"],
        security=keys_of(command),
        max_items=WINDOW_ITEMS[command["contender"]],
        max_bytes=WINDOW_BYTES,
    )
    for number, payload in enumerate(payloads(command)):
        sender.send(number, payload, created_s=0.0)
    sender.finish(command["items"])


# -- the setting ------------------------------------------------------------------------------------------


@contextmanager
def namespaces() -> Iterator[tuple[list[list[str]], str, str]]:
    """Two namespaces and a veth pair: commands that enter them, the receiver's address, a description."""
    names = [f"edgeray-bench-{os.getpid()}-{end}" for end in "ab"]
    made: list[str] = []

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        ip("-n", names[0], "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", names[1])
        for name, address in zip(names, ("10.254.254.1/30", "10.254.254.2/30"), strict=True):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", address, "dev", "veth0")
            ip("-n", name, "link", "set", "veth0", "up")
        enter = [["ip", "netns", "exec", name] for name in names]
        yield enter, "10.254.254.2", "two network namespaces joined by a veth pair, MTU 1500"
    finally:
        for name in made:
            ip("netns", "delete", name)


@contextmanager
def setting() -> Iterator[tuple[list[list[str]], str, str]]:
    with ExitStack() as stack:
        try:
            found = stack.enter_context(namespaces())
        except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as error:
            why = (getattr(error, "stderr", None) or str(error)).strip()
            found = ([[], []], "127.0.0.1", f"loopback, as no network namespace could be made ({why})")
        yield found


@contextmanager
def end(enter: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of serve(), in a namespace."""
    command = [*enter, sys.executable, str(Path(__file__).resolve()), "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def tell(process: subprocess.Popen[str], command: dict[str, Any]) -> None:
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"an end of the benchmark died (exit code {process.wait()})")
    return json.loads(line)


# -- the comparison ---------------------------------------------------------------------------------------


def run_once(
    ends: tuple[subprocess.Popen[str], subprocess.Popen[str]], address: str, **what: Any
) -> dict[str, Any]:
    sender, receiver = ends
    keys = asdict(new_flow_security()) if what.pop("encrypted") else None
    command = {"address": address, "keys": keys, **what}
    tell(receiver, {**command, "role": "receive"})
    port = hear(receiver)["port"]
    tell(sender, {**command, "role": "send", "port": port})
    result = hear(receiver)
    if result["items"] != what["items"]:
        raise SystemExit(f"{what}: {result['items']} items came")
    return result


def cases() -> list[dict[str, Any]]:
    found = []
    for encrypted in (False, True):
        for label, size in SIZES.items():
            items = ITEMS[size, encrypted]
            found.append(
                {"label": label, "size": size, "items": items, "encrypted": encrypted, "latency": False}
            )
        found.append(
            {"label": "1 KB", "size": 1_000, "items": LATENCY_ITEMS, "encrypted": encrypted, "latency": True}
        )
    return found


def compare(rounds: int) -> dict[str, Any]:
    """All cases, contenders alternating; medians over the rounds."""
    contenders = (RAW, EDGERAY, EDGERAY_8)
    with setting() as (enter, address, where), end(enter[0]) as sender, end(enter[1]) as receiver:
        print(f"setting: {where}; {os.cpu_count()} CPUs; {rounds} rounds", file=sys.stderr)
        rows = []
        for case in cases():
            what = {key: value for key, value in case.items() if key != "label"}
            runs: dict[str, list[float]] = {contender: [] for contender in contenders}
            for number in range(rounds):
                turn = number % len(contenders)
                for contender in contenders[turn:] + contenders[:turn]:
                    result = run_once((sender, receiver), address, contender=contender, **what)
                    runs[contender].append(result["latency_s" if case["latency"] else "items_per_s"])
            rows.append(judge(case, runs))
            print(line_of(rows[-1]), file=sys.stderr)
    return {
        "setting": where,
        "cpus": os.cpu_count(),
        "rounds": rounds,
        "python": platform.python_version(),
        "pyzmq": zmq.__version__,
        "libzmq": zmq.zmq_version(),
        "rows": rows,
    }


def judge(case: dict[str, Any], runs: dict[str, list[float]]) -> dict[str, Any]:
    medians = {contender: statistics.median(values) for contender, values in runs.items()}
    ratio = medians[EDGERAY] / medians[RAW]
    target = TARGET_LATENCY if case["latency"] else TARGET_THROUGHPUT[case["label"]]
    met = ratio <= target if case["latency"] else ratio >= target
    return {**case, "medians": medians, "runs": runs, "ratio": ratio, "target": target, "met": met}


def line_of(row: dict[str, Any]) -> str:
    def shown(value: float) -> str:
        return f"{value * 1e6:.0f} us" if row["latency"] else f"{value * row['size'] / 1e6:.0f} MB/s"

    what = "p50 latency" if row["latency"] else "throughput"
    sign = "<=" if row["latency"] else ">="
    figures = "".join(f"{shown(value):>14}" for value in row["medians"].values())
    verdict = "met" if row["met"] else "MISSED"
    setting = f"{what:<12}{row['label']:>7}{'on' if row['encrypted'] else 'off':>6}"
    return f"{setting}{figures}{row['ratio']:>8.2f}  {sign} {row['target']:.1f}  {verdict}"


def table(result: dict[str, Any]) -> str:
    names = f"{'raw pyzmq':>14}{'EdgeRay':>14}{'8 in flight':>14}"
    head = f"{'':<12}{'size':>7}{'CURVE':>6}{names}{'ratio':>8}  target"
    return "\n".join([f"{result['setting']}; {result['cpus']} CPUs", head, *map(line_of, result["rows"])])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures of every run to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    result = compare(options.rounds)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    return int(options.check and not all(row["met"] for row in result["rows"]))


if __name__ == "__main__":
    sys.exit(main())
