"""DAGs made with the real Ray's .bind(); none of it needs a cluster."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dag_tasks as tasks
import pytest
import ray
from ray.dag import InputNode, MultiOutputNode

from edgeray.errors import SpecError
from edgeray.node.code import TaskCode, iterate, load_task
from edgeray.spec import App, Code, SourceOptions, app_from_ray_dag, check_runnable, load_app
from policies.model import TaskId

HERE = Path(__file__).parent
E4 = {"device:e4": 1}


def source(**options: Any) -> Any:
    return tasks.camera.options(resources=E4, **options).bind("street.avi")


def refused(node: Any, *words: str, name: str | None = None) -> SpecError:
    with pytest.raises(SpecError) as caught:
        app_from_ray_dag(node, name=name)
    for word in words:
        assert word in str(caught.value)
    return caught.value


def test_a_dag_of_functions_and_classes() -> None:
    frames = source(
        memory=10_000_000, _labels={"edgeray.items_per_s": "30", "edgeray.overflow": "drop-oldest"}
    )
    small = tasks.resize.bind(frames, width=320)
    boxes = (
        tasks.Detector.options(name="boxes", memory=500_000_000)
        .bind(0.5, labels=("person",))
        .detect.bind(small)
    )
    app = app_from_ray_dag(tasks.fuse.bind(boxes, right=frames, weight=1.0), name="people")
    assert app.job.id == "people"
    assert [(task.id, task.device, task.memory_bytes, task.work_flop) for task in app.job.tasks] == [
        ("camera", "e4", 1e7, None),
        ("resize", None, 0, None),
        ("boxes", None, 5e8, None),
        ("fuse", None, 0, None),
    ]
    assert [flow.id for flow in app.job.flows] == [
        "camera->resize",
        "resize->boxes",
        "boxes->fuse",
        "camera->fuse",
    ]
    assert app.code == {
        "camera": Code(run="dag_tasks:camera", args={"path": "street.avi"}),
        "resize": Code(run="dag_tasks:resize", args={"width": 320}),
        "boxes": Code(
            run="dag_tasks:Detector", args={"threshold": 0.5, "labels": ("person",)}, method="detect"
        ),
        "fuse": Code(run="dag_tasks:fuse", args={"weight": 1.0}),
    }
    assert app.sources == {"camera": SourceOptions(items_per_s=30, overflow="drop-oldest")}
    assert app.job.items_per_s == 30
    assert app.needs_profile
    assert app.folder == HERE
    assert app.file == HERE / "dag_tasks.py"
    check_runnable(app)
    assert not ray.is_initialized()


def test_it_is_the_same_app_as_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "name: same\n"
        "tasks:\n"
        "  camera: {device: e4, run: 'dag_tasks:camera', args: {path: street.avi}}\n"
        "  Detector: {inputs: [camera], run: 'dag_tasks:Detector', args: {threshold: 0.5}}\n"
    )
    (tmp_path / "dag_tasks.py").write_text((HERE / "dag_tasks.py").read_text())
    from_file = load_app(tmp_path)
    from_ray = app_from_ray_dag(tasks.Detector.bind(0.5).__call__.bind(source()), name="same")
    for part in ("job", "code", "sources", "needs_profile"):
        assert getattr(from_ray, part) == getattr(from_file, part)


def test_a_device_can_load_the_code(tmp_path: Path) -> None:
    boxes = tasks.Detector.options(name="boxes").bind(0.5).detect.bind(source())
    app = app_from_ray_dag(tasks.resize.bind(boxes, width=1))
    loaded = {
        task: load_task(task, TaskCode(run=code.run, args=code.args, method=code.method), tmp_path)
        for task, code in app.code.items()
    }
    frames = list(iterate(loaded[TaskId("camera")]))
    assert frames == [0, 1, 2]
    assert loaded[TaskId("boxes")].call(frames[1]) == (1, 0.5)
    assert loaded[TaskId("resize")].call("frame") == "frame"


def test_names_that_come_again_are_numbered() -> None:
    once = tasks.resize.bind(source())
    twice = tasks.resize.bind(once)
    named = tasks.resize.options(name="resize-2").bind(twice)
    app = app_from_ray_dag(named)
    assert [task.id for task in app.job.tasks] == ["camera", "resize", "resize-3", "resize-2"]
    assert app.job.id == "resize-2"


def test_several_sinks_and_any_number_of_inputs() -> None:
    frames = source()
    left, right = tasks.resize.bind(frames), tasks.resize.bind(frames, width=1)
    counted = tasks.count.bind(left, right, frames)
    app = app_from_ray_dag(MultiOutputNode([counted, tasks.Detector.bind(1).detect.bind(right)]))
    assert [task.id for task in app.job.tasks] == ["camera", "resize", "resize-2", "Detector", "count"]
    assert [flow.id for flow in app.job.flows] == [
        "camera->resize",
        "camera->resize-2",
        "resize-2->Detector",
        "resize->count",
        "resize-2->count",
        "camera->count",
    ]


def test_a_device_by_label() -> None:
    frames = tasks.camera.options(label_selector={"edgeray.device": "e4"}).bind("x")
    assert app_from_ray_dag(frames).job.tasks[0].device == "e4"


def test_options_of_the_decorator_count() -> None:
    app = app_from_ray_dag(tasks.resize.options(num_cpus=2, memory=7, max_retries=1).bind(source()))
    assert app.job.tasks[1].memory_bytes == 7


def test_an_app_can_travel() -> None:
    app = app_from_ray_dag(tasks.resize.bind(source()))
    copy: App = pickle.loads(pickle.dumps(app))
    assert copy == app


def with_input() -> Any:
    with InputNode() as item:
        return tasks.resize.bind(item)


def with_part_of_input() -> Any:
    with InputNode() as item:
        return tasks.resize.bind(item["frame"])


def shared_actor() -> Any:
    detector = tasks.Detector.bind(1)
    return detector.draw.bind(detector.detect.bind(source()))


BAD: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "input": (with_input, ["InputNode", "source function"]),
    "part of input": (with_part_of_input, ["InputNode"]),
    "class alone": (lambda: tasks.Detector.bind(1), ["'Detector' is bound", "none of its methods"]),
    "class as argument": (lambda: tasks.resize.bind(tasks.Detector.bind(1)), ["none of its methods"]),
    "no node": (lambda: tasks.resize, ["RemoteFunction", ".bind()"]),
    "nothing": (lambda: MultiOutputNode([]), ["no task"]),
    "source anywhere": (lambda: tasks.camera.bind("x"), ["'camera'", "no device", "device:e4"]),
    "two outputs": (lambda: tasks.resize.options(num_returns=2).bind(source()), ["returns 2 values"]),
    "shared actor": (shared_actor, ["'detect' and 'draw'", "same Detector", "share its state"]),
    "same input twice": (
        lambda: (lambda frames: tasks.fuse.bind(frames, frames))(source()),
        ["takes the same task's items twice"],
    ),
    "list of inputs": (
        lambda: tasks.resize.bind([source()]),
        ["'frame' is bound to a collection with tasks inside", "f(a, b)"],
    ),
    "items after constants": (lambda: tasks.late.bind(3, source()), ["'frame'", "not among the first"]),
    "a gap before the items": (
        lambda: tasks.fuse.bind(source(), 1, weight=tasks.resize.bind(source(name="other"))),
        ["'weight'", "not among the first"],
    ),
    "positional constant": (lambda: tasks.positional.bind(source(), 3), ["positional-only", "'/'"]),
    "constant in *args": (lambda: tasks.count.bind(source(), 3), ["'*parts'", "by name"]),
    "constant in a method": (
        lambda: tasks.Detector.bind(1).draw.bind(source(), colour="blue"),
        ["'draw'", "'colour'", "Class.bind"],
    ),
    "item in a constructor": (
        lambda: tasks.Detector.bind(source()).detect.bind(source()),
        ["'threshold' is bound to another task", "pass items to the method"],
    ),
    "too few arguments": (
        lambda: tasks.fuse.bind(source()),
        ["does not take", "'right'", "fuse(left, right"],
    ),
    "two devices": (
        lambda: tasks.camera.options(resources={"device:e4": 1, "device:e5": 1}).bind("x"),
        ["several devices: e4, e5"],
    ),
    "other resource": (
        lambda: tasks.resize.options(resources={"type:pi": 1}).bind(source()),
        ["resource 'type:pi'"],
    ),
    "bad device": (
        lambda: tasks.resize.options(resources={"device:": 1}).bind(source()),
        ["''", "not usable"],
    ),
    "other label": (
        lambda: tasks.resize.options(label_selector={"zone": "a"}).bind(source()),
        ["selects by the label 'zone'"],
    ),
    "gpu": (lambda: tasks.resize.options(num_gpus=1).bind(source()), ["num_gpus=1", "remove num_gpus"]),
    "strategy": (
        lambda: tasks.resize.options(scheduling_strategy="SPREAD").bind(source()),
        ["scheduling_strategy='SPREAD'"],
    ),
    "unknown label": (
        lambda: source(_labels={"edgeray.item_per_s": "3"}),
        ["unknown label", "did you mean 'edgeray.items_per_s'?"],
    ),
    "bad pace": (lambda: source(_labels={"edgeray.items_per_s": "-3"}), ["'-3' is negative"]),
    "bad overflow": (lambda: source(_labels={"edgeray.overflow": "drop"}), ["edgeray.overflow='drop'"]),
    "paced in the middle": (
        lambda: tasks.resize.options(_labels={"edgeray.items_per_s": "3"}).bind(source()),
        ["a source's labels", "it has inputs"],
    ),
    "bad name": (lambda: source(name="my camera"), ["'my camera' is not usable"]),
    "one name for two": (
        lambda: tasks.resize.options(name="x").bind(source(name="x")),
        ["two tasks are named 'x'"],
    ),
    "a lambda": (lambda: tasks.nameless.bind(source()), ["is a lambda"]),
    "a local function": (lambda: tasks.local().bind(source()), ["defined inside a function"]),
    "another under its name": (lambda: tasks.wrapped.bind(source()), ["not what dag_tasks:plain names"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_dags_are_refused(case: str) -> None:
    build, words = BAD[case]
    error = refused(build(), *words)
    assert error.exit_code == 2
    assert error.expected
    assert error.remedy


def test_errors_point_at_the_code() -> None:
    error = refused(tasks.camera.bind("x"))
    file, _, line = error.where.rpartition(":")
    assert file == str(HERE / "dag_tasks.py")
    assert "def camera" in "".join(
        (HERE / "dag_tasks.py").read_text().splitlines()[int(line) - 1 : int(line) + 1]
    )


def test_a_name_that_is_no_id() -> None:
    refused(source(), "'my job' is not usable", name="my job")


def test_a_running_actor_is_refused() -> None:
    class Handle:
        """Stands for an ActorHandle, which exists only on a cluster."""

    node = tasks.Detector.bind(1).detect.bind(source())
    node._bound_other_args_to_resolve["parent_class_node"] = Handle()
    refused(node, "an actor that runs already", "Class.bind")


def test_code_in_the_script_itself_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import ray\n"
        "from edgeray.errors import SpecError\n"
        "from edgeray.spec import app_from_ray_dag\n"
        "@ray.remote(resources={'device:e4': 1})\n"
        "def camera():\n"
        "    yield 1\n"
        "try:\n"
        "    app_from_ray_dag(camera.bind())\n"
        "except SpecError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert f"{script}:4" in done.stdout
    assert "__main__" in done.stdout
    assert "tasks.py" in done.stdout


def test_code_from_two_folders_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_tasks.py").write_text(
            "import ray\n@ray.remote(resources={'device:e4': 1})\ndef f(*x): return x\n"
        )
    script = (
        "import one_tasks, two_tasks\n"
        "from edgeray.errors import SpecError\n"
        "from edgeray.spec import app_from_ray_dag\n"
        "try:\n"
        "    app_from_ray_dag(two_tasks.f.bind(one_tasks.f.bind()))\n"
        "except SpecError as error:\n"
        "    print(error)\n"
    )
    path = os.pathsep.join(str(tmp_path / name) for name in ("one", "two"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"several folders: {tmp_path / 'one'} and {tmp_path / 'two'}" in done.stdout


def test_order_does_not_depend_on_hashing() -> None:
    frames = source()
    parts = [tasks.resize.options(name=name).bind(frames) for name in ("zebra", "ant", "bee")]
    app = app_from_ray_dag(tasks.count.bind(*parts))
    assert [task.id for task in app.job.tasks] == ["camera", "ant", "bee", "zebra", "count"]
    assert [flow.id for flow in app.job.inputs(app.job.tasks[-1].id)] == [
        "zebra->count",
        "ant->count",
        "bee->count",
    ]


def test_a_dag_that_runs_once() -> None:
    frame = tasks.camera.bind("street.avi")
    app = app_from_ray_dag(tasks.resize.bind(frame, width=320), mode="once")
    assert app.job.mode == "once"
    assert app.job.tasks[0].device is None
    assert app_from_ray_dag(tasks.resize.bind(source(), width=320)).job.mode == "stream"


def test_a_dag_that_runs_once_has_no_pace() -> None:
    with pytest.raises(SpecError, match="the job runs once"):
        app_from_ray_dag(source(_labels={"edgeray.items_per_s": "30"}), mode="once")
