from __future__ import annotations

import numpy as np
import pytest

from bertmod.metrics import pearson, spearman

pytestmark = pytest.mark.filterwarnings("error")


def test_pearson_is_covariance_over_deviations() -> None:
    labels, predictions = [0.0, 1.0, 2.0, 5.0], [0.1, 0.9, 3.0, 4.0]
    assert pearson(labels, predictions) == pytest.approx(np.corrcoef(labels, predictions)[0, 1])


def test_spearman_sees_order_alone_and_shares_tied_ranks() -> None:
    assert spearman([1.0, 2.0, 3.0], [1.0, 10.0, 1000.0]) == pytest.approx(1.0)
    expected = np.corrcoef([1.5, 1.5, 3.0], [1.0, 2.0, 3.0])[0, 1]
    assert spearman([1.0, 1.0, 3.0], [1.0, 2.0, 3.0]) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [pearson, spearman])
@pytest.mark.parametrize(
    ("labels", "predictions"),
    [
        ([], []),
        ([1.0], [1.0]),
        ([1.0, 2.0], [3.0, 3.0]),
        ([2.0, 2.0], [1.0, 3.0]),
        ([1.0, 2.0], [1.0, float("nan")]),
        ([1.0, 2.0], [1.0, float("inf")]),
    ],
)
def test_undefined_correlations_are_zero(metric, labels, predictions) -> None:
    assert metric(labels, predictions) == 0.0


def test_values_that_rounding_decides_have_a_score() -> None:
    near = [1.0, 1.0 + 2e-16, 1.0 + 4e-16]
    assert -1.0 <= pearson([1.0, 2.0, 3.0], near) <= 1.0


@pytest.mark.parametrize("metric", [pearson, spearman])
def test_lengths_must_agree(metric) -> None:
    with pytest.raises(ValueError, match=r"^1 predictions for 2 labels$"):
        metric([0.0, 1.0], [0.0])
