"""Clipping against torch's own, and against exact sums."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod.engine.clipping import clip_global, clip_per_tensor

SHAPES = [(5, 4), (3,), (), (1, 4097), (0,), (33, 250)]


def gradients(seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * scale for shape in SHAPES]


def parameters_with(grads):
    parameters = [torch.nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for parameter, grad in zip(parameters, grads, strict=True):
        parameter.grad = grad.clone()
    return parameters


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), max_norm=st.floats(1e-3, 1e3), scale=st.floats(1e-4, 1e2))
def test_global_as_torch(seed, max_norm, scale):
    found = gradients(seed, scale)
    parameters = parameters_with(found)
    expected = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    norm = clip_global(found, max_norm)
    torch.testing.assert_close(norm, expected, rtol=2e-6, atol=0)
    for grad, parameter in zip(found, parameters, strict=True):
        torch.testing.assert_close(grad, parameter.grad, rtol=4e-6, atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), max_norm=st.floats(1e-3, 1e3), scale=st.floats(1e-4, 1e2))
def test_per_tensor_as_torch_on_each(seed, max_norm, scale):
    found = gradients(seed, scale)
    parameters = parameters_with(found)
    expected = torch.stack([grad.norm() for grad in found]).norm()
    for parameter in parameters:
        torch.nn.utils.clip_grad_norm_(parameter, max_norm)
    norm = clip_per_tensor(found, max_norm)
    torch.testing.assert_close(norm, expected, rtol=2e-6, atol=0)
    for grad, parameter in zip(found, parameters, strict=True):
        torch.testing.assert_close(grad, parameter.grad, rtol=4e-6, atol=1e-9)


@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_below_the_limit_nothing_changes(clip):
    found = gradients()
    clip(found, 1e6)
    assert all(torch.equal(a, b) for a, b in zip(found, gradients(), strict=True))


def test_norm_of_a_word_embedding_sized_gradient_is_exact():
    grad = torch.randn(3_000_000, generator=torch.Generator().manual_seed(0))
    expected = grad.double().norm().item()
    assert clip_global([grad], 1e9).item() == pytest.approx(expected, rel=1e-6)


def test_norms_do_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    grad = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))
    try:
        found = []
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(clip_global([grad], 1e9).item())
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_half_precision_beside_single(clip, dtype):
    found = [torch.full((70_000,), 300.0, dtype=dtype), torch.full((4,), 2.0)]
    norm = clip(found, 1.0)
    assert norm.dtype == torch.float32
    assert norm.item() == pytest.approx(300 * 70_000**0.5, rel=1e-3)  # its square is beyond fp16
    assert [grad.dtype for grad in found] == [dtype, torch.float32]
    assert found[0].float().norm().item() == pytest.approx(1.0, rel=5e-3)


def test_transposed_gradient():
    grad = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).t()
    expected = grad / grad.norm()
    clip_per_tensor([grad], 1.0)
    torch.testing.assert_close(grad, expected, rtol=3e-6, atol=0)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_what_is_not_finite_shows_in_the_norm(clip, value):
    found = gradients()
    found[0][1, 2] = value
    assert not torch.isfinite(clip(found, 1.0))


@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_no_gradients(clip):
    assert clip([], 1.0).item() == 0.0


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_limit_must_be_positive(clip, max_norm):
    with pytest.raises(ValueError, match="it must be positive"):
        clip(gradients(), max_norm)


@pytest.mark.gpu
@pytest.mark.parametrize("clip", [clip_global, clip_per_tensor])
def test_on_a_gpu_without_waiting_for_it(clip):
    expected = gradients()
    found = [grad.cuda() for grad in expected]
    clip(expected, 1.0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        clip(found, 1.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=4e-6, atol=1e-7)
