"""Activations by name, and fresh values."""

from __future__ import annotations

import math

import pytest
import torch

from bertmod.nn.activations import ACTIVATIONS, activation
from bertmod.nn.initialisation import initialise


def test_gelu_is_the_error_function_and_gelu_tanh_its_approximation() -> None:
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    exact = torch.tensor([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()])
    torch.testing.assert_close(activation("gelu")(x), exact.double(), rtol=0, atol=1e-6)
    gap = float((activation("gelu_tanh")(x) - activation("gelu")(x)).abs().max())
    assert 4e-4 < gap < 5e-4
    assert activation("relu")(x).min() == 0
    torch.testing.assert_close(activation("tanh")(x), x.tanh())


def test_an_unknown_activation() -> None:
    assert set(ACTIVATIONS) == {"gelu", "gelu_tanh", "relu", "tanh"}
    with pytest.raises(ValueError, match='no activation called "swish"; there are gelu, gelu_tanh'):
        activation("swish")


@torch.no_grad()
def test_fresh_values() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Embedding(50, 40), torch.nn.Linear(40, 40), torch.nn.LayerNorm(400)
    )
    for parameter in module.parameters():
        parameter.fill_(7.0)
    initialise(module, std=0.5)
    embedding, linear, norm = module
    for weight in (embedding.weight, linear.weight):
        assert 0.45 < float(weight.std()) < 0.55
        assert abs(float(weight.mean())) < 0.05
    assert (linear.bias == 0).all()
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    initialise(norm, std=0.5, layer_norm="normal")
    assert 0.4 < float(norm.weight.std()) < 0.6
    assert 0.4 < float(norm.bias.std()) < 0.6
    initialise(torch.nn.Linear(2, 2, bias=False))
