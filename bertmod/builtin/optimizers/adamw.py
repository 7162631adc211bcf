"""AdamW with bias correction, torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bertmod import ParameterGroup
from bertmod.builtin.optimizers.layout import can_fuse, settle_gradients, torch_groups


def adamw(
    groups: Sequence[ParameterGroup],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """The AdamW of torch, updating in one pass where it can.

    The one-pass update gives equal bits for any number of threads and however the parameters
    are split over calls. Bias correction counts the steps in which a parameter had a gradient.

    Args:
        groups: Named groups; each becomes one parameter group, in the same order.
        betas: Decay rates of the two moments, unitless, in [0, 1).
        eps: Added to the root of the second moment, positive, in units of the gradient.

    Returns:
        The optimizer; its ``step`` raises ``TrainingError`` if a gradient is sparse.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    fused = all(can_fuse(parameter) for group in groups for _, parameter in group.parameters)
    optimizer = torch.optim.AdamW(
        torch_groups(groups),
        betas=betas,
        eps=eps,
        fused=fused,
        foreach=not fused,
    )
    optimizer.register_step_pre_hook(_settle)
    return optimizer


def _settle(
    optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del args, kwargs
    for group in optimizer.param_groups:
        settle_gradients(group, optimizer="adamw")
