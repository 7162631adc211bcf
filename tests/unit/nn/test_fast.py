"""Attention and dropout made for training on a CPU, against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod.nn.context import RowContext
from bertmod.nn.dropout import fast_dropout, realised

LENGTHS = np.array([3, 9, 14, 1, 8])
LAYOUTS = ("packed", "padded")


def qkv(context: RowContext, dtype=torch.float32, *, seed: int = 0) -> list[torch.Tensor]:
    """Queries, keys and values of three heads, slices of one tensor as in an encoder."""
    made = torch.Generator().manual_seed(seed)
    shape = (len(context.slot_of_token_T), 3, 3, 4)
    both = torch.randn(*shape, generator=made, dtype=torch.float64).to(dtype).requires_grad_()
    return [both, *both.unbind(1)]


def attended(context: RowContext, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """The output of the real tokens, and the gradient of what went in."""
    both, q, k, v = qkv(context, dtype)
    out = context.attention(q, k, v, dropout=0.0)
    real = (context.position_of_token_T < context.lengths_R[context.row_of_token_T])[:, None, None]
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (out * weights * real).sum().backward()
    return (out * real).detach(), both.grad


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    layout=st.sampled_from(LAYOUTS),
    multiple=st.sampled_from([1, 8]),
)
def test_attention_is_torchs_own(lengths, layout, multiple) -> None:
    """Output and gradients in fp32, of all layouts, with and without padding."""
    options = {"layout": layout, "token_multiple": multiple}
    plain, fast = (
        attended(RowContext.of(np.array(lengths), fast=fast, **options)) for fast in (False, True)
    )
    for one, other in zip(plain, fast, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_attention_in_bf16_is_as_exact_as_torchs_own(layout) -> None:
    context = {fast: RowContext.of(LENGTHS, layout=layout, fast=fast) for fast in (False, True)}
    exact = attended(context[False], torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        half = {fast: attended(each) for fast, each in context.items()}
    for place in (0, 1):
        plain, fast = (
            float((half[each][place].double() - exact[place]).square().mean().sqrt())
            for each in (False, True)
        )
        assert 0 < fast <= 1.25 * plain


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_attention(layout, dropout) -> None:
    """Against differences in fp64, masks held by the generator's seed."""
    context = RowContext.of(LENGTHS[:3], layout=layout, training=True, fast=True)

    def call(*inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return context.attention(*inputs, dropout=dropout)

    inputs = [x.detach().requires_grad_() for x in qkv(context, torch.float64)[1:]]
    assert torch.autograd.gradcheck(call, inputs)


def test_gradients_of_dropout() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)

    def call(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return fast_dropout(x, 0.4)

    assert torch.autograd.gradcheck(call, (x,))


@settings(deadline=None)
@given(st.floats(1e-4, 1 - 1e-4))
def test_the_probability_that_comes_of_one(p) -> None:
    """Within 2 % of the rarer of dropping and keeping, in one byte if that is enough."""
    dropped, levels = realised(p)
    assert 0 < dropped < levels
    rarer = min(p, 1 - p)
    assert abs(dropped / levels - p) <= max(0.02 * rarer, 2**-17)
    assert (levels == 256) == (abs(round(256 * p) / 256 - p) <= 0.02 * rarer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.01])
def test_dropout_drops_as_often_as_it_says(p, dtype) -> None:
    """The rate within six deviations, what is kept scaled by exactly its inverse."""
    torch.manual_seed(0)
    count = 400_003  # not a whole number of 64-bit draws
    y = fast_dropout(torch.ones(count, dtype=dtype), p)
    dropped, levels = realised(p)
    rate = dropped / levels
    assert abs(float((y == 0).double().mean()) - rate) < 6 * (rate * (1 - rate) / count) ** 0.5
    assert y.unique().tolist() == [0, float(torch.tensor(1 / (1 - rate)).to(dtype))]


def test_neighbours_drop_independently() -> None:
    torch.manual_seed(0)
    kept = (fast_dropout(torch.ones(2**18), 0.5) > 0).double() - 0.5
    for shift in (1, 7, 8, 64):
        assert abs(float((kept[shift:] * kept[:-shift]).mean())) < 6 * 0.25 / 2**9


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    """With equal scores and values of 1 the output counts the weights that are kept."""
    context = RowContext.of(np.full(64, 16), training=True, fast=True)
    ones = torch.ones(64 * 16, 8, 4)
    torch.manual_seed(0)
    out = context.attention(ones, ones, ones, dropout=0.25)
    counts = out * 16 * 0.75
    assert torch.allclose(counts, counts.round(), atol=1e-4)
    weights = 64 * 16 * 8 * 16
    assert abs(float(out.mean()) - 1) < 6 * (0.25 / 0.75 / weights) ** 0.5
    off = context.with_training(False).attention(ones, ones, ones, dropout=0.25)
    assert torch.allclose(off, ones)


def test_masks_follow_the_generator() -> None:
    """The same seed gives the same masks; two calls after it, of whatever shape, do not."""
    x = torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = fast_dropout(x, 0.1), fast_dropout(x, 0.1)
    torch.manual_seed(3)
    assert torch.equal(fast_dropout(x, 0.1), first)
    assert not torch.equal(first, second)
