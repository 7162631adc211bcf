"""What both built-in optimizers ask of parameters and gradients before they step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bertmod import ParameterGroup, TrainingError

FUSED_DEVICES = frozenset({"cpu", "cuda"})
"""Devices on which torch updates parameters and moments in one pass."""


def torch_groups(
    groups: Sequence[ParameterGroup], *, touched_rows: bool = False
) -> list[dict[str, Any]]:
    """The groups as torch's optimizers take them.

    Args:
        groups: Named groups; their order is kept.
        touched_rows: Whether tables are to be updated by row.

    Returns:
        One parameter group each, with ``name``, ``lr``, ``weight_decay`` and ``tables``, names of
        what is updated by row; torch adds ``param_names``.
    """
    return [
        {
            "params": list(group.parameters),
            "name": group.name,
            "lr": group.learning_rate,
            "weight_decay": group.weight_decay,
            "tables": group.tables if touched_rows else frozenset(),
        }
        for group in groups
    ]


def can_fuse(parameter: Tensor) -> bool:
    """Whether torch's one-pass update can take a parameter: it reads memory from end to end."""
    return parameter.device.type in FUSED_DEVICES and parameter.is_contiguous()


def settle_gradients(group: dict[str, Any], *, optimizer: str) -> None:
    """Lay the gradients of a group out in memory as their parameters are.

    torch's one-pass update pairs entries by their place in memory and does not check: with a
    transposed gradient it moves the wrong entries without a word.

    Args:
        group: A parameter group of a torch optimizer.
        optimizer: The optimizer's registered name, for the message.

    Raises:
        TrainingError: If a gradient is sparse.
    """
    for name, parameter in _named(group):
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.layout != torch.strided:
            raise TrainingError(
                f'optimizer "{optimizer}" cannot use the sparse gradient of {name}: '
                "build its embedding with sparse=False"
            )
        if gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


def _named(group: dict[str, Any]) -> Iterable[tuple[str, Tensor]]:
    return zip(group["param_names"], group["params"], strict=True)
