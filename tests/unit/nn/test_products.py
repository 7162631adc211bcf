"""Linear layers multiplied by oneDNN, against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from bertmod.nn.packed import can_pack
from bertmod.nn.products import FastProducts

pytestmark = pytest.mark.skipif(
    not can_pack(torch.device("cpu"), torch.float32), reason="torch has no oneDNN here"
)


def parts(shape: tuple[int, ...], outputs: int, dtype=torch.float32) -> list[torch.Tensor]:
    """Input, weight and bias of a layer."""
    made = torch.Generator().manual_seed(0)
    shapes = (shape, (outputs, shape[-1]), (outputs,))
    return [
        torch.randn(each, generator=made, dtype=torch.float64).to(dtype).requires_grad_()
        for each in shapes
    ]


def results(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The output of a layer, and the gradients of what went in."""
    y = F.linear(*inputs)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), inputs)]


def chosen(y: torch.Tensor) -> bool:
    """Whether oneDNN computed it."""
    last = y.grad_fn
    if "View" in type(last).__name__:
        last = last.next_functions[0][0]
    return "_Linear" in type(last).__name__


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 5), (37, 48), (3, 11, 20)])
@pytest.mark.parametrize("outputs", [1, 7, 64])
def test_output_and_gradients(shape, outputs, bias) -> None:
    inputs = parts(shape, outputs)[: 3 if bias else 2]
    plain = results(inputs)
    with FastProducts():
        assert chosen(F.linear(*inputs))
        fast = results(inputs)
    for one, other in zip(plain, fast, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) <= 1e-5 * max(1.0, float(one.abs().max()))


def test_only_the_gradients_that_somebody_wants() -> None:
    x, weight, bias = parts((6, 4), 3)
    with FastProducts():
        y = F.linear(x, weight.detach(), bias.detach())
    y.sum().backward()
    assert torch.allclose(x.grad, weight.sum(0).expand(6, 4), atol=1e-5)
    assert weight.grad is None
    assert bias.grad is None


@pytest.mark.parametrize(
    "inputs", [parts((4, 6), 3, torch.float64), parts((6,), 3), parts((0, 6), 3)]
)
def test_what_it_leaves_to_torch(inputs) -> None:
    """Other dtypes, vectors and nothing."""
    with FastProducts():
        y = F.linear(*inputs)
    assert not chosen(y)
    assert torch.equal(y, F.linear(*inputs))


def test_autocast_has_its_way() -> None:
    inputs = parts((4, 6), 3)
    with FastProducts(), torch.autocast("cpu", torch.bfloat16):
        y = F.linear(*inputs)
    assert y.dtype == torch.bfloat16
    assert not chosen(y)


def test_it_ends_where_it_ends() -> None:
    layer = torch.nn.Linear(4, 3)
    with FastProducts():
        assert chosen(layer(torch.ones(2, 4)))
    assert not chosen(layer(torch.ones(2, 4)))


@pytest.mark.parametrize(
    "inputs",
    [
        [*parts((4, 6), 3)[:2], parts((4, 6), 6)[2][::2]],
        [*parts((4, 6), 3)[:2], torch.tensor(2.0)],
        [*parts((4, 6), 3)[:2], torch.ones(1)],
        [*parts((4, 6), 3)[:2], torch.ones(4, 3)],
        [torch.ones(1, 6).expand(4, 6), *parts((4, 6), 3)[1:]],
    ],
    ids=["strided", "number", "one", "rows", "repeated"],
)
def test_unusual_shapes_are_torchs_own(inputs) -> None:
    with FastProducts():
        y = F.linear(*inputs)
    assert torch.equal(y, F.linear(*inputs))


def test_shapes_that_do_not_match_are_torchs_message() -> None:
    with FastProducts(), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        F.linear(torch.ones(4, 6), torch.ones(3, 5))
