"""Finds the code that a task names, without running it."""

import ast
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgeray.errors import SpecError
from edgeray.spec.words import listed, remedy_for_name
from edgeray.spec.yaml_file import Document

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def unwrap_remote(value: Any) -> Any:
    """The function or class that @ray.remote wrapped; value itself if it did not. Does not import ray."""
    if type(value).__module__ == "ray.remote_function":
        return value._function
    modified = getattr(getattr(value, "__ray_metadata__", None), "modified_class", value)
    return getattr(modified, "__ray_actor_class__", modified)


def check_code(
    document: Document, path: tuple[str, ...], run: str, folder: Path, *, factory: bool = False
) -> None:
    """Raises SpecError if run names no module or no callable. Modules in folder go before installed ones.

    factory: it is called once, to make something; then what a class makes need not be callable itself.
    The module is parsed, not run, so what only running makes (star imports, __getattr__) is taken on trust.
    """
    module, _, qualname = run.partition(":")
    source = _in_folder(module, folder)
    if source is None:
        source = _installed(document, path, module, folder)
    if source is not None:
        _check_name(document, path, source, module, qualname, factory)


def _in_folder(module: str, folder: Path) -> Path | None:
    base = folder.joinpath(*module.split("."))
    for candidate in (base / "__init__.py", base.with_name(f"{base.name}.py")):
        if candidate.is_file():
            return candidate
    return None


def _installed(document: Document, path: tuple[str, ...], module: str, folder: Path) -> Path | None:
    """The source file of an installed module, or None if it has none (built in or compiled)."""
    spec = _find_without_running(module, folder)
    if spec is None:
        here = sorted(entry.stem for entry in folder.glob("*.py"))
        missing = f"{module.replace('.', '/')}.py"
        raise document.error(
            path,
            f"there is no module '{module}': {missing} is not in {folder}, and it is not installed",
            expected=f"a module of the folder ({listed(here) or 'it has none'}), or an installed one",
            remedy=remedy_for_name(module, here, "write the file, or install the package"),
        )
    return Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None


def _find_without_running(module: str, folder: Path) -> ModuleSpec | None:
    if (imported := sys.modules.get(module)) is not None and imported.__spec__ is not None:
        return imported.__spec__  # also os.path and its like, which no finder finds
    top, *rest = module.split(".")
    try:
        # A package in the folder shadows an installed one of that name.
        spec = PathFinder.find_spec(top, [str(folder)]) or find_spec(top)
    except (ImportError, ValueError):
        spec = None
    name = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec


def _check_name(
    document: Document, path: tuple[str, ...], source: Path, module: str, qualname: str, factory: bool
) -> None:
    body: Sequence[ast.stmt] = _parse(source).body
    owner = f"module '{module}' ({source})"
    names = qualname.split(".")
    for depth, name in enumerate(names):
        found = _definitions(body)
        if name not in found:
            if "*" in found or "__getattr__" in found:
                return
            public = sorted(other for other in found if not other.startswith("_"))
            raise document.error(
                path,
                f"{owner} has no '{name}'",
                expected=f"a function or class in it: {listed(public) or 'it has none'}",
                remedy=remedy_for_name(name, public, "write it, or name another"),
            )
        node = found[name]
        if isinstance(node, ast.ClassDef):
            body, owner = node.body, f"class '{name}' in {source}"
            if depth == len(names) - 1 and not factory:
                _check_class(document, path, node)
        else:
            _check_function(document, path, node, qualname, is_method=depth > 0)
            return


def _check_class(document: Document, path: tuple[str, ...], node: ast.ClassDef) -> None:
    methods = _definitions(node.body)
    if not node.bases and not node.decorator_list and not {"__call__", "__iter__"} & methods.keys():
        raise document.error(
            path,
            f"class '{node.name}' has no `__call__`",
            expected="`__call__(*inputs)`, called per item (a source may have `__iter__` instead)",
            remedy="add the method, or name a function",
        )


def _check_function(
    document: Document, path: tuple[str, ...], node: ast.stmt, qualname: str, *, is_method: bool
) -> None:
    if is_method and isinstance(node, _Function):
        raise document.error(
            path,
            f"'{qualname}' is a method",
            expected="a function or a class with `__call__`",
            remedy=f"name the class: {qualname.rpartition('.')[0]}",
        )
    if isinstance(node, ast.AsyncFunctionDef):
        raise document.error(
            path,
            f"'{qualname}' is an async function",
            expected="a plain function or class",
            remedy="write `def` instead of `async def`: tasks run in threads of their own",
        )
    value = getattr(node, "value", None)
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
        value, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.Set
    ):
        raise document.error(
            path,
            f"'{qualname}' is a value, not code",
            expected="a function or class",
            remedy="name a function or class",
        )


def _parse(source: Path) -> ast.Module:
    try:
        return ast.parse(source.read_bytes(), filename=str(source))
    except SyntaxError as error:
        raise SpecError(
            f"{source}:{error.lineno or 1}",
            f"not valid Python {sys.version_info.major}.{sys.version_info.minor}: {error.msg}",
            expected="a module that Python can read",
            remedy="fix it there",
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SpecError(
            f"{source}:1", f"cannot be parsed: {error}", expected="a Python module", remedy="fix it there"
        ) from None
    except OSError as error:
        raise SpecError(
            str(source),
            f"cannot be read: {error.strerror}",
            expected="a Python module",
            remedy="make it readable",
        ) from None


def _definitions(body: Sequence[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that statements define, also inside if, try and with; "*" if there is a star import."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, _Function | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(
                (leaf.id, node)
                for target in targets
                for leaf in ast.walk(target)
                if isinstance(leaf, ast.Name)
            )
        else:
            for part in ("body", "orelse", "finalbody", "handlers"):
                for inner in getattr(node, part, ()):
                    nested = inner.body if isinstance(inner, ast.ExceptHandler) else [inner]
                    found.update(_definitions(nested))
    return found
