"""Settings by name: what is given is taken, the rest has its default, and what is wrong is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeray.errors import BadInputError
from edgeray.simulator.frames import PaperFrames
from edgeray.simulator.offload import PaperOffload
from edgeray.simulator.settings import choice, number, parse_settings, settings_of, truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    count: int = number(3, "how many", least=1, most=9)
    part: float = number(0.5, "how much", least=0, most=1)
    most: float | None = number(None, "at most", least=0)
    kind: str = choice("plain", "which", "plain", "odd")
    kept: bool = truth(True, "whether")


def test_defaults_and_texts() -> None:
    assert settings_of(Some, {}) == Some()
    texts = parse_settings(["count=7", " part = 0.25", "most=12", "kind=odd", "kept=no"])
    assert settings_of(Some, texts) == Some(count=7, part=0.25, most=12.0, kind="odd", kept=False)
    assert settings_of(Some, {"most": "none", "kept": True}) == Some()
    assert settings_of(Some, {"count": 7.0}).count == 7


@given(st.integers(1, 9), st.floats(0, 1))
def test_what_a_dataclass_says_of_itself_makes_it_again(count: int, part: float) -> None:
    made = settings_of(Some, {"count": count, "part": part})
    assert settings_of(Some, asdict(made)) == made
    assert settings_of(Some, {name: str(value) for name, value in asdict(made).items()}) == made


@pytest.mark.parametrize("kind", [PaperOffload, PaperFrames])
def test_the_papers_defaults_are_in_their_ranges(kind: type) -> None:
    assert settings_of(kind, asdict(kind())) == kind()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"counts": 1}, "one of count, part, most, kind, kept\n  remedy:   did you mean 'count'"),
        ({"colour": 1}, "'colour' is no setting"),
        ({"count": 0}, "'count' is 0 (how many)\n  expected: a number from 1 to 9"),
        ({"count": 2.5}, "a whole number"),
        ({"count": "many"}, "'many'"),
        ({"count": True}, "'count' is True"),
        ({"count": None}, "'count' is None"),
        ({"part": "nan"}, "a number from 0 to 1"),
        ({"part": "1e999"}, "a number from 0 to 1"),
        ({"most": -1}, "a number of 0 or more"),
        ({"kind": "old"}, "one of plain, odd\n  remedy:   did you mean 'odd'"),
        ({"kept": "maybe"}, "true or false"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(BadInputError) as caught:
        settings_of(Some, given)
    assert told in str(caught.value)
    assert "expected:" in str(caught.value) and "remedy:" in str(caught.value)


@pytest.mark.parametrize("pairs", [["count"], ["=3"], ["count=1", "count=2"], [""]])
def test_what_is_no_pair_is_told(pairs: list[str]) -> None:
    with pytest.raises(BadInputError, match="--set"):
        parse_settings(pairs)
