"""Attention of rows as they lie, against torch's own of padded rows.

The kernel is of GPUs alone. On a CPU a stand-in that computes what the kernel is documented to
compute shows what it is asked for; on a GPU it is asked itself.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertmod.nn import context as contexts
from bertmod.nn import varlen
from bertmod.nn.context import RowContext
from bertmod.nn.varlen import has_varlen, segment_bounds, takes_varlen, varlen_attention

LENGTHS = [3, 9, 14, 1, 8]
TASKS = [0, 0, 1, 1, 1]
HALVES = (torch.bfloat16, torch.float16)


def qkv(context: RowContext, dtype, *, width: int = 8) -> list[torch.Tensor]:
    """Queries, keys and values of three heads, slices of one tensor as in an encoder."""
    made = torch.Generator().manual_seed(0)
    shape = (len(context.slot_of_token_T), 3, 3, width)
    both = torch.randn(*shape, generator=made, dtype=torch.float64)
    both = both.to(context.lengths_R.device, dtype).requires_grad_()
    return [both, *both.unbind(1)]


def real(context: RowContext) -> torch.Tensor:
    return (context.position_of_token_T < context.lengths_R[context.row_of_token_T])[:, None, None]


def attended(context: RowContext, dtype, *, width: int = 8, direct: bool = False):
    """The output of the real tokens, and the gradient of what went in, in fp64."""
    both, q, k, v = qkv(context, dtype, width=width)
    if direct:
        longest = context.max_length
        out = varlen_attention(q, k, v, context.bounds_S, longest=longest, dropout=0.0)
    else:
        out = context.attention(q, k, v, dropout=0.0)
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(out.shape, generator=draw, dtype=torch.float64).to(out.device)
    assert out.isfinite().all()
    (out.double() * weights * real(context)).sum().backward()
    return (out * real(context)).detach().double(), both.grad.double()


@pytest.mark.usefixtures("flash_on_cpu")
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    layout=st.sampled_from(["packed", "padded"]),
    multiple=st.sampled_from([1, 8, 64]),
    width=st.sampled_from([1, 8, 17]),
)
def test_values_and_gradients_are_those_of_padded_rows(lengths, layout, multiple, width) -> None:
    """In fp64, so that nothing but the arithmetic differs; of widths that are filled up, too."""
    options = {"layout": layout, "token_multiple": multiple}
    context = RowContext.of(np.array(lengths), fast=True, **options)
    plain = attended(RowContext.of(np.array(lengths), **options), torch.float64, width=width)
    found = attended(context, torch.float64, width=width, direct=True)
    for one, other in zip(plain, found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("flash_on_cpu")
@pytest.mark.parametrize("dtype", HALVES)
def test_a_context_takes_it_in_16_bits(dtype) -> None:
    """Both by dtype and by autocast; as near to fp64 as the plain path."""
    plain, found = (RowContext.of(np.array(LENGTHS), fast=fast) for fast in (False, True))
    exact = attended(plain, torch.float64)
    for options in ({"dtype": dtype}, {"dtype": torch.float32}):
        with torch.autocast("cpu", dtype, enabled=options["dtype"] == torch.float32):
            one, other = attended(plain, **options), attended(found, **options)
        for place in (0, 1):
            ours, theirs = (
                (each[place] - exact[place]).square().mean().sqrt() for each in (other, one)
            )
            assert 0 < ours <= 1.25 * theirs


@pytest.mark.usefixtures("flash_on_cpu")
def test_what_the_kernel_does_not_take_goes_the_plain_way(monkeypatch) -> None:
    """Wide heads, fp32, and rows without padding, of which torch's own is as fast: bit for bit."""

    def refuse(*_: object, **__: object):
        raise AssertionError("the kernel was asked")

    monkeypatch.setattr(contexts, "varlen_attention", refuse)
    monkeypatch.setattr(contexts, "fast_attention", refuse)
    cases = (
        (LENGTHS, torch.bfloat16, 264),
        ([8, 8, 8], torch.bfloat16, 8),
    )
    for lengths, dtype, width in cases:
        plain, given_fast = (
            RowContext.of(np.array(lengths), fast=fast, device="cpu") for fast in (False, True)
        )
        object.__setattr__(given_fast, "fast", False)  # as on a GPU
        one, other = (attended(each, dtype, width=width) for each in (plain, given_fast))
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert not takes_varlen(torch.zeros(1, 1, 8))
    assert takes_varlen(torch.zeros(1, 1, 8, dtype=torch.float16))
    with pytest.raises(AssertionError, match="the kernel was asked"):
        attended(RowContext.of(np.array(LENGTHS), fast=True), torch.bfloat16)


@pytest.mark.usefixtures("flash_on_cpu")
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_spans_rows_are_attended_as_a_batch_of_their_own(layout) -> None:
    options = {"layout": layout, "length": 16, "token_multiple": 8, "fast": True}
    whole = RowContext.of(np.array(LENGTHS), tasks=TASKS, **options)
    _, q, k, v = qkv(whole, torch.bfloat16)
    all_TND = whole.attention(q, k, v, dropout=0.0)
    for span in whole.spans:
        own = whole.narrow(span)
        tokens = slice(span.first_token, span.end_token)
        assert int(own.bounds_S[0]) == 0
        assert int(own.bounds_S[-1]) == tokens.stop - tokens.start
        found = own.attention(*(x[tokens] for x in (q, k, v)), dropout=0.0)
        assert torch.equal(found, all_TND[tokens])


def test_bounds() -> None:
    """Each row's real tokens, then its padding, of which there may be none."""
    found = segment_bounds(np.array([3, 2, 4]), np.array([5, 2, 4]), "cpu")
    assert found.tolist() == [0, 3, 5, 7, 7, 11, 11]
    assert found.dtype == torch.int32


def test_shapes_and_types_on_no_device(monkeypatch) -> None:
    """torch's own description of the kernel takes what it is given, and knows its derivative."""
    monkeypatch.setattr(varlen, "product_dtype", lambda x: x.dtype)  # meta knows no autocast
    for dtype in HALVES:
        x = [torch.empty(12, 3, 17, dtype=dtype, device="meta", requires_grad=True)] * 3
        bounds = torch.empty(7, dtype=torch.int32, device="meta")
        found = varlen_attention(*x, bounds, longest=5, dropout=0.1)
        assert (found.shape, found.dtype) == ((12, 3, 17), dtype)
        found.sum().backward()
        assert x[0].grad.shape == (12, 3, 17)


def test_a_cpu_has_no_such_kernel() -> None:
    assert not has_varlen(torch.device("cpu"))
    assert RowContext.of(np.array(LENGTHS), fast=True).bounds_S is None


@pytest.mark.slow
@pytest.mark.usefixtures("flash_on_cpu")
def test_it_is_compiled_whole_for_any_number_of_rows() -> None:
    """No graph break, and no second compilation for other lengths."""
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    first = graphs["unique_graphs"]
    made = torch.compile(varlen_attention, dynamic=True, fullgraph=True)
    for lengths in ([3, 5, 2], [7, 4], [7, 4, 9, 1]):
        stored = np.array(lengths) + 1
        bounds = segment_bounds(np.array(lengths), stored, "cpu")
        given_x = torch.randn(3, int(stored.sum()), 3, 17, dtype=torch.bfloat16)
        options = {"longest": 1 + max(lengths), "dropout": 0.0}
        found = []
        for call in (varlen_attention, made):
            x = given_x.clone().requires_grad_()
            out = call(*x, bounds, **options)
            out.float().square().sum().backward()
            found.append((out.detach(), x.grad))
        torch.testing.assert_close(found[0], found[1])
    assert graphs["unique_graphs"] - first <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("width", [17, 64])
@pytest.mark.parametrize("dtype", HALVES)
def test_on_a_gpu_it_is_as_exact_as_the_plain_path(layout, width, dtype) -> None:
    lengths = np.random.default_rng(0).integers(1, 129, 32)
    options = {"layout": layout, "token_multiple": 64, "device": "cuda"}
    plain, found = (RowContext.of(lengths, fast=fast, **options) for fast in (False, True))
    if found.bounds_S is None:
        pytest.skip("this GPU has no flash attention")
    exact = attended(plain, torch.float64, width=width)
    one, other = (attended(each, dtype, width=width) for each in (plain, found))
    for place in (0, 1):
        ours, theirs = (
            (each[place] - exact[place]).square().mean().sqrt() for each in (other, one)
        )
        assert 0 < ours <= 1.25 * theirs


@pytest.mark.gpu
def test_on_a_gpu_weights_are_dropped_at_the_stated_rate() -> None:
    """Values are 1, so that what comes out is the sum of what is left of a row's weights."""
    context = RowContext.of(np.full(64, 100), length=128, layout="padded", fast=True, device="cuda")
    if context.bounds_S is None:
        pytest.skip("this GPU has no flash attention")
    context = context.with_training(True)
    q = torch.zeros(64 * 128, 12, 64, dtype=torch.bfloat16, device="cuda")
    ones = torch.ones_like(q)

    def sums(seed: int, p: float = 0.1) -> torch.Tensor:
        torch.manual_seed(seed)
        return context.attention(q, q, ones, dropout=p).float()[real(context).expand(q.shape)]

    first = sums(0)
    assert torch.equal(sums(0), first)
    assert not torch.equal(sums(1), first)
    assert abs(float(first.mean()) - 1) < 2e-3
    expected = (0.1 / 0.9 / 100) ** 0.5  # of the mean of 100 weights, each 0 or 1/0.9
    assert abs(float(first.std()) / expected - 1) < 0.1
    assert float((sums(0, p=0.0) - 1).abs().max()) < 1e-2
