"""Where a falling schedule begins to fall."""

from __future__ import annotations

import pytest

from bertmod.library import build


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_anchored_at_the_end_of_the_warm_up_it_begins_at_one(name):
    schedule = build("schedule", name, warmup_steps=20, decay_from="warmup_end")
    assert [schedule(step, 200) for step in (10, 20, 110, 200)] == pytest.approx([0.5, 1, 0.5, 0])


def test_from_the_start_the_fall_is_under_way():
    schedule = build("schedule", "linear", warmup_steps=20)
    assert schedule(20, 200) == pytest.approx(0.9)


def test_a_run_that_is_all_warm_up_ends_at_zero():
    schedule = build("schedule", "linear", warmup_steps=20, decay_from="warmup_end")
    assert schedule(20, 20) == 0.0
