"""Checks a document against its form; the first mistake in the file becomes a SpecError."""

from typing import Any, TypeGuard, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgeray.errors import SpecError
from edgeray.spec.words import kind_of, listed, remedy_for_name, shorten
from edgeray.spec.yaml_file import Document

_Form = TypeVar("_Form", bound=BaseModel)
_FIXED = ("declared", "model", "dataset", "clients", "detect", "identify", "track", "gallery", "replan")
_ONE_OF = {"tasks": "task", "devices": "device", "cameras": "camera", "links": "link", "events": "event"}
_LIMITS = (
    ("greater_than", "above", "gt"),
    ("greater_than_equal", "of at least", "ge"),
    ("less_than", "below", "lt"),
    ("less_than_equal", "of at most", "le"),
)


def validate(document: Document, form: type[_Form]) -> _Form:
    """The document as form. Raises SpecError for the mistake that stands first in the file.

    What is missing comes last: a misspelt key is the likelier reason for it.
    """
    try:
        return form.model_validate(document.value)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    first = min(mistakes, key=lambda mistake: (mistake["type"] == "missing", document.line(_path(mistake))))
    raise _translate(document, form, first)


def _path(mistake: ErrorDetails) -> tuple[str, ...]:
    return tuple(str(part) for part in mistake["loc"] if part != "[key]")


def _translate(document: Document, form: type[BaseModel], mistake: ErrorDetails) -> SpecError:
    path = _path(mistake)
    name = path[-1] if path else "the file"
    kind = mistake["type"]
    if kind == "extra_forbidden":
        known = _keys(form, path[:-1])
        return document.error(
            path,
            f"unknown key '{shorten(name)}' in {_where(path[:-1])}",
            expected=f"one of {listed(known)}",
            remedy=remedy_for_name(name, known, "remove it"),
        )
    if kind == "missing":
        return document.error(
            path[:-1],
            f"{_where(path[:-1])} has no '{name}'",
            expected=f"the key '{name}'",
            remedy=f"add `{name}: ...`",
        )
    if kind == "edgeray":
        context = mistake.get("ctx", {})
        shown = _shown(mistake["input"])
        subject = f"the name {shown}" if "[key]" in mistake["loc"] else f"{_of(path)}: {shown}"
        return document.error(
            path,
            f"{subject} {context['problem']}",
            expected=context["expected"],
            remedy=context["remedy"],
        )
    return document.error(
        path,
        f"{_of(path)} is {_empty(mistake['input'])}",
        expected=_expected(mistake),
        remedy="quote it if it is text" if kind == "string_type" else "write it in that form",
    )


def _keys(form: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    for part in path:
        # Other parts are names in a mapping, or numbers in a list, of the form found before.
        annotation = form.model_fields[part].annotation if part in form.model_fields else None
        held = [each for each in (annotation, *get_args(annotation)) if _is_form(each)]
        form = held[0] if held else form
    return [field.alias or name for name, field in form.model_fields.items()]


def _is_form(annotation: Any) -> TypeGuard[type[BaseModel]]:
    # Python 3.10 takes dict[str, X] for a class.
    return (
        get_origin(annotation) is None and isinstance(annotation, type) and issubclass(annotation, BaseModel)
    )


def _where(path: tuple[str, ...]) -> str:
    if not path:
        return "the file"
    singular = _ONE_OF.get(path[0], path[0])
    if len(path) == 1:
        return f"'{path[0]}'"
    if path[0] in _FIXED:  # its keys are the form's, not names that the user gave
        return " of ".join(f"'{shorten(part)}'" for part in reversed(path))
    listed_form = path[0] in ("links", "events")
    owner = f"{singular} {int(path[1]) + 1}" if listed_form else f"{singular} '{shorten(path[1])}'"
    return owner if len(path) == 2 else f"'{path[2]}' of {owner}"


def _of(path: tuple[str, ...]) -> str:
    if len(path) < 3 or path[0] in _FIXED:
        return _where(path)
    return f"{'.'.join(shorten(part) for part in path[2:])} of {_where(path[:2])}"


def _shown(value: Any) -> str:
    return repr(shorten(value)) if isinstance(value, str) else shorten(str(value))


def _empty(value: Any) -> str:
    return "empty" if value is None or value in ({}, []) else kind_of(value)


def _expected(mistake: ErrorDetails) -> str:
    kind = mistake["type"]
    context = mistake.get("ctx", {})
    if kind == "literal_error":
        return str(context.get("expected", ""))
    for ended, words, key in _LIMITS:
        if kind == ended:
            limit = context[key]
            return f"a number {words} {limit:,}" if isinstance(limit, int) else f"a number {words} {limit:g}"
    return {
        "string_type": "text",
        "dict_type": "a mapping (key: value)",
        "model_type": "a mapping (key: value)",
        "list_type": "a list",
        "int_type": "a whole number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "too_short": "at least one entry",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
    }.get(kind, mistake["msg"])
