"""Clipping of gradients, on the device and without waiting for it.

Neither function asks the host for a number: the norm comes back as a tensor, which the caller
may test for finiteness and record when it waits for the device anyway. Of gradients in parts, whose
parts other processes have, all processes get the norms of the whole, bit for bit the same, by one
message.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from bertmod.engine.sharding import is_sharded, own_parts

STABILISER = 1e-6
"""Added to a norm before dividing by it, as torch's and Bert-n-Pals' clipping do."""

ROW = 4096
"""Entries that a norm on the CPU sums at a time; its error grows with it."""


@torch.no_grad()
def clip_global(gradients: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients by one factor, so that their common norm is at most ``max_norm``.

    Args:
        gradients: Gradients of the active parameters, any shapes, floating; scaled in place.
        max_norm: Largest Euclidean norm over all entries of all gradients, positive.

    Returns:
        The norm before clipping, (), fp32, on the first gradient's device; 0 without gradients.

    Raises:
        ValueError: If ``max_norm`` is not positive.

    Source: google-research/bert optimization.py (``tf.clip_by_global_norm``).
    """
    _require_positive(max_norm)
    parts = own_parts(gradients)
    norm = _total(_whole_norms(gradients, parts))
    coefficient = (max_norm / (norm + STABILISER)).clamp(max=1.0)
    for indices in _by_device_and_dtype(parts):
        bucket = [parts[index] for index in indices]
        torch._foreach_mul_(bucket, coefficient.to(bucket[0].device))
    return norm


@torch.no_grad()
def clip_per_tensor(gradients: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale each gradient by a factor of its own, so that its norm is at most ``max_norm``.

    Args:
        gradients: Gradients of the active parameters, any shapes, floating; scaled in place.
        max_norm: Largest Euclidean norm of one gradient tensor, positive.

    Returns:
        The norm over all gradients before clipping, (), fp32, on the first gradient's device; 0
        without gradients.

    Raises:
        ValueError: If ``max_norm`` is not positive.

    Source: AsaCooperStickland/Bert-n-Pals optimization.py (``BERTAdam.step``).
    """
    _require_positive(max_norm)
    parts = own_parts(gradients)
    norms = _whole_norms(gradients, parts)
    for indices in _by_device_and_dtype(parts):
        coefficients = torch._foreach_add([norms[index] for index in indices], STABILISER)
        torch._foreach_reciprocal_(coefficients)
        torch._foreach_mul_(coefficients, max_norm)
        torch._foreach_clamp_max_(coefficients, 1.0)
        torch._foreach_mul_([parts[index] for index in indices], coefficients)
    return _total(norms)


def _require_positive(max_norm: float) -> None:
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}; it must be positive")


def _whole_norms(gradients: Sequence[Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """Each gradient's norm in fp32, of which this process may have a part alone."""
    norms = _norms(parts)
    if not any(map(is_sharded, gradients)):
        return norms
    squares = torch.stack(norms).double().square()
    distributed.all_reduce(squares)
    return list(squares.sqrt().float())


def _norms(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Each gradient's norm in fp32, on its own device; half precision would overflow at 65504."""
    norms = [torch.empty(0)] * len(gradients)
    for indices in _by_device_and_dtype(gradients):
        bucket = [gradients[index] for index in indices]
        if bucket[0].device.type == "cpu":
            found = [_cpu_norm(gradient) for gradient in bucket]
        else:
            found = list(torch._foreach_norm(bucket, 2, dtype=torch.float32))
        for index, norm in zip(indices, found, strict=True):
            norms[index] = norm
    return norms


def _cpu_norm(gradient: Tensor) -> Tensor:
    """A norm in two levels.

    torch's own runs along the whole tensor with a few fp32 sums: for the 12 million entries of a
    word-embedding matrix it is off by 2e-4, and no faster.
    """
    flat = gradient.reshape(-1)
    if flat.numel() <= ROW:
        return _norm(flat)
    end = flat.numel() // ROW * ROW
    rows = _norm(flat[:end].view(-1, ROW), dim=1)
    if end < flat.numel():
        rows = torch.cat((rows, _norm(flat[end:]).view(1)))
    return _norm(rows)


def _norm(x: Tensor, dim: int | None = None) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=dim, dtype=torch.float32)
    return norm


def _total(norms: Sequence[Tensor]) -> Tensor:
    """Norm of norms, in the order of the gradients whatever device each one is on."""
    if not norms:
        return torch.zeros(())
    device = norms[0].device
    total: Tensor = torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]))
    return total


def _by_device_and_dtype(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Indices of tensors that one foreach call can take together."""
    buckets: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for index, tensor in enumerate(tensors):
        buckets.setdefault((tensor.device, tensor.dtype), []).append(index)
    return list(buckets.values())
