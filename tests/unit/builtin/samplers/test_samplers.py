"""Built-in samplers: probabilities, stopped tasks, options and state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bertmod import CheckpointError, EmptyConfig, Problem, SamplerContext, TrainingError
from bertmod.builtin.samplers import plugin

SPECS = {spec.name: spec for spec in plugin.bertmod_samplers()}
TASKS = ("cola", "mrpc", "rte")
ALL = frozenset(TASKS)


def context(*sizes):
    tasks = TASKS if len(sizes) == 3 else tuple(f"task{i}" for i in range(len(sizes)))
    return SamplerContext(tasks, np.array(sizes, dtype=np.float64))


def build(name, *sizes, **options):
    spec = SPECS[name]
    return spec.build(spec.config(**options), context(*sizes))


def test_names():
    assert list(SPECS) == [
        "anneal",
        "sqrt",
        "proportional",
        "round_robin",
        "temperature",
        "explicit",
    ]


@given(
    name=st.sampled_from(["anneal", "sqrt", "proportional", "round_robin", "temperature"]),
    sizes=st.lists(st.floats(1, 1e12), min_size=1, max_size=9),
    epoch=st.integers(0, 4),
    step=st.integers(0, 10**7),
    data=st.data(),
)
def test_probabilities_sum_to_one_over_the_running_tasks(name, sizes, epoch, step, data):
    made = SamplerContext(tuple(f"t{i}" for i in range(len(sizes))), np.array(sizes))
    running = data.draw(st.sets(st.sampled_from(made.tasks), min_size=1).map(frozenset))
    spec = SPECS[name]
    found = spec.build(spec.config(), made).probabilities(step, epoch, 5, running)
    assert found.dtype == np.float64
    assert found.shape == (len(sizes),)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(found >= 0)
    assert all(found[i] == 0 for i, task in enumerate(made.tasks) if task not in running)


@given(st.lists(st.floats(0, 1e308), min_size=1, max_size=9).filter(any))
def test_explicit_weights_of_any_scale(weights):
    tasks = tuple(f"t{i}" for i in range(len(weights)))
    config = plugin.ExplicitConfig(weights=dict(zip(tasks, weights, strict=True)))
    assert not plugin.check_explicit(config, tasks)
    sampler = plugin.build_explicit(config, SamplerContext(tasks, np.ones(len(tasks))))
    found = sampler.probabilities(0, 0, 1, frozenset(tasks))
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert all(found[i] == 0 for i, weight in enumerate(weights) if weight == 0)


def test_anneal_goes_from_proportional_to_the_last_exponent():
    sampler = build("anneal", 100, 10, 1, drop=1.0)
    np.testing.assert_allclose(sampler.probabilities(0, 0, 3, ALL), np.array([100, 10, 1]) / 111)
    np.testing.assert_allclose(sampler.probabilities(9, 2, 3, ALL), [1 / 3] * 3)


def test_anneal_of_one_epoch_stays_proportional():
    found = build("anneal", 6, 3, 1).probabilities(0, 0, 1, ALL)
    np.testing.assert_allclose(found, [0.6, 0.3, 0.1])


@pytest.mark.parametrize("epoch", [-1, 3])
def test_anneal_outside_the_run(epoch):
    with pytest.raises(ValueError, match=f"epoch {epoch} is outside a run of 3 epochs"):
        build("anneal", 6, 3, 1).probabilities(0, epoch, 3, ALL)


def test_stopped_tasks_leave_the_others_ratio():
    found = build("proportional", 6, 3, 1).probabilities(0, 0, 1, frozenset({"cola", "rte"}))
    np.testing.assert_allclose(found, [6 / 7, 0, 1 / 7])


def test_temperature_with_largest_size():
    found = build("temperature", 900, 400, 25, temperature=2.0, max_size=400)
    np.testing.assert_allclose(found.probabilities(0, 0, 1, ALL), np.array([20, 20, 5]) / 45)


def test_round_robin_passes_over_stopped_tasks():
    sampler = build("round_robin", 1, 1, 1)
    running = frozenset({"cola", "rte"})
    turns = [sampler.probabilities(step, 0, 1, running).tolist() for step in range(3)]
    assert turns == [[1, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_explicit_with_only_weightless_tasks_left():
    weights = {"cola": 1.0, "mrpc": 0.0, "rte": 0.0}
    sampler = build("explicit", 1, 1, 1, weights=weights)
    message = (
        "the tasks that still train (mrpc, rte) all have sampling weight 0, so no task can be "
        "drawn: give one of them a weight, or let no other task stop early"
    )
    with pytest.raises(TrainingError) as caught:
        sampler.probabilities(0, 0, 1, frozenset({"mrpc", "rte"}))
    assert str(caught.value) == message


@pytest.mark.parametrize("running", [frozenset(), frozenset({"cola", "colour"})])
def test_running_tasks_must_be_known(running):
    with pytest.raises(ValueError, match="running must name some of cola, mrpc, rte"):
        build("sqrt", 1, 1, 1).probabilities(0, 0, 1, running)


@pytest.mark.parametrize("sizes", [[1.0, 0.0], [1.0, np.inf], [1.0, np.nan], [1.0]])
def test_sizes_must_be_usable(sizes):
    with pytest.raises(ValueError, match="sizes"):
        plugin.build_sqrt(EmptyConfig(), SamplerContext(("a", "b"), np.array(sizes)))


def test_explicit_options_that_do_not_fit_the_tasks():
    config = plugin.ExplicitConfig(weights={"cola": 1.0, "mprc": 2.0})
    trained = "tasks that train: cola, mrpc, rte"
    assert plugin.check_explicit(config, TASKS) == [
        Problem("weights.mprc", 'no task called "mprc" trains, did you mean "mrpc"?', (trained,)),
        Problem(
            "weights",
            "no weight for mrpc, rte",
            (trained, "every task that trains needs a weight; 0 means that it is never drawn"),
        ),
    ]


def test_explicit_options_all_zero():
    config = plugin.ExplicitConfig(weights=dict.fromkeys(TASKS, 0.0))
    what = "all weights are 0, so that no task can be drawn"
    more = ("at least one must be above 0",)
    assert plugin.check_explicit(config, TASKS) == [Problem("weights", what, more)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("anneal", {"drop": 1.5}),
        ("temperature", {"temperature": 0.5}),
        ("temperature", {"temperature": float("inf")}),
        ("temperature", {"max_size": 0}),
        ("explicit", {"weights": {"cola": -1.0}}),
        ("explicit", {"weights": {"cola": float("nan")}}),
        ("explicit", {}),
    ],
)
def test_options_out_of_range(name, options):
    with pytest.raises(ValidationError):
        SPECS[name].config(**options)


@pytest.mark.parametrize("name", SPECS)
def test_state_is_empty_and_nothing_else_is_taken(name):
    options = {"weights": dict.fromkeys(TASKS, 1.0)} if name == "explicit" else {}
    sampler = build(name, 3, 2, 1, **options)
    sampler.observe(5, {"cola": 0.5})
    assert sampler.state_dict() == {}
    sampler.load_state_dict({})
    message = (
        "the checkpoint's sampler state has seen, but this recipe's sampler keeps no state: "
        "resume with the sampler that the run was started with"
    )
    with pytest.raises(CheckpointError) as caught:
        sampler.load_state_dict({"seen": 3})
    assert str(caught.value) == message
