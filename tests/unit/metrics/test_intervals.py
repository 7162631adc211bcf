from __future__ import annotations

import numpy as np
import pytest

from bertmod.metrics.intervals import bootstrap_intervals

pytestmark = pytest.mark.filterwarnings("error")

ROWS = np.random.default_rng(0).random(400) < 0.8


def scores(rows: np.ndarray) -> dict[str, float]:
    right = float(ROWS[rows].mean())
    return {"right": right, "wrong": 1 - right}


def test_the_interval_of_a_mean_is_near_that_of_theory() -> None:
    found = bootstrap_intervals(scores, len(ROWS), num_resamples=2000)
    spread = 1.96 * ROWS.std() / len(ROWS) ** 0.5
    assert found["right"] == pytest.approx((ROWS.mean() - spread, ROWS.mean() + spread), abs=0.005)


def test_all_scores_are_of_the_same_rows() -> None:
    found = bootstrap_intervals(scores, len(ROWS))
    low, high = found["right"]
    assert found["wrong"] == pytest.approx((1 - high, 1 - low))


def test_the_seed_decides() -> None:
    first, again = (bootstrap_intervals(scores, 400, seed=1) for _ in range(2))
    assert first == again != bootstrap_intervals(scores, 400, seed=2)


def test_more_confidence_is_wider() -> None:
    narrow = bootstrap_intervals(scores, 400, confidence=0.5)["right"]
    wide = bootstrap_intervals(scores, 400, confidence=0.99)["right"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_row_has_no_spread() -> None:
    assert bootstrap_intervals(scores, 1)["right"] == (float(ROWS[0]), float(ROWS[0]))


def test_no_scores() -> None:
    assert bootstrap_intervals(lambda rows: {}, 400) == {}
