"""Attention of answers on a CPU, against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod.nn.context import RowContext

LAYOUTS = ("packed", "padded")


def attended(context: RowContext, dtype=torch.float32) -> torch.Tensor:
    """What real tokens attend to with three heads, queries, keys and values slices of one tensor.

    Args:
        context: The rows.
        dtype: Of what is attended.

    Returns:
        (real tokens, heads, head width).
    """
    made = torch.Generator().manual_seed(0)
    shape = (len(context.slot_of_token_T), 3, 3, 8)
    both = torch.randn(shape, generator=made, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        out = context.attention(*both.unbind(1), dropout=0.1)
    return out[context.position_of_token_T < context.lengths_R[context.row_of_token_T]]


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    layout=st.sampled_from(LAYOUTS),
    multiple=st.sampled_from([1, 8]),
)
def test_it_is_torchs_own(lengths, layout, multiple) -> None:
    """In fp32, with and without padding of rows."""
    options = {"layout": layout, "token_multiple": multiple}
    plain, fast = (
        attended(RowContext.of(np.array(lengths), fast=fast, **options)) for fast in (False, True)
    )
    assert torch.allclose(plain, fast, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lengths", [[40, 40], [32, 32, 32], [64], [13, 33, 32]])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bf16_is_as_exact_as_torchs_own(lengths, layout) -> None:
    """Rows of one length and of several, with keys to add and without."""
    context = {
        fast: RowContext.of(np.array(lengths), layout=layout, fast=fast) for fast in (False, True)
    }
    exact = attended(context[False], torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        plain, fast = (
            float((attended(each).double() - exact).square().mean().sqrt())
            for each in context.values()
        )
    assert 0 < fast < 2 * plain


def test_scores_far_apart_stay_finite() -> None:
    """The largest score is taken away before the exponential."""
    context = RowContext.of(np.array([5, 9]), fast=True)
    x = torch.full((14, 2, 4), 1e4)
    with torch.no_grad():
        assert torch.allclose(context.attention(x, x, x, dropout=0.0), x)
