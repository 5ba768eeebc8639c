"""Cuts of a model at the boundaries of its modules, found by watching it run: for what torch.export cannot trace.

A model's modules run one behind the other as long as each takes the very tensor that the one before gave. The head
then is these modules, and the tail the model with identities in their place, so the model's own forward, whatever it
does further on, stays as it is. What else forward does with the input is not seen: each cut needs the self-test. And
forward may go another way on another batch; the tail notices, and raises CannotCutError.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgeray.errors import CannotCutError
from edgeray.training.cut import Cut, Passed, Run, Split, adopt, size_bytes

_Prefix = tuple[str, ...]


@dataclass(slots=True, eq=False)
class _Call:
    """A call of a module. given, made: its only input and output, None if it has others."""

    path: str
    given: Tensor | None = None
    made: Tensor | None = None
    inner: list[_Call] = field(default_factory=list)


class ModuleHead(nn.Module):
    """Modules that run one behind the other, named as in the model."""

    def __init__(self, model: nn.Module, prefix: _Prefix) -> None:
        super().__init__()
        for path in prefix:
            adopt(self, path, model.get_submodule(path))
        self._prefix = prefix

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        for path in self._prefix:
            x = self.get_submodule(path)(x)
        return (x,)


class _Gate:
    """Sees to it that a tail's forward takes what the head made through each of the head's modules, once."""

    def __init__(self, modules: int) -> None:
        self._modules = modules
        self._given: Tensor | None = None
        self._passed = 0

    def enter(self, _module: nn.Module, given: tuple[Tensor]) -> None:
        (self._given,) = given
        self._passed = 0

    def through(self, x: Tensor) -> Tensor:
        self._passed += 1
        if x is not self._given:
            raise self._wrong()
        return x

    def leave(self, _module: nn.Module, _given: tuple[Tensor], _made: Any) -> None:
        self._given = None
        if self._passed != self._modules:
            raise self._wrong()

    def _wrong(self) -> CannotCutError:
        return CannotCutError(
            "forward goes another way through the modules before the cut than it did on the example\n"
            "  remedy:   cut before what depends on data, or train the model whole on the devices"
        )


class _Passed(nn.Module):
    """In the tail, in the place of a module that is in the head."""

    def __init__(self, gate: _Gate) -> None:
        super().__init__()
        self._gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return self._gate.through(x)


class ModuleTrace:
    """Which modules run first, one behind the other. Position p: prefix p; the last is the whole model."""

    def __init__(self, model: nn.Module, example: Tensor) -> None:
        """Raises CannotCutError where the model fails on the example, or does not return one tensor."""
        root = _watch(model, example)
        if root.made is None:
            raise CannotCutError(f"{type(model).__name__} does not return one tensor\n  expected: logits")
        self._prefixes: list[tuple[_Prefix, Tensor]] = []
        layers = 0
        for prefix, made in _prefixes(root):
            count = _layers(model, prefix)
            if count == layers and self._prefixes:
                self._prefixes.pop()  # nothing with a weight matrix came: the same layer goes on
            if count:
                self._prefixes.append((prefix, made))
            layers = count
        if self._prefixes and layers == _layers(model, ("",)):
            self._prefixes.pop()  # the tail would have no layer
        self._broken = _broken(root)

    def cuts(self, model: nn.Module) -> tuple[list[Cut], list[str]]:
        """The cuts between modules, the whole model as the last one; and why there are no more."""
        found = []
        for index, (prefix, made) in enumerate([*self._prefixes, (("",), None)]):
            modules = [model.get_submodule(path) for path in prefix]
            parameters = list({id(p): p for m in modules for p in m.parameters()}.values())
            buffers = [b for m in modules for b in _persistent_buffers(m)]
            found.append(
                Cut(
                    index=index,
                    name=prefix[-1] or type(model).__name__,
                    layers=_layers(model, prefix),
                    output_shapes=() if made is None else (tuple(made.shape),),
                    output_bytes=0 if made is None else size_bytes([made]),
                    head_bytes=size_bytes([*parameters, *buffers]),
                    head_parameter_bytes=size_bytes(parameters),
                    trace=self,
                    position=index,
                )
            )
        return found, [self._broken]

    def split(self, model: nn.Module, position: int) -> Split:
        """The parts before and behind a position; they share the model's modules."""
        if position == len(self._prefixes):
            whole = _without(model, (), _Gate(0))
            whole.register_forward_hook(_as_tuple)
            return Split(head=whole, tail=None)
        prefix, _ = self._prefixes[position]
        gate = _Gate(len(prefix))
        tail = _without(model, prefix, gate)
        tail.register_forward_pre_hook(gate.enter)
        tail.register_forward_hook(gate.leave)
        return Split(head=ModuleHead(model, prefix), tail=tail)

    def stages(self, model: nn.Module, positions: Sequence[int]) -> tuple[nn.Module, ...]:
        """The tail alone: it is the model's own forward, and has no parts."""
        tail = self.split(model, positions[0]).tail
        return () if tail is None else (tail,)

    def state(self, model: nn.Module, position: int) -> dict[str, Tensor]:
        if position == len(self._prefixes):
            return dict(model.state_dict(keep_vars=True))
        return dict(ModuleHead(model, self._prefixes[position][0]).state_dict(keep_vars=True))

    @contextmanager
    def watched(
        self, model: nn.Module, positions: Sequence[int], passed: Passed, stop: int | None = None
    ) -> Iterator[Run]:
        def hook(number: int, _module: nn.Module, _given: Any, made: Any) -> None:
            passed(number, [made] if isinstance(made, Tensor) and number != whole else [])

        whole = next((n for n, p in enumerate(positions) if p == len(self._prefixes)), None)
        with ExitStack() as hooks:
            for number, position in enumerate(positions):
                path = "" if number == whole else self._prefixes[position][0][-1]
                handle = model.get_submodule(path).register_forward_hook(partial(hook, number))
                hooks.callback(handle.remove)
            if stop is None or stop == len(self._prefixes):
                yield lambda batch: (model(batch),)
            else:
                yield ModuleHead(model, self._prefixes[stop][0])


def _watch(model: nn.Module, example: Tensor) -> _Call:
    """Run a copy of the model and note its modules' calls; what is called twice gives and takes nothing."""
    copied = copy.deepcopy(model)
    calls: Counter[str] = Counter()
    running: list[_Call] = [_Call("model")]

    def enter(path: str, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[path] += 1
        alone = calls[path] == 1 and len(args) == 1 and not kwargs and isinstance(args[0], Tensor)
        call = _Call(path, given=args[0] if alone else None)
        running[-1].inner.append(call)
        running.append(call)

    def leave(_module: nn.Module, _args: Any, made: Any) -> None:
        running.pop().made = made if isinstance(made, Tensor) else None

    for path, module in copied.named_modules():
        module.register_forward_pre_hook(partial(enter, path), with_kwargs=True)
        module.register_forward_hook(leave)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copied(example)
    except Exception as error:
        raise CannotCutError(
            f"{type(model).__name__} fails on the example of shape {tuple(example.shape)}: {error}\n"
            "  expected: a module that takes one batch and returns logits"
        ) from error
    (root,) = running[0].inner
    for call in _all(root):
        if calls[call.path] > 1:
            call.given = None
    return root


def _all(call: _Call) -> Iterator[_Call]:
    yield call
    for inner in call.inner:
        yield from _all(inner)


def _prefixes(call: _Call) -> Iterator[tuple[_Prefix, Tensor]]:
    """The modules with which a module begins, one behind the other: ever longer lists, with what the last gave."""
    done: _Prefix = ()
    current = call.given
    for inner in call.inner:
        if inner.given is None or inner.given is not current or inner.made is None:
            return
        for prefix, made in _prefixes(inner):
            yield done + prefix, made
        done, current = (*done, inner.path), inner.made
        yield done, inner.made


def _broken(root: _Call) -> str:
    """Where the modules stop to run one behind the other."""
    current, last = root.given, "the input"
    for inner in root.inner:
        if inner.given is None or inner.given is not current:
            return f"{inner.path} does not take just what {last} gives"
        current, last = inner.made, f"{inner.path}"
    return f"behind {last} no module comes"


def _without(model: nn.Module, prefix: _Prefix, gate: _Gate) -> nn.Module:
    """A copy of the model that shares all modules but these; there it passes on what comes."""
    clone = copy.copy(model)
    clone._modules = dict(model._modules)
    clone._forward_hooks = copy.copy(model._forward_hooks)
    clone._forward_pre_hooks = copy.copy(model._forward_pre_hooks)
    for name, module in model._modules.items():
        inner = tuple(p.removeprefix(f"{name}.") for p in prefix if p.startswith(f"{name}."))
        if name in prefix:
            clone._modules[name] = _Passed(gate)
        elif module is not None and inner:
            clone._modules[name] = _without(module, inner, gate)
    return clone


def _as_tuple(_module: nn.Module, _given: Any, logits: Tensor) -> tuple[Tensor, ...]:
    return (logits,)


def _layers(model: nn.Module, prefix: _Prefix) -> int:
    """How many modules in there have a weight matrix of their own."""
    inside = [module for path in prefix for module in model.get_submodule(path).modules()]
    return sum(any(p.dim() > 1 for p in module.parameters(recurse=False)) for module in inside)


def _persistent_buffers(module: nn.Module) -> list[Tensor]:
    kept = module.state_dict(keep_vars=True)
    return [value for name, value in module.named_buffers() if name in kept]
