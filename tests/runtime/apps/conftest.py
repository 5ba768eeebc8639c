"""Runs an app's tasks in this process, item by item, without Ray: what the tasks compute is tested here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeray.node.code import LoadedTask, TaskCode, iterate, load_task
from edgeray.spec import load_app

APPS = Path(__file__).parents[3] / "apps"

Item = dict[str, Any]
RunApp = Callable[..., list[dict[str, Item]]]


@pytest.fixture(scope="module")
def app_path(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder that the test module names in APP, importable while the module's tests run."""
    folder = APPS / request.module.APP
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name, module in sorted(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", "")):
            del sys.modules[name]  # another app may have a module of the same name


@pytest.fixture(scope="module")
def run_app(app_path: Path) -> RunApp:
    """run_app(file, output, **source arguments): every task's output, by task, for every item."""

    def run(file: str, output: Path, **source_args: Any) -> list[dict[str, Item]]:
        app = load_app(app_path / file)
        tasks: dict[str, LoadedTask] = {}
        for task in app.job.tasks:
            code = app.code[task.id]
            args = {**code.args, **(source_args if task in app.job.sources else {})}
            tasks[task.id] = load_task(task.id, TaskCode(run=code.run, args=args, method=code.method), output)
        (source,) = app.job.sources
        results = []
        for item in iterate(tasks[source.id]):
            outputs = {source.id: item}
            for task in app.job.tasks:
                if task != source:
                    inputs = [outputs[flow.producer] for flow in app.job.inputs(task.id)]
                    outputs[task.id] = tasks[task.id].call(*inputs)
            results.append(outputs)
        for loaded in tasks.values():
            loaded.close()
        return results

    return run
