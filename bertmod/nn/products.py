"""Linear layers in fp32 on a CPU, multiplied by oneDNN.

``F.linear`` in fp32 goes to the BLAS library that torch was built with: MKL, which is at its best
on Intel's processors and on others gets less than half of what oneDNN gets. In bf16 torch uses
oneDNN by itself.

Letters: T tokens, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter
from torch.overrides import TorchFunctionMode


def product(x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """``x W^T + b`` by oneDNN, without gradients.

    Args:
        x_TI: Input, (..., in), fp32 or bf16, on a CPU where ``can_pack`` says so.
        weight_OI: Weights, same dtype; possibly a transposed view.
        bias_O: Bias, same dtype.

    Returns:
        (..., out), same dtype; sums are fp32.
    """
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x_TI, weight_OI, bias_O, "none", [], "")
    return found


class _Linear(torch.autograd.Function):
    """Keeps what torch's own product keeps, in the same form.

    So ``torch.utils.checkpoint`` finds that, if a layer is computed again beyond ``FastProducts``.
    """

    @staticmethod
    def forward(ctx: Any, x_TI: Tensor, weight_IO: Tensor, bias_O: Tensor | None) -> Tensor:
        x_needed, weight_needed, _ = ctx.needs_input_grad
        ctx.save_for_backward(*[x_TI] * weight_needed, *[weight_IO] * x_needed)
        return product(x_TI, weight_IO.t(), bias_O)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TO: Tensor) -> tuple[Tensor | None, ...]:
        kept = list(ctx.saved_tensors)
        x_needed, weight_needed, bias_needed = ctx.needs_input_grad
        grad_x = product(grad_TO, kept.pop()) if x_needed else None
        grad_weight = product(kept.pop().t(), grad_TO.t()) if weight_needed else None
        return grad_x, grad_weight, grad_TO.sum(0) if bias_needed else None


class FastProducts(TorchFunctionMode):
    """While it lasts, ``F.linear`` of fp32 tensors on an x86 CPU is computed by oneDNN.

    Its backward products are, too, whenever they come; they have no gradients of their own. All
    other calls are torch's own: those in which autocast chooses the precision, under function
    transforms, with tensors of other classes, of unusual shapes and layouts. Results differ by
    rounding.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What ``func`` gives."""
        del types
        if func is F.linear and _takes(*args, **(kwargs or {})):
            return _multiplied(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _takes(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    tensors = [each for each in (input, weight, bias) if each is not None]
    return (
        all(map(_usual, tensors))
        and input.dim() > 1
        and input.numel() > 0
        and weight.shape[1:] == input.shape[-1:]
        and (bias is None or bias.shape == weight.shape[:1])
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


def _usual(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.dtype == torch.float32
        and tensor.device.type == "cpu"
        and tensor.is_contiguous()
    )


def _multiplied(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x_TI = input.flatten(0, -2)
    found: Tensor = _Linear.apply(x_TI, weight.t(), bias)  # type: ignore[no-untyped-call]
    return found.view(*input.shape[:-1], -1)
