"""Profiles of the cuts of a model: kept on disk, put together by device type, measured where they are needed."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeray.errors import EdgeRayError, StageError
from edgeray.node.code import AppPackage, TaskCode
from edgeray.profiler import CutMeasurements, FleetProfiler, ProfileStore, TaskMeasurement, merge
from policies.model import Device, DeviceId, Flow, Job, JobId, Task, TaskId, Training

SERVER, CLIENT, OTHER = TaskId("server"), TaskId("client-pi"), TaskId("client-nano")
MEASURED = CutMeasurements(
    names=("conv1", "conv2", "fc"),
    layers=(1, 2, 3),
    up_bytes=(300.0, 200.0, 0.0),
    down_bytes=(250.0, 150.0, 0.0),
    weights_bytes=(10.0, 30.0, 90.0),
    forward_s=(0.1, 0.3, 0.6),
    backward_s=(0.2, 0.5, 0.9),
    server_s=(0.8, 0.3, 0.0),
    memory_bytes=(5e8, 6e8, 7e8),
    piece_s=(0.01, 0.02, 0.0),
    server_piece_s=(0.03, 0.01, 0.0),
    send_s_per_byte=2e-9,
    steps=4,
)
PREFIX = replace(
    MEASURED,
    up_bytes=(301.0, 199.0, 0.0),
    forward_s=(1.0, math.inf, math.inf),
    backward_s=(2.0, math.inf, math.inf),
    server_s=(math.inf, math.inf, math.inf),
    memory_bytes=(5.1e8, math.inf, math.inf),
    send_s_per_byte=4e-9,
)


def device(name: str, kind: str) -> Device:
    return Device(id=DeviceId(name), type=kind, memory_bytes=1e9, cpus=0.2)


PI, NANO, SWITCH, BOX = (
    device("pi", "pi"),
    device("nano", "nano"),
    device("switch", "switch"),
    device("box", "box"),
)


def test_the_store_keeps_cuts_to_the_last_bit(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    store.put("f1", PI, MEASURED)
    store.put("f1", NANO, PREFIX)
    assert store.get("f1", PI) == MEASURED
    assert store.get("f1", NANO) == PREFIX
    assert store.get("f2", PI) is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        json.dumps({**MEASURED.as_json(), "forward_s": [1.0]}),
        json.dumps({name: value for name, value in MEASURED.as_json().items() if name != "steps"}),
        json.dumps({**MEASURED.as_json(), "server_tf": [1, 2, 3]}),
        json.dumps({**MEASURED.as_json(), "names": "conv1"}),
        json.dumps({**MEASURED.as_json(), "forward_s": [1.0, "2", None]}),
        json.dumps({**MEASURED.as_json(), "send_s_per_byte": [1.0]}),
        "7",
        "null",
    ],
)
def test_a_damaged_or_old_file_counts_as_none(content: str, tmp_path: Path) -> None:
    store = ProfileStore(tmp_path)
    store.put("f1", PI, MEASURED)
    next(tmp_path.glob("f1*")).write_text(content)
    assert store.get("f1", PI) is None


def test_cuts_of_all_types_in_one() -> None:
    profile = merge({"pi": PREFIX, "box": MEASURED})
    assert not profile.seconds
    cuts = profile.cuts
    assert cuts is not None
    assert (cuts.names, cuts.layers) == (MEASURED.names, MEASURED.layers)
    assert cuts.up_bytes == (301.0, 200.0, 0.0)
    assert cuts.forward_s == {"pi": PREFIX.forward_s, "box": MEASURED.forward_s}
    assert cuts.backward_s["box"] == MEASURED.backward_s
    assert cuts.server_s["pi"] == (math.inf,) * 3
    assert cuts.memory_bytes["pi"] == (5.1e8, math.inf, math.inf)
    assert cuts.piece_s == {"pi": PREFIX.piece_s, "box": MEASURED.piece_s}
    assert cuts.server_piece_s["box"] == MEASURED.server_piece_s
    assert cuts.send_s_per_byte == {"pi": 4e-9, "box": 2e-9}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"names": ("conv1", "conv9", "fc")},
            r"cut 1 is behind conv9 \(2 layers\) and not behind conv2 \(2\)",
        ),
        ({"layers": (1, 2, 4)}, r"cut 2 is behind fc \(4 layers\) and not behind fc \(3\)"),
    ],
)
def test_types_that_found_other_cuts_are_named(change: dict[str, Any], why: str) -> None:
    with pytest.raises(EdgeRayError, match=f"other cuts on type pi than on type box: {why}"):
        merge({"pi": replace(MEASURED, **change), "box": MEASURED})
    fewer = {
        name: value[:2] if isinstance(value, tuple) else value for name, value in vars_of(MEASURED).items()
    }
    with pytest.raises(EdgeRayError, match="on type pi than on type box: 2 and not 3"):
        merge({"pi": CutMeasurements(**fewer), "box": MEASURED})


def vars_of(measured: CutMeasurements) -> dict[str, Any]:
    return {name: getattr(measured, name) for name in CutMeasurements.__dataclass_fields__}


def test_tasks_and_cuts_do_not_mix() -> None:
    row = TaskMeasurement(
        task=SERVER, seconds_mean=1, seconds_median=1, seconds_p95=1, output_bytes=1, transfer_seconds=1,
        memory_bytes=1, items=1,
    )  # fmt: skip
    with pytest.raises(EdgeRayError, match="on type pi a model's cuts were measured, and on type box tasks"):
        merge({"pi": MEASURED, "box": {SERVER: row}})


class Node:
    """Answers what it is told, and counts how often it is asked."""

    def __init__(self, answer: CutMeasurements | Exception) -> None:
        self.answer = answer
        self.asked = 0

    def profile(self, *_: Any) -> CutMeasurements:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def package() -> AppPackage:
    tasks = {SERVER: BOX, CLIENT: PI, OTHER: NANO}
    flows = [
        Flow(producer=a, consumer=b)
        for client in (CLIENT, OTHER)
        for a, b in ((client, SERVER), (SERVER, client))
    ]
    job = Job(
        id=JobId("training"),
        tasks=tuple(Task(id=task, device=where.id) for task, where in tasks.items()),
        flows=tuple(flows),
        kind="split-training",
        mode="loop",
        training=Training(server=SERVER, batches={CLIENT: 4, OTHER: 4}, rounds=2),
    )
    code = {task: TaskCode(run="nothing:here") for task in tasks}
    return AppPackage(
        app="training", job=job, code=code, working_dir=None, fingerprint="f1", needs_profile=True
    )


def test_only_devices_that_take_part_are_measured_and_once(tmp_path: Path) -> None:
    nodes = {PI: Node(PREFIX), NANO: Node(MEASURED), BOX: Node(MEASURED), SWITCH: Node(MEASURED)}
    profiler = FleetProfiler(ProfileStore(tmp_path))
    assert profiler.measure(package(), nodes, busy=()) == {"pi": PREFIX, "nano": MEASURED, "box": MEASURED}
    profiler.measure(package(), nodes, busy=())
    assert [node.asked for node in nodes.values()] == [1, 1, 1, 0]
    profiler.measure(package(), nodes, busy=(), again=True)
    assert [node.asked for node in nodes.values()] == [2, 2, 2, 0]


def test_a_type_that_cannot_hold_the_first_layers_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = {
        PI: Node(StageError("not even the layers up to conv1 fit")),
        NANO: Node(MEASURED),
        BOX: Node(MEASURED),
    }
    with caplog.at_level(logging.WARNING):
        found = FleetProfiler(ProfileStore(tmp_path)).measure(package(), nodes, busy=())
    assert found == {"nano": MEASURED, "box": MEASURED}
    assert "no profile of training on type pi (on pi): not even the layers up to conv1 fit" in caplog.text
