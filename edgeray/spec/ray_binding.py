"""Splits what was bound to a Ray node into items of other tasks and constants."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class ArgumentError(Exception):
    """What was bound cannot be called per item."""

    def __init__(self, problem: str, *, expected: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.expected = expected
        self.remedy = remedy


def split_arguments(
    body: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    skip: int = 0,
    takes_items: bool = True,
) -> tuple[list[Any], dict[str, Any]]:
    """Nodes among the arguments in the order of the parameters, and constants by parameter.

    EdgeRay calls body(*items, **constants), so nodes must be its first parameters. skip: leading parameters
    that are neither (self). takes_items: False for a constructor. Raises ArgumentError.
    """
    try:
        bound = inspect.signature(body).bind(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"it does not take what is bound to it: {error}",
            expected=f"arguments that fit {_signature(body)}",
            remedy="bind what the parameters ask for",
        ) from None
    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    for position, (name, parameter) in enumerate(bound.signature.parameters.items()):
        if position < skip or name not in bound.arguments:
            continue
        value = bound.arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            _take_rest(nodes, name, value, is_leading=position - skip == len(nodes), takes_items=takes_items)
        elif parameter.kind is parameter.VAR_KEYWORD:
            for key, item in value.items():
                _take(nodes, constants, key, item, is_leading=False, takes_items=takes_items)
        else:
            is_leading = position - skip == len(nodes) and parameter.kind is not parameter.KEYWORD_ONLY
            _take(nodes, constants, name, value, is_leading=is_leading, takes_items=takes_items)
            if name in constants and parameter.kind is parameter.POSITIONAL_ONLY:
                raise ArgumentError(
                    f"the constant '{name}' is a positional-only parameter",
                    expected="constants that can be passed by name",
                    remedy="remove the '/' from its signature",
                )
    return nodes, constants


def _take(
    nodes: list[Any],
    constants: dict[str, Any],
    name: str,
    value: Any,
    *,
    is_leading: bool,
    takes_items: bool,
) -> None:
    if not _holds_node(value):
        constants[name] = value
        return
    if not takes_items:
        raise ArgumentError(
            f"the constructor's '{name}' is bound to another task",
            expected="constants in the constructor, since it runs once, before any item",
            remedy="pass items to the method",
        )
    if not _is_node(value):
        raise ArgumentError(
            f"'{name}' is bound to a collection with tasks inside",
            expected="each task as an argument of its own",
            remedy="bind f(a, b) in place of f([a, b]); *args takes any number",
        )
    if not is_leading:
        raise ArgumentError(
            f"'{name}' is bound to a task's items, but it is not among the first parameters",
            expected="the items first, then constants",
            remedy="put the parameters for items first in its signature",
        )
    nodes.append(value)


def _take_rest(
    nodes: list[Any], name: str, values: Sequence[Any], *, is_leading: bool, takes_items: bool
) -> None:
    for value in values:
        if not _holds_node(value):
            raise ArgumentError(
                f"a constant is bound to '*{name}'",
                expected="constants that can be passed by name",
                remedy="give the constant a parameter with a name",
            )
        _take(nodes, {}, f"*{name}", value, is_leading=is_leading, takes_items=takes_items)


def _is_node(value: Any) -> bool:
    from ray.dag import DAGNode

    return isinstance(value, DAGNode)


def _holds_node(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_node(item) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_holds_node(item) for item in value)
    return _is_node(value)


def _signature(body: Callable[..., Any]) -> str:
    try:
        return f"{body.__name__}{inspect.signature(body)}"
    except (TypeError, ValueError):
        return "its signature"
