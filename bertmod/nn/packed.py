"""Linear layers for answers alone, their weights laid out once as a CPU's products want them.

Letters: I inputs, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bertmod.nn.activations import ACTIVATIONS
from bertmod.nn.products import product

ROWS = 2048
"""Rows of the products that the layout is chosen for; others are computed as well."""

Activation = Callable[[Tensor], Tensor]

_FUSED: Mapping[Activation, tuple[str, str]] = {
    ACTIVATIONS["gelu"]: ("gelu", "none"),
    ACTIVATIONS["gelu_tanh"]: ("gelu", "tanh"),
    ACTIVATIONS["relu"]: ("relu", ""),
    ACTIVATIONS["tanh"]: ("tanh", ""),
}
"""Activations that oneDNN applies to the sums of a product before it writes them: its name and
algorithm for each."""


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this machine multiplies packed weights of a dtype: x86 with oneDNN, in bf16 too.

    Args:
        device: Where the weights are.
        dtype: fp32 or bf16.
    """
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512")):
        return False
    return dtype == torch.float32 or (
        dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class PackedLinear(nn.Module):
    """A linear layer whose weights are converted and laid out once; ``layer`` itself stays as is.

    While its parameters learn it is the plain layer; gradients of frozen ones' inputs come from
    the converted weights. Its parameters and its name in a model are the plain layer's. Where the
    weights were changed they are converted anew: after they learnt, were loaded or replaced, but
    not if something wrote to their memory behind autograd's back.

    Args:
        layer: The plain layer, on a CPU.
        dtype: What is multiplied, and comes out: fp32 or bf16; sums are fp32.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer, self._dtype = layer, dtype
        self._convert()

    def _convert(self) -> None:
        weight_OI = self.layer.weight.detach().to(self._dtype).contiguous()
        bias_O = self.layer.bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS)
        self._bias = None if bias_O is None else bias_O.detach().to(self._dtype).contiguous()
        self._plain: Tensor | None = None
        self._state: object = self._now()

    @property
    def _converted(self) -> Tensor:
        """The weight in the dtype of the products, for gradients of inputs."""
        if self._plain is None:
            self._plain = self.layer.weight.detach().to(self._dtype).contiguous()
        return self._plain

    @property
    def _learns(self) -> bool:
        return any(parameter.requires_grad for parameter in self.layer.parameters())

    def _now(self) -> list[tuple[int, int]]:
        """What differs once the parameters do."""
        return [
            (each.data_ptr(), 0 if each.is_inference() else each._version)
            for each in self.layer.parameters()
        ]

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedLinear:
        return PackedLinear(copy.deepcopy(self.layer, memo), self._dtype)

    @property
    def weight(self) -> Tensor:
        """The plain layer's weight, (out, in)."""
        return self.layer.weight

    @property
    def bias(self) -> Tensor:
        """The plain layer's bias, (out,)."""
        return self.layer.bias

    def forward(self, x_TI: Tensor) -> Tensor:
        """``x W^T + b``, (..., out), in the dtype that the layer was packed in."""
        return self.activated(x_TI, None)

    def activated(self, x_TI: Tensor, act: Activation | None) -> Tensor:
        """What an activation makes of the layer's output, (..., out), in the same dtype.

        Args:
            x_TI: Input, (..., in), any floating dtype.
            act: The activation; None: none.
        """
        if not x_TI.numel() or (self._learns and torch.is_grad_enabled()):
            self._state = None  # what learns changes, and not every optimizer lets that be seen
            plain: Tensor = self.layer(x_TI)
            return plain if act is None else act(plain)
        if self._state != self._now():
            self._convert()
        x_TI = x_TI.to(self._dtype).contiguous()
        if torch.is_grad_enabled() and x_TI.requires_grad:
            frozen: Tensor = _Frozen.apply(x_TI, self)  # type: ignore[no-untyped-call]
            return frozen if act is None else act(frozen)
        if act is None:
            return self._product(x_TI)
        fused = _FUSED.get(act)
        return act(self._product(x_TI)) if fused is None else self._product(x_TI, *fused)

    def _product(self, x_TI: Tensor, name: str = "none", algorithm: str = "") -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(
            x_TI, self._packed, self._bias, name, [], algorithm
        )
        return found


class _Frozen(torch.autograd.Function):
    """A packed layer whose input alone has a gradient."""

    @staticmethod
    def forward(ctx: Any, x_TI: Tensor, layer: PackedLinear) -> Tensor:
        ctx.weight = layer._converted
        return layer._product(x_TI)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TO: Tensor) -> tuple[Tensor, None]:
        return product(grad_TO.contiguous(), ctx.weight.t()), None


def activated(layer: nn.Module, x_TI: Tensor, act: Activation) -> Tensor:
    """``act(layer(x))``, in one pass over what comes out if the layer is packed.

    Args:
        layer: A linear layer, packed or plain.
        x_TI: Its input, (..., in).
        act: The activation.
    """
    if isinstance(layer, PackedLinear):
        return layer.activated(x_TI, act)
    return act(layer(x_TI))


def is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a module is a linear layer that is no more than its weights: none has a hook."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)
    return type(layer) is nn.Linear and not any(hooks)


def packed(module: nn.Module, dtype: torch.dtype, *, frozen: bool = False) -> nn.Module:
    """A module that shares everything with another, but has each of its linear layers packed.

    Args:
        module: The module; it stays as it is.
        dtype: What is multiplied.
        frozen: Whether layers that learn stay plain.
    """
    if is_plain(module):
        learns = any(parameter.requires_grad for parameter in module.parameters())
        return module if frozen and learns else PackedLinear(module, dtype)
    children = {
        name: child if child is None else packed(child, dtype, frozen=frozen)
        for name, child in module._modules.items()
    }
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    twin = copy.copy(module)
    twin._modules = children
    return twin
