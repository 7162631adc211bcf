"""Attention on a GPU, of rows of any lengths that lie one behind another.

torch's flash attention takes the flat tokens as they are: nothing is padded, and the weights are
never in memory. The operation called here is the one that ``torch.nn.attention.varlen`` and nested
tensors call. The former has no dropout; the latter cost the host more time for each layer than a
GPU needs for it.

Shape letters: T flat tokens, N heads, D width of a head, S segments.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertmod.nn.attention import product_dtype
from bertmod.nn.transfer import to_device

MULTIPLE, WIDEST = 8, 192
"""What the kernel asks of the width of a head; narrower ones are filled up with zeros."""

DTYPES = frozenset({torch.bfloat16, torch.float16})


@cache
def has_varlen(device: torch.device) -> bool:
    """Whether torch has such a kernel for a device: an NVIDIA GPU of compute capability 8 or more.

    Args:
        device: Any device.
    """
    if device.type != "cuda" or torch.version.cuda is None:
        return False
    built = torch.backends.cuda.is_flash_attention_available()
    return bool(built) and torch.cuda.get_device_capability(device) >= (8, 0)


def segment_bounds(lengths: np.ndarray, stored: np.ndarray, device: torch.device | str) -> Tensor:
    """Where segments begin among the flat tokens: each row's real tokens, then its padding.

    Padding is a segment of its own, of no token where there is none, so that no real token attends
    to it and what it attends to is finite.

    Args:
        lengths: Real tokens of each row, (rows,), int64.
        stored: Flat tokens that each row takes, (rows,), int64.
        device: Where the tensor goes.

    Returns:
        (2 * rows + 1,), int32, ascending from 0 to the number of flat tokens.
    """
    first = np.cumsum(stored) - stored
    pairs = np.stack((first, first + lengths), axis=1).reshape(-1)
    return to_device(np.append(pairs, stored.sum()).astype(np.int32), device)


def takes_varlen(q_TND: Tensor) -> bool:
    """Whether the kernel takes what these queries are computed in, by their dtype and width."""
    return product_dtype(q_TND) in DTYPES and q_TND.shape[-1] <= WIDEST


def varlen_attention(
    q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, bounds_S: Tensor, *, longest: int, dropout: float
) -> Tensor:
    """Softmax attention within segments.

    Args:
        q_TND: Queries, (tokens, heads, head width), on a GPU; autocast applies.
        k_TND: Keys, same shape.
        v_TND: Values, same shape.
        bounds_S: Where segments begin, and the end of the last, (segments + 1,), int32.
        longest: At least the length of the longest segment, tokens.
        dropout: Probability of dropping an attention weight, in [0, 1).

    Returns:
        Attended values, (tokens, heads, head width), bf16 or fp16, scores scaled by
        1/sqrt(head width).
    """
    dtype, width = product_dtype(q_TND), q_TND.shape[-1]
    q, k, v = (_laid_out(x_TND.to(dtype)) for x_TND in (q_TND, k_TND, v_TND))
    attended_TND: Tensor = torch.ops.aten._flash_attention_forward(
        q, k, v, bounds_S, bounds_S, longest, longest, dropout, False, False, scale=width**-0.5
    )[0]
    return attended_TND[..., :width]


def _laid_out(x_TND: Tensor) -> Tensor:
    """Heads as wide as the kernel wants them, each without gaps in memory."""
    missing = -x_TND.shape[-1] % MULTIPLE
    if missing:
        return F.pad(x_TND, (0, missing))
    return x_TND if x_TND.stride(-1) == 1 else x_TND.contiguous()
