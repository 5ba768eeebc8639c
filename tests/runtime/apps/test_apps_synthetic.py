"""The synthetic app: fixed work, payloads that tell what they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

APP = "synthetic"


def test_every_item_goes_through_the_diamond(run_app: Any, tmp_path: Path) -> None:
    results = run_app("job.yaml", tmp_path, items=3)
    assert [outputs["d"]["number"] for outputs in results] == [0, 1, 2]
    assert [results[0][task]["payload"].nbytes for task in ("source", "a", "b", "c")] == [
        100000,
        20000,
        5000,
        5000,
    ]
    assert results[0]["b"]["value"] < 1e-9, "the iteration has not converged: the work was not done"
    assert (tmp_path / "items.txt").read_text() == "0\n1\n2\nend\n"


def test_items_that_do_not_belong_together_are_refused(app_path: Path) -> None:
    from tasks import payload, work

    items = [{"number": n, "payload": payload(n, 10)} for n in (1, 2)]
    with pytest.raises(ValueError, match=r"inputs of items \[1, 2\] came together"):
        work(*items, flop=0, output_bytes=1)


def test_a_damaged_payload_is_refused(app_path: Path) -> None:
    from tasks import payload, work

    damaged = payload(7, 10)
    damaged[3] = 8
    with pytest.raises(ValueError, match="item 7 holds other bytes"):
        work({"number": 7, "payload": damaged}, flop=0, output_bytes=1)


def test_the_work_is_the_operations_asked_for(app_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tasks

    done = {"multiply": 0, "add": 0}

    class CountingNumpy:
        def __getattr__(self, name: str) -> Any:
            function = getattr(tasks_numpy, name)
            if name not in done:
                return function

            def counted(array: Any, *args: Any, **kwargs: Any) -> Any:
                done[name] += array.size
                return function(array, *args, **kwargs)

            return counted

    tasks_numpy = tasks.np
    monkeypatch.setattr(tasks, "np", CountingNumpy())
    tasks.multiply_add(1e6)
    assert done == {"multiply": 500_000, "add": 500_000}
