"""Dropout on a CPU, where drawing a mask with ``F.dropout`` costs more than a small product.

torch draws one number for each entry, in one thread, and compares it as a real number. Here each
entry has a byte of a 64-bit draw of the same generator, or two bytes where one would be too coarse.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

COARSE = 0.02
"""How far the realised probability may be from the stated one, relative to the rarer of dropping
and keeping, before entries have two bytes."""


def realised(p: float) -> tuple[int, int]:
    """What a probability of dropping becomes.

    Args:
        p: Probability, in (0, 1).

    Returns:
        How many of how many equally likely values drop an entry: 26 of 256 for 0.1.
    """
    levels = 2**8
    dropped = round(p * levels)
    if abs(dropped - p * levels) > COARSE * levels * min(p, 1 - p):
        levels = 2**16
        dropped = round(p * levels)
    return min(max(dropped, 1), levels - 1), levels


def keep_mask(like: Tensor, p: float) -> tuple[Tensor, float]:
    """A random mask, from torch's default generator.

    Args:
        like: Tensor on the CPU whose shape and dtype the mask has.
        p: Probability of a 0, in (0, 1).

    Returns:
        The mask, 1 where an entry is kept and 0 elsewhere; and the inverse of the realised
        probability of keeping, which leaves the expected value as it was.
    """
    dropped, levels = realised(p)
    entry = torch.int8 if levels == 2**8 else torch.int16
    num_words = -(-like.numel() * entry.itemsize // 8)
    words = torch.empty(num_words, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    drawn = words.view(entry)[: prod(like.shape)].view(like.shape)
    torch.ge(drawn, dropped - levels // 2, out=drawn)  # a bool result would take ten times as long
    return drawn.to(like.dtype), levels / (levels - dropped)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        mask, ctx.scale = keep_mask(x, p)
        ctx.save_for_backward(mask)
        return torch.mul(x, mask).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return torch.mul(grad, mask).mul_(ctx.scale), None


def fast_dropout(x: Tensor, p: float) -> Tensor:
    """``x`` with entries dropped and the rest scaled up.

    Args:
        x: Any floating tensor on the CPU.
        p: Probability of dropping an entry, in (0, 1), realised as ``realised`` says.
    """
    dropped: Tensor = _Dropout.apply(x, p)  # type: ignore[no-untyped-call]
    return dropped
