"""Built-in schedules: shapes, warm-up, options."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bertmod import Problem
from bertmod.builtin.schedules import plugin

SPECS = {spec.name: spec for spec in plugin.bertmod_schedules()}

warmups = st.one_of(
    st.just({}),
    st.floats(0, 1, exclude_max=True).map(lambda value: {"warmup_proportion": value}),
    st.integers(0, 10**6).map(lambda value: {"warmup_steps": value}),
)


def build(name, **options):
    spec = SPECS[name]
    config = spec.config(**options)
    assert not spec.check(config)
    return spec.build(config)


def test_names():
    assert list(SPECS) == ["linear", "constant", "cosine"]


@given(st.sampled_from(list(SPECS)), warmups, st.integers(0, 10**7), st.integers(1, 10**6))
def test_multipliers_are_between_zero_and_one(name, warmup, step, total):
    assert 0.0 <= build(name, **warmup)(step, total) <= 1.0


@given(st.sampled_from(list(SPECS)), warmups, st.integers(1, 200))
def test_rises_to_the_warmups_end_then_never_again(name, warmup, total):
    schedule = build(name, **warmup)
    values = [schedule(step, total) for step in range(total + 1)]
    peak = max(range(total + 1), key=values.__getitem__)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)


def test_linear_as_googles():
    schedule = build("linear")
    found = [schedule(step, 20) for step in range(22)]
    assert found[:4] == pytest.approx([0, 0.5, 0.9, 0.85])  # from 1 to 0.9 as the warm-up ends
    assert found[-3:] == pytest.approx([0.05, 0, 0])


def test_cosine():
    schedule = build("cosine", warmup_proportion=0.0)
    assert [schedule(step, 4) for step in (0, 1, 2, 4, 9)] == pytest.approx(
        [1, 0.5 + 0.5**1.5, 0.5, 0, 0]
    )


def test_constant_has_no_warmup_unless_asked():
    assert [build("constant")(step, 10) for step in (0, 9, 99)] == [1.0, 1.0, 1.0]
    found = [build("constant", warmup_proportion=0.2)(step, 10) for step in range(4)]
    assert found == pytest.approx([0, 0.5, 1, 1])


@pytest.mark.parametrize("name", SPECS)
def test_warmup_in_steps(name):
    schedule = build(name, warmup_steps=4)
    assert [schedule(step, 1000) for step in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert schedule(4, 1000) > 0.99


def test_warmup_longer_than_the_run_goes_on_rising():
    assert build("linear", warmup_steps=10)(5, 5) == 0.5


@pytest.mark.parametrize("name", SPECS)
def test_no_warmup(name):
    assert build(name, warmup_steps=0)(0, 5) == build(name, warmup_proportion=0.0)(0, 5) == 1.0


@pytest.mark.parametrize("name", SPECS)
def test_warmup_given_twice(name):
    spec = SPECS[name]
    config = spec.config(warmup_proportion=0.1, warmup_steps=100)
    what = "the warm-up's length is given twice, by warmup_proportion and by warmup_steps"
    more = ("leave one of them out, or set it to null",)
    assert spec.check(config) == [Problem("warmup_steps", what, more)]


@pytest.mark.parametrize(
    "options", [{"warmup_proportion": 1.0}, {"warmup_proportion": -0.1}, {"warmup_steps": -1}]
)
@pytest.mark.parametrize("name", SPECS)
def test_options_out_of_range(name, options):
    with pytest.raises(ValidationError):
        SPECS[name].config(**options)


@pytest.mark.parametrize(("step", "total"), [(-1, 5), (0, 0)])
def test_steps_that_make_no_sense(step, total):
    with pytest.raises(ValueError, match=f"step {step} of {total}: need step >= 0 and total > 0"):
        build("linear")(step, total)
