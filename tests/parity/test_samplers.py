"""Sampling probabilities against Bert-n-Pals' run_multi_task.py."""

import numpy as np
import pytest

from bertmod import EmptyConfig, SamplerContext
from bertmod.builtin.samplers import plugin

pytestmark = pytest.mark.shared


@pytest.fixture
def case(golden_case):
    return golden_case("10_sampling").info


@pytest.fixture
def context(case):
    return SamplerContext(tuple(case["task_order"]), np.array(case["sizes"], dtype=np.float64))


def test_anneal(case, context):
    sampler = plugin.build_anneal(plugin.AnnealConfig(), context)
    running = frozenset(context.tasks)
    found = [sampler.probabilities(0, epoch, 25, running) for epoch in range(25)]
    expected = case["probabilities"]["25_epochs"]["anneal"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("build", "name"),
    [(plugin.build_sqrt, "sqrt"), (plugin.build_proportional, "prop")],
)
def test_constant_exponents(build, name, case, context):
    found = build(EmptyConfig(), context).probabilities(7, 3, 25, frozenset(context.tasks))
    expected = case["probabilities"]["25_epochs"][name]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_temperature_two_is_the_square_root(case, context):
    sampler = plugin.build_temperature(plugin.TemperatureConfig(), context)
    found = sampler.probabilities(0, 0, 25, frozenset(context.tasks))
    expected = case["probabilities"]["25_epochs"]["sqrt"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_round_robin_as_it_was_meant(case, context):
    sampler = plugin.build_round_robin(EmptyConfig(), context)
    running = frozenset(context.tasks)
    found = [int(sampler.probabilities(step, 0, 25, running).argmax()) for step in range(20)]
    assert found == case["round_robin"]["intended_task_ids_first_20_steps"]


def test_draws(case, context):
    sampler = plugin.build_anneal(plugin.AnnealConfig(), context)
    running = frozenset(context.tasks)
    generator = np.random.RandomState(case["draws"]["numpy_seed"])
    found = [
        int(generator.choice(8, p=sampler.probabilities(0, draw // 40, 25, running)))
        for draw in range(80)
    ]
    assert found == case["draws"]["task_ids"]
