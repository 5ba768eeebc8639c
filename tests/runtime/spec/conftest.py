"""Files to read: each test writes the text that it needs, so that line numbers can be seen beside it."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from edgeray.errors import SpecError
from edgeray.spec import App, Cluster, load_app, load_cluster

Refuse = Callable[..., SpecError]


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., App]:
    """job(text, **modules) loads an app whose folder holds job.yaml and modules (name=source)."""

    def load(text: str, **modules: str) -> App:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        (folder / "job.yaml").write_text(dedent(text).lstrip("\n"))
        for name, source in modules.items():
            (folder / f"{name}.py").write_text(dedent(source).lstrip("\n"))
        return load_app(folder)

    return load


@pytest.fixture
def cluster(tmp_path: Path) -> Callable[[str], Cluster]:
    def load(text: str) -> Cluster:
        file = tmp_path / "lab.yaml"
        file.write_text(dedent(text).lstrip("\n"))
        return load_cluster(file)

    return load


@pytest.fixture
def refuse() -> Refuse:
    """refuse(call, *args, line=..., words=[...]) checks the SpecError that the call raises."""

    def check(
        call: Callable[..., object], *args: object, line: int | None, words: list[str], **kw: str
    ) -> SpecError:
        with pytest.raises(SpecError) as caught:
            call(*args, **kw)
        error = caught.value
        assert error.exit_code == 2
        assert error.expected
        assert error.remedy
        place, _, number = error.where.rpartition(":")
        if line is None:
            assert not number.isdigit(), error
        else:
            assert place.endswith((".yaml", ".py", ".json", ".edges")), error
            assert int(number) == line, error
        for word in words:
            assert word in str(error), error
        return error

    return check
