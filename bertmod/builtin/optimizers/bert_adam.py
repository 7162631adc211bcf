"""Adam as BERT was trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bertmod import ParameterGroup
from bertmod.builtin.optimizers.eager import EagerOptimizer
from bertmod.builtin.optimizers.layout import can_fuse, settle_gradients, torch_groups
from bertmod.builtin.optimizers.touched_rows import tables, update_touched_rows


class BertAdam(EagerOptimizer):
    """Adam without bias correction, with weight decay added to the update.

    With gradient g, moments m and v, and parameter p::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²
        p = p - lr (m / (sqrt(v) + eps) + weight_decay p)

    Parameters without gradient are left as they are, moments included. The state of a parameter
    is ``exp_avg`` (m) and ``exp_avg_sq`` (v), of its shape and dtype; there is no step count.
    Gradients are not clipped here.

    Args:
        groups: Named groups; each becomes one parameter group, in the same order.
        betas: Decay rates of the two moments, unitless, in [0, 1).
        eps: Added to the root of the second moment, positive, in units of the gradient.
        touched_rows: Whether of the groups' tables only those rows are updated whose gradient is
            not zero throughout; the others keep their values and moments, and do not decay.

    Source: google-research/bert optimization.py (``AdamWeightDecayOptimizer``).
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        touched_rows: bool = False,
    ) -> None:
        own = torch_groups(groups, touched_rows=touched_rows)
        super().__init__(own, {"betas": betas, "eps": eps})
        fused = all(can_fuse(parameter) for group in groups for _, parameter in group.parameters)
        # torch's word for it: where ``found_inf`` is set and 1, a step changes nothing
        self._step_supports_amp_scaling = fused and not touched_rows

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient.

        Args:
            closure: Always None; the gradients are there already.

        Raises:
            ValueError: If a closure is given.
            TrainingError: If a gradient is sparse.
        """
        if closure is not None:
            raise ValueError("bert_adam takes no closure: call backward before step")
        for group in self.param_groups:
            settle_gradients(group, optimizer="bert_adam")
            rates = _Rates(
                group["lr"],
                group["betas"],
                group["eps"],
                group["weight_decay"],
                grad_scale=getattr(self, "grad_scale", None),
                found_inf=getattr(self, "found_inf", None),
            )
            for bucket in self._buckets(group):
                _update(bucket, rates)
            for table in tables(group):
                self._update_table(table, rates)

    def _update_table(self, table: Parameter, rates: _Rates) -> None:
        def update(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> None:
            _update(_Bucket([parameter], [gradient], [first], [second]), rates)

        update_touched_rows(table, self._moments(table), update)

    def _buckets(self, group: dict[str, Any]) -> list[_Bucket]:
        """The group's parameters with gradients but for tables, as lists that one call can take."""
        apart = {id(table) for table in tables(group)}
        buckets: dict[tuple[bool, torch.device, torch.dtype], _Bucket] = {}
        for parameter in group["params"]:
            if parameter.grad is None or id(parameter) in apart:
                continue
            state = self._moments(parameter)
            key = (can_fuse(parameter), parameter.device, parameter.dtype)
            bucket = buckets.setdefault(key, _Bucket())
            bucket.parameters.append(parameter)
            bucket.gradients.append(parameter.grad)
            bucket.first.append(state["exp_avg"])
            bucket.second.append(state["exp_avg_sq"])
        return list(buckets.values())

    def _moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter, zeros in the beginning."""
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


@dataclass(frozen=True)
class _Bucket:
    """Tensors of one device and dtype; equal indices belong together."""

    parameters: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class _Rates:
    """The numbers of one parameter group at one step, and what torch's ``GradScaler`` tells."""

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None


def _update(bucket: _Bucket, rates: _Rates) -> None:
    """The faster way that the bucket's tensors, which are alike, can take."""
    (_update_fused if can_fuse(bucket.parameters[0]) else _update_foreach)(bucket, rates)


def _update_fused(bucket: _Bucket, rates: _Rates) -> None:
    """One pass over memory.

    torch's one-pass AdamW divides by ``1 - beta ** step``. After infinitely many steps that is
    exactly 1, which leaves Adam without bias correction.
    """
    beta1, beta2 = rates.betas
    endless = torch.full((), torch.inf, device=bucket.parameters[0].device)
    torch._fused_adamw_(
        bucket.parameters,
        bucket.gradients,
        bucket.first,
        bucket.second,
        [],
        [endless] * len(bucket.parameters),
        lr=rates.lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=rates.weight_decay,
        eps=rates.eps,
        amsgrad=False,
        maximize=False,
        grad_scale=rates.grad_scale,
        found_inf=rates.found_inf,
    )


def _update_foreach(bucket: _Bucket, rates: _Rates) -> None:
    """The same in seven passes, for devices and memory layouts that the one pass cannot take."""
    beta1, beta2 = rates.betas
    torch._foreach_lerp_(bucket.first, bucket.gradients, 1 - beta1)
    torch._foreach_mul_(bucket.second, beta2)
    torch._foreach_addcmul_(bucket.second, bucket.gradients, bucket.gradients, 1 - beta2)
    denominators = torch._foreach_sqrt(bucket.second)
    torch._foreach_add_(denominators, rates.eps)
    torch._foreach_mul_(bucket.parameters, 1 - rates.lr * rates.weight_decay)
    torch._foreach_addcdiv_(bucket.parameters, bucket.first, denominators, -rates.lr)
