"""Where a model's first layers come from: sized for ImageNet's 224 pixels, or for CIFAR's 32."""

from __future__ import annotations

from typing import Literal

from edgeray.errors import BadInputError

Stem = Literal["imagenet", "cifar"]


def check_stem(stem: str) -> None:
    """Raises BadInputError for a stem that is neither."""
    if stem not in ("imagenet", "cifar"):
        raise BadInputError(
            f"stem {stem!r} is not known\n  expected: imagenet (224 pixels) or cifar (32 pixels)"
        )
