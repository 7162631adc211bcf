"""LAMB as its paper writes it, number for number, in float64."""

import math

import pytest
import torch
from pydantic import ValidationError

from bertmod import ParameterGroup, Problem
from bertmod.builtin.optimizers import plugin

SPEC = {spec.name: spec for spec in plugin.bertmod_optimizers()}["lamb"]
SHAPES = {"weight": (5, 4), "cube": (2, 3, 4), "bias": (5,), "scalar": (), "zero": (3, 2)}
LR, DECAY, STEPS = 0.1, 0.01, 5


def parameters():
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    made["zero"].zero_()
    return {name: torch.nn.Parameter(value) for name, value in made.items()}


def gradient(name, step):
    generator = torch.Generator().manual_seed(100 * step + len(name))
    return torch.randn(SHAPES[name], generator=generator)


def groups_of(made):
    pairs = tuple(made.items())
    return [ParameterGroup("a", pairs[:2], LR, DECAY), ParameterGroup("b", pairs[2:], LR / 2, 0.0)]


def length(values):
    return math.sqrt(sum(value * value for value in values))


def as_written(values, gradients, *, lr, decay, betas, eps, corrected, bounds, scaled):
    """Algorithm 2 of the paper over one tensor, as lists of Python's numbers."""
    x = list(values)
    m, v = [0.0] * len(x), [0.0] * len(x)
    for t, g in enumerate(gradients, 1):
        m = [betas[0] * a + (1 - betas[0]) * b for a, b in zip(m, g, strict=True)]
        v = [betas[1] * a + (1 - betas[1]) * b * b for a, b in zip(v, g, strict=True)]
        one, two = (1 - betas[0] ** t, 1 - betas[1] ** t) if corrected else (1.0, 1.0)
        r = [(a / one) / (math.sqrt(b / two) + eps) for a, b in zip(m, v, strict=True)]
        u = [a + decay * b for a, b in zip(r, x, strict=True)]
        phi = length(x) if bounds is None else min(max(length(x), bounds[0]), bounds[1])
        ratio = phi / length(u) if scaled and length(x) > 0 and length(u) > 0 else 1.0
        x = [a - lr * ratio * b for a, b in zip(x, u, strict=True)]
    return x


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.5), (8.0, 10.0)])
@pytest.mark.parametrize("vectors", [True, False])
def test_as_the_paper_writes_it(corrected, bounds, vectors):
    made = parameters()
    config = SPEC.config(
        bias_correction=corrected, norm_bounds=bounds, scale_vectors=vectors, betas=(0.8, 0.99)
    )
    before = {name: p.detach().double().flatten().tolist() for name, p in made.items()}
    optimizer = SPEC.build(config, groups_of(made))
    for step in range(STEPS):
        for name, parameter in made.items():
            parameter.grad = gradient(name, step)
        optimizer.step()
    for number, (name, parameter) in enumerate(made.items()):
        expected = as_written(
            before[name],
            [gradient(name, step).double().flatten().tolist() for step in range(STEPS)],
            lr=LR if number < 2 else LR / 2,
            decay=DECAY if number < 2 else 0.0,
            betas=(0.8, 0.99),
            eps=1e-6,
            corrected=corrected,
            bounds=bounds,
            scaled=vectors or parameter.ndim > 1,
        )
        found = parameter.detach().double().flatten()
        torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=0, atol=5e-6)


def test_an_update_is_as_long_as_its_tensor():
    made = parameters()
    before = {name: p.detach().clone() for name, p in made.items()}
    optimizer = SPEC.build(SPEC.config(), groups_of(made))
    for name, parameter in made.items():
        parameter.grad = 1e-4 * gradient(name, 0)
    optimizer.step()
    moved = (made["weight"].detach() - before["weight"]).norm()
    torch.testing.assert_close(moved, LR * before["weight"].norm())


def test_a_step_of_its_own_for_each_parameter():
    made = parameters()
    optimizer = SPEC.build(SPEC.config(), groups_of(made))
    made["weight"].grad = gradient("weight", 0)
    optimizer.step()
    made["cube"].grad = gradient("cube", 0)
    optimizer.step()
    steps = {name: optimizer.state[p]["step"].item() for name, p in list(made.items())[:2]}
    assert steps == {"weight": 2, "cube": 1}


def test_it_takes_no_closure():
    with pytest.raises(ValueError, match="lamb takes no closure"):
        SPEC.build(SPEC.config(), groups_of(parameters())).step(lambda: 0.0)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (0.0, 0.0)])
def test_bounds_without_a_norm(bounds):
    told = f"[{bounds[0]:g}, {bounds[1]:g}] leaves no norm"
    more = ("accepted: the least, then the greatest above 0",)
    assert SPEC.check(SPEC.config(norm_bounds=bounds)) == (Problem("norm_bounds", told, more),)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, math.inf), (1.0,)])
def test_bounds_out_of_range(bounds):
    with pytest.raises(ValidationError):
        SPEC.config(norm_bounds=bounds)


def test_from_json():
    config = SPEC.config.model_validate_json('{"norm_bounds": [0, 10]}')
    assert (config.norm_bounds, config.eps) == ((0.0, 10.0), 1e-6)
    assert SPEC.check(config) == ()
