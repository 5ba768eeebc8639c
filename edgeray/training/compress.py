"""Activations and gradients as 8-bit integers, a quarter of the bytes: off unless the job asks for it.

One scale for each tensor, affine, with an integer zero point, so that zero stays zero (a ReLU's zeros, say).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Compression = Literal["int8"]
_LOWEST, _HIGHEST = -128, 127


@dataclass(frozen=True, slots=True)
class Quantized:
    """A tensor as int8: (value - zero_point) * scale, in dtype."""

    values: Tensor
    scale: float
    zero_point: int
    dtype: torch.dtype


def compressed(tensor: Tensor, how: Compression | None) -> Tensor | Quantized:
    """What is sent for a tensor. Integers and what holds infinities or NaN go as they are."""
    if how is None or not tensor.is_floating_point() or tensor.numel() == 0:
        return tensor
    low = min(float(tensor.min()), 0.0)  # NaN is the minimum of what holds one
    high = max(float(tensor.max()), 0.0)
    scale = (high - low) / (_HIGHEST - _LOWEST)
    if not torch.isfinite(tensor).all() or scale < torch.finfo(torch.float32).tiny:
        return tensor
    zero_point = round(_LOWEST - low / scale)
    values = (tensor / scale).round_().add_(zero_point).clamp_(_LOWEST, _HIGHEST).to(torch.int8)
    return Quantized(values, scale, zero_point, tensor.dtype)


def restored(sent: Tensor | Quantized) -> Tensor:
    """The tensor again: equal if it was sent as it is, else within half a scale (a whole one at the ends)."""
    if isinstance(sent, Tensor):
        return sent
    return (sent.values.to(sent.dtype) - sent.zero_point) * sent.scale
