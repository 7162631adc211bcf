"""LAMB, for batches of thousands of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bertmod import ParameterGroup
from bertmod.builtin.optimizers.eager import EagerOptimizer
from bertmod.builtin.optimizers.layout import settle_gradients, torch_groups


class Lamb(EagerOptimizer):
    """Adam whose update of each tensor is as long as the tensor, times the learning rate.

    With gradient g, moments m and v, step t, and tensor x::

        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²
        r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay x
        x = x - lr phi(|x|) / |r| r

    phi keeps a norm within bounds. Where |x| or |r| is 0, as for biases in the beginning, and for
    tensors that are not scaled, the factor before r is lr alone. Norms are over whole tensors.
    Parameters without gradient are left as they are, moments and step included. The state of a
    parameter is ``exp_avg`` (m) and ``exp_avg_sq`` (v), of its shape and dtype, and ``step`` (t), a
    scalar. Gradients are not clipped here.

    Args:
        groups: Named groups; each becomes one parameter group, in the same order.
        betas: Decay rates of the two moments, unitless, in [0, 1).
        eps: Added to the root of the second moment, positive, in units of the gradient.
        bias_correction: Whether the moments are divided by what they lack in the first steps.
        norm_bounds: Least and greatest value of phi, 0 or more; None: phi(z) = z.
        scale_vectors: Whether vectors and scalars (biases, LayerNorm) are scaled too.

    Source: You et al. 2019, arXiv:1904.00962, algorithm 2; google-research/albert
        lamb_optimizer.py, which corrects no bias, bounds no norm and scales no vectors.
    """

    def __init__(
        self,
        groups: Sequence[ParameterGroup],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        bias_correction: bool = True,
        norm_bounds: tuple[float, float] | None = None,
        scale_vectors: bool = False,
    ) -> None:
        defaults = {
            "betas": betas,
            "eps": eps,
            "bias_correction": bias_correction,
            "norm_bounds": norm_bounds,
            "scale_vectors": scale_vectors,
        }
        super().__init__(torch_groups(groups), defaults)

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
            raise ValueError("lamb takes no closure: call backward before step")
        for group in self.param_groups:
            settle_gradients(group, optimizer="lamb")
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._direction(parameter, group)
                update.add_(parameter, alpha=group["weight_decay"])
                parameter.sub_(update.mul_(group["lr"] * _trust(parameter, update, group)))

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """Adam's update before the learning rate; counts the step."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        (beta1, beta2), eps = group["betas"], group["eps"]
        gradient, step = parameter.grad, state["step"].add_(1).item()
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        corrected = group["bias_correction"]
        first, second = (1 - beta1**step, 1 - beta2**step) if corrected else (1.0, 1.0)
        denominator = state["exp_avg_sq"].div(second).sqrt_().add_(eps)
        update: Tensor = state["exp_avg"] / denominator
        return update.div_(first)


def _trust(parameter: Tensor, update: Tensor, group: dict[str, Any]) -> Tensor | float:
    """What the learning rate is multiplied by."""
    if parameter.ndim < 2 and not group["scale_vectors"]:
        return 1.0
    bounds: tuple[float, float] | None = group["norm_bounds"]
    norm, length = _norm(parameter), _norm(update)
    held = norm if bounds is None else norm.clamp(*bounds)
    ratio = torch.where((norm > 0) & (length > 0), held / length, 1.0)
    return ratio.to(update.dtype)


def _norm(tensor: Tensor) -> Tensor:
    """Length of a tensor as a vector, a scalar in float64.

    Row by row, so that the bits do not depend on the number of threads.
    """
    rows: Tensor = torch.linalg.vector_norm(tensor, dim=-1, dtype=torch.float64)
    length: Tensor = torch.linalg.vector_norm(rows)
    return length
