"""AdamW with bias correction, torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adamw import adamw as torch_adamw

from bertmod import ParameterGroup
from bertmod.builtin.optimizers.eager import EagerAdamW, plain_step
from bertmod.builtin.optimizers.layout import can_fuse, settle_gradients, torch_groups
from bertmod.builtin.optimizers.touched_rows import tables, update_touched_rows


def adamw(
    groups: Sequence[ParameterGroup],
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    touched_rows: bool = False,
) -> torch.optim.AdamW:
    """The AdamW of torch, updating in one pass where it can.

    The one-pass update gives equal bits for any number of threads and however the parameters
    are split over calls. Bias correction counts the steps in which a parameter had a gradient.

    Args:
        groups: Named groups; each becomes one parameter group, in the same order.
        betas: Decay rates of the two moments, unitless, in [0, 1).
        eps: Added to the root of the second moment, positive, in units of the gradient.
        touched_rows: Whether of the groups' tables only those rows are updated whose gradient is
            not zero throughout; the others keep their values and moments, and do not decay. Bias
            correction then still counts the steps of the whole table.

    Returns:
        The optimizer; its ``step`` raises ``TrainingError`` if a gradient is sparse.

    Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    fused = all(can_fuse(parameter) for group in groups for _, parameter in group.parameters)
    optimizer = (TouchedRowsAdamW if touched_rows else EagerAdamW)(
        torch_groups(groups, touched_rows=touched_rows),
        betas=betas,
        eps=eps,
        fused=fused,
        foreach=not fused,
    )
    if touched_rows:
        optimizer._step_supports_amp_scaling = False  # as torch's fused steps do
    optimizer.register_step_pre_hook(_settle)
    return optimizer


class TouchedRowsAdamW(EagerAdamW):
    """The AdamW of torch, for which a table is those of its rows that have a gradient.

    The state is that of torch's: ``step``, a scalar, ``exp_avg`` and ``exp_avg_sq``, of the
    parameter's shape and dtype.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Args:
            closure: Always None; the gradients are there already.

        Raises:
            ValueError: If a closure is given.
        """
        if closure is not None:
            raise ValueError("adamw with touched_rows takes no closure: call backward before step")
        gradients: dict[Parameter, Tensor | None] = {}
        for group in self.param_groups:
            for table in tables(group):
                self._update_table(table, group)
                gradients[table] = table.grad
        for table in gradients:
            table.grad = None  # torch's own step skips it
        plain_step(self)  # the hooks are around this one
        for table, gradient in gradients.items():
            table.grad = gradient

    def _update_table(self, table: Parameter, group: dict[str, Any]) -> None:
        state: dict[str, Tensor] = self.state[table]
        if not state:
            state["step"] = torch.zeros((), device=table.device if group["fused"] else "cpu")
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)

        def update(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> None:
            torch_adamw(
                [parameter],
                [gradient],
                [first],
                [second],
                [],
                [state["step"].clone()],  # which torch counts up, in every call
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                fused=group["fused"],
                foreach=group["foreach"],
                amsgrad=False,
                maximize=False,
            )

        update_touched_rows(table, state, update)
        state["step"] += 1


def _settle(
    optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del args, kwargs
    for group in optimizer.param_groups:
        settle_gradients(group, optimizer="adamw")
