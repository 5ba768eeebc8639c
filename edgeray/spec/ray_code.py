"""Where the code of a Ray DAG comes from: it travels as module:qualname, which devices import."""

import inspect
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeray.errors import SpecError
from edgeray.spec.callables import unwrap_remote

_OWN_PACKAGES = ("edgeray", "policies")


def source_file(body: Callable[..., Any]) -> Path | None:
    """The file that body was written in, or None (built in, or typed at a prompt)."""
    try:
        file = inspect.getsourcefile(body)
    except TypeError:
        file = None
    return Path(file).absolute() if file else None


def place_of(body: Callable[..., Any]) -> str:
    """ "file:line" of a function or class."""
    file = source_file(body)
    try:
        line = inspect.getsourcelines(body)[1]
    except (OSError, TypeError):
        line = 1
    return f"{file}:{line}" if file is not None else f"{body.__module__}.{body.__qualname__}"


def check_importable(body: Callable[..., Any]) -> None:
    """Raises SpecError unless importing body's module anew gives body under its name."""
    module, qualname = body.__module__, body.__qualname__
    if module == "__main__":
        raise SpecError(
            place_of(body),
            f"'{qualname}' is in the script that runs (__main__)",
            expected="code in a module, which the devices can import",
            remedy="move the tasks to a module beside the script (tasks.py, say) and import them",
        )
    if "<" in qualname:
        raise SpecError(
            place_of(body),
            f"'{qualname}' is {'a lambda' if 'lambda' in qualname else 'defined inside a function'}",
            expected="a function or class at the top of a module",
            remedy="move it there",
        )
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = unwrap_remote(getattr(found, name, None))
    if found is not body:
        raise SpecError(
            place_of(body),
            f"what is bound is not what {module}:{qualname} names",
            expected="a function or class that its module holds under its own name",
            remedy="keep the name that it was defined by",
        )


def common_folder(bodies: Sequence[Callable[..., Any]]) -> Path:
    """The folder that modules are imported from, installed ones aside; the working folder if none is left.

    Raises SpecError when they come from several folders, since one folder travels to the devices.
    """
    folders: dict[Path, Callable[..., Any]] = {}
    for body in bodies:
        file = source_file(body)
        if file is not None and not _is_installed(body.__module__, file):
            folders.setdefault(_import_root(body.__module__, file), body)
    if len(folders) > 1:
        first, second = list(folders)[:2]
        raise SpecError(
            place_of(folders[second]),
            f"the tasks' code comes from several folders: {first} and {second}",
            expected="one folder, which travels to the devices; installed packages aside",
            remedy="move the modules to one folder, or install one as a package on every device",
        )
    return next(iter(folders), Path.cwd())


def _import_root(module: str, file: Path) -> Path:
    levels = module.count(".") + (1 if file.name == "__init__.py" else 0)
    return file.parents[levels]


def _is_installed(module: str, file: Path) -> bool:
    roots = [*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()]
    folders = ("site-packages", "dist-packages")
    return (
        module.partition(".")[0] in _OWN_PACKAGES
        or any(part in folders for part in file.parts)
        or any(file.is_relative_to(root) for root in roots if "lib" in Path(root).parts)
    )
