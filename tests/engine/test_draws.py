"""Which rows and which task a step gets: functions of the seed and a counter."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertmod.engine.order import RowOrder
from bertmod.engine.seeding import derived_seed, generator

LENGTHS = np.random.default_rng(5).integers(3, 60, 103)


def order(**options) -> RowOrder:
    settings = {"seed": 1, "task": "cola", "reshuffle": True, "bucket_window": 4, **options}
    lengths = settings.pop("lengths", LENGTHS)
    return RowOrder(lengths, settings.pop("batch_size", 8), **settings)


def passes(rows: RowOrder, number: int) -> list[int]:
    count = rows.batches_per_pass
    return np.concatenate([rows.batch(number * count + k) for k in range(count)]).tolist()


@given(
    count=st.integers(1, 70),
    batch_size=st.integers(1, 16),
    bucket_window=st.integers(1, 9),
    reshuffle=st.booleans(),
)
def test_each_pass_visits_every_feature_once(count, batch_size, bucket_window, reshuffle) -> None:
    rows = order(
        lengths=LENGTHS[:1].repeat(count),
        batch_size=batch_size,
        bucket_window=bucket_window,
        reshuffle=reshuffle,
    )
    assert rows.batches_per_pass == -(-count // batch_size)
    for number in range(3):
        assert sorted(passes(rows, number)) == list(range(count))
    sizes = Counter(len(rows.batch(k)) for k in range(rows.batches_per_pass))
    assert sizes[batch_size] == count // batch_size


@given(ks=st.lists(st.integers(0, 60), max_size=20))
def test_a_batch_does_not_depend_on_what_was_asked_before(ks) -> None:
    rows = order()
    for k in ks:
        np.testing.assert_array_equal(rows.batch(k), order().batch(k))


def test_passes_seeds_and_tasks_have_orders_of_their_own() -> None:
    found = [
        passes(order(), 0),
        passes(order(), 1),
        passes(order(seed=2), 0),
        passes(order(task="rte"), 0),
    ]
    assert all(a != b for a, b in itertools.combinations(found, 2))


def test_without_reshuffling_every_pass_repeats_the_first() -> None:
    rows = order(reshuffle=False)
    assert passes(rows, 0) == passes(rows, 1) == passes(rows, 7) == passes(order(), 0)


def test_windows_bring_rows_of_similar_length_together() -> None:
    def spread(rows: RowOrder) -> float:
        batches = [rows.batch(k) for k in range(rows.batches_per_pass)]
        return float(np.mean([np.ptp(LENGTHS[batch]) for batch in batches]))

    assert spread(order(bucket_window=13)) < 0.25 * spread(order(bucket_window=1))


def test_a_window_holds_the_rows_that_an_unsorted_pass_has_there() -> None:
    """Sorting acts within windows only: the first two windows stay the first two."""
    plain = passes(order(bucket_window=1), 0)
    windows = [set(plain[start : start + 32]) for start in range(0, 103, 32)]
    rows = order(bucket_window=4)
    for k in range(rows.batches_per_pass):
        batch = set(rows.batch(k).tolist())
        assert sum(bool(batch & window) for window in windows) == 1


def test_no_features_are_refused() -> None:
    with pytest.raises(ValueError, match="features"):
        order(lengths=np.array([], np.int64))


def test_the_task_of_a_step_is_a_function_of_seed_and_step(toy) -> None:
    def tasks(**settings) -> list[str]:
        trainer = toy.trainer(sampler="proportional", steps_per_epoch=12, **settings)
        return [trainer.train_step()[0] for _ in range(20)]

    first = tasks()
    assert first == tasks(global_batch_size=4, gradient_accumulation_steps=2, optimizer="bert_adam")
    assert first != tasks(seed=43)
    assert set(first) == {"flag", "size"}


def test_draws_follow_the_probabilities(toy) -> None:
    model = toy.model()
    tasks = [toy.task("flag", count=30), toy.task("size", count=10)]
    trainer = toy.trainer(model, tasks, sampler="proportional", learning_rate=1e-12)
    drawn = Counter(
        trainer.task_ids[generator(42, "task", step).choice(2, p=[0.75, 0.25])]
        for step in range(12)
    )
    assert Counter(trainer.train_step()[0] for _ in range(12)) == drawn


def test_seeds_of_different_purposes_do_not_meet() -> None:
    """("a", "b") and ("ab",) are two purposes, and so are ("rows", 1) and ("rows", 11)."""
    purposes = [("a", "b"), ("ab",), ("rows", 1), ("rows", 11), ("rows", 1, 1), ()]
    assert len({derived_seed(3, *purpose) for purpose in purposes}) == len(purposes)
    assert all(0 <= derived_seed(-1, *purpose) < 2**63 for purpose in purposes)
