"""Small encoders, batches and comparisons that the suites share.

Shape letters: T tokens of a batch, R rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import Encoder, EncoderContext, EncoderOutput, Part
from bertmod.library import installed
from bertmod.model.sites import TaskSites
from bertmod.nn.context import Layout, RowContext
from bertmod.nn.initialisation import initialise
from bertmod.testing.subject import HOST, require

LENGTHS = (5, 9, 2, 7)
"""Real tokens of the rows that most checks use."""

TOLERANCE = 1e-5
"""How far two ways to the same fp32 result may lie apart, relative to the largest value."""

HIDDEN = frozenset[Part]({"hidden"})
LABELS = ("no", "yes", "maybe")


def host() -> Encoder:
    """A small BERT with values of its own in every parameter; a new object each time."""
    torch.manual_seed(0)
    spec: Any = installed().get("encoder", "bertmod/bert").spec
    encoder = spec.build(spec.config(**HOST), EncoderContext(initialise))
    stir(encoder, seed=1)
    return cast(Encoder, encoder.eval())


def stir(module: nn.Module, *, seed: int, scale: float = 0.1) -> nn.Module:
    """Add noise to every parameter, so that what starts at zero or as the identity acts."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws), alpha=scale)
    return module


@cache
def rows_of(lengths: Sequence[int] = LENGTHS, vocab_size: int = 40) -> tuple[np.ndarray, ...]:
    """Rows of token ids, (tokens,) each, int64; the same every time."""
    draws = np.random.default_rng(0)
    return tuple(draws.integers(0, vocab_size, length) for length in lengths)


def batch_of(
    rows: Sequence[np.ndarray],
    *,
    layout: Layout = "packed",
    tasks: Sequence[int] | None = None,
    targets: dict[str, Tensor] | None = None,
    training: bool = False,
) -> Batch:
    """A batch of rows, one feature each; the second half of a row is its second segment."""
    lengths = np.array([len(row) for row in rows])
    context = RowContext.of(lengths, layout=layout, tasks=tasks, training=training)
    types = [(np.arange(len(row)) >= (len(row) + 1) // 2).astype(np.int64) for row in rows]
    width = context.max_length

    def flat(columns: Sequence[np.ndarray]) -> Tensor:
        if layout == "padded":
            columns = [np.pad(column, (0, width - len(column))) for column in columns]
        return torch.from_numpy(np.concatenate(columns))

    return Batch(flat(rows), flat(types), torch.arange(len(rows)), targets or {}, context)


def real_tokens(values_T: Tensor, batch: Batch) -> Tensor:
    """The entries of the real tokens, row by row, whatever the layout."""
    rows, mask = batch.context.pad(values_T)
    return rows[mask]


def encoded(
    encoder: Encoder,
    batch: Batch,
    adapters: Sequence[Any] = (),
    *,
    want: frozenset[Part] = HIDDEN,
) -> EncoderOutput:
    """What an encoder gives for a batch with one task's adapters, without gradients."""
    acting = cast(Sequence[Adapter], adapters)
    with torch.no_grad():
        return encoder(batch, TaskSites(acting, batch.context), want=want)


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of entries, relative to the largest expected one where that is over 1."""
    if found.shape != expected.shape:
        raise AssertionError(f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}")
    if not found.numel():
        return 0.0
    gap = (found.double() - expected.double()).abs().max().item()
    return gap / max(1.0, expected.abs().max().item())


def require_close(found: Tensor, expected: Tensor, what: str) -> None:
    """Say by how much two results differ that should be the same up to rounding."""
    gap = difference(found, expected)
    require(gap <= TOLERANCE, f"{what} (by {gap:.2g}, more than {TOLERANCE:g})")


def require_finite(value: Tensor, what: str) -> None:
    """Say that a result has entries that are not numbers."""
    require(value.is_floating_point(), f"{what} is {value.dtype}, not a floating dtype")
    require(torch.isfinite(value).all(), f"{what} is not finite")


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    """Gradient of every trainable parameter by name."""
    return {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def storages(module: nn.Module) -> set[int]:
    """Addresses of the memory that a module's parameters and buffers lie in."""
    tensors = module.state_dict(keep_vars=True).values()
    return {each.untyped_storage().data_ptr() for each in tensors if each.numel()}
