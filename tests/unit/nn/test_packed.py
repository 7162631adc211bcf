"""Linear layers laid out once, beside the plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bertmod.nn.activations import ACTIVATIONS
from bertmod.nn.packed import PackedLinear, activated, can_pack

CPU = torch.device("cpu")
DTYPES = [
    pytest.param(
        dtype, marks=pytest.mark.skipif(not can_pack(CPU, dtype), reason="not on this CPU")
    )
    for dtype in (torch.float32, torch.bfloat16)
]


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(48, 96)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*ACTIVATIONS, "unknown to oneDNN"])
def test_activations_are_the_plain_ones(name, dtype) -> None:
    """As near to fp64 as activation behind layer, where the product is rounded in between."""
    act = ACTIVATIONS.get(name, torch.erf)
    plain, x = layer(), torch.randn(40, 48) * 2
    with torch.no_grad():
        exact = act(nn.functional.linear(x.double(), plain.weight.double(), plain.bias.double()))
        found = activated(PackedLinear(plain, dtype), x, act)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            behind = activated(plain, x, act)
    assert found.dtype == dtype
    errors = [float((each.double() - exact).abs().max()) for each in (found, behind)]
    assert errors[0] < (1e-5 if dtype == torch.float32 else 1.5 * errors[1])


def test_an_activation_has_gradients() -> None:
    if not can_pack(CPU, torch.float32):
        pytest.skip("not on this CPU")
    plain, x = layer(), torch.randn(3, 48)
    activated(PackedLinear(plain, torch.float32), x, ACTIVATIONS["gelu"]).sum().backward()
    found = plain.weight.grad.clone()
    plain.weight.grad = None
    ACTIVATIONS["gelu"](plain(x)).sum().backward()
    assert torch.allclose(found, plain.weight.grad)
