"""Linear layers for answers alone, their weights laid out once as a CPU's products want them.

Letters: I inputs, O outputs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

ROWS = 2048
"""Rows of the products that the layout is chosen for; others are computed as well."""


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

    With gradients it is the plain layer. Its parameters and its name in a model are the plain
    layer's, too, which must not change meanwhile.

    Args:
        layer: The plain layer, on a CPU.
        dtype: What is multiplied, and comes out: fp32 or bf16; sums are fp32.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer, self._dtype = layer, dtype
        weight_OI = layer.weight.detach().to(dtype).contiguous()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, ROWS)
        self._bias = None if layer.bias is None else layer.bias.detach().to(dtype)

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
        if torch.is_grad_enabled() or not x_TI.numel():
            plain: Tensor = self.layer(x_TI)
            return plain
        x_TI = x_TI.to(self._dtype).contiguous()
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            x_TI, self._packed, self._bias, "none", [], ""
        )
        return product


def packed(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A module that shares everything with another, but has each of its linear layers packed.

    Args:
        module: The module; it stays as it is.
        dtype: What is multiplied.
    """
    if type(module) is nn.Linear:
        return PackedLinear(module, dtype)
    children = {
        name: child if child is None else packed(child, dtype)
        for name, child in module._modules.items()
    }
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    twin = copy.copy(module)
    twin._modules = children
    return twin
