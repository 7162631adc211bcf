"""Updates of those rows of an embedding table that a batch has looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

BLOCK = 512
"""Rows that are updated together: their copies stay in a core's cache, and need little memory."""

Update = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Changes a parameter, given its gradient, and both its moments, in place."""


def tables(group: dict[str, Any]) -> Iterator[Parameter]:
    """The tables of a group that have a gradient.

    Args:
        group: A parameter group of a torch optimizer, made by ``torch_groups``.
    """
    for name, parameter in zip(group["param_names"], group["params"], strict=True):
        if name in group["tables"] and parameter.grad is not None:
            yield parameter


@torch.no_grad()
def update_touched_rows(parameter: Parameter, state: dict[str, Any], update: Update) -> None:
    """Update the rows whose gradient is not zero throughout; leave the others and their moments.

    The gradient is read once. Of a table that is held in parts each process updates its own rows.
    Which rows these are decides how many operations follow, so that a GPU is waited for.

    Args:
        parameter: A table with its gradient, (rows, columns), any float dtype.
        state: Its ``exp_avg`` and ``exp_avg_sq``, of the same shape.
        update: Called with the table and its moments, or with copies of some rows of them. It must
            treat each entry alike, wherever it lies.
    """
    whole = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
    table, gradient, first, second = map(_own_part, whole)
    # bytes are exact and quick: squares would underflow, and other norms take several times as long
    touched = gradient.contiguous().view(torch.uint8).amax(dim=1) != 0
    rows, rest = touched.nonzero().flatten(), (~touched).nonzero().flatten()
    kept = (table, first, second)
    if len(rest) < len(rows):  # masked words touch all
        before = [each.index_select(0, rest) for each in kept]
        update(table, gradient, first, second)
        _put(kept, rest, before)
        return
    for some in torch.split(rows, BLOCK):
        part = [each.index_select(0, some) for each in (table, gradient, first, second)]
        update(*part)
        _put(kept, some, (part[0], part[2], part[3]))


def _put(tensors: Sequence[Tensor], rows: Tensor, values: Sequence[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.index_copy_(0, rows, value)


def _own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: the memory itself."""
    return cast(Any, tensor).to_local() if hasattr(tensor, "to_local") else tensor
