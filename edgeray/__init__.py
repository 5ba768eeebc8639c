"""EdgeRay: laptops, Jetsons and Raspberry Pis as one machine for AI dataflows."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeray.api import JobHandle, submit

__version__ = "0.1.0"
__all__ = ["JobHandle", "__version__", "submit"]


def __getattr__(name: str) -> Any:
    """submit and JobHandle, imported when they are first asked for: `import edgeray` stays quick."""
    if name in ("JobHandle", "submit"):
        from edgeray import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgeray' has no attribute {name!r}")
