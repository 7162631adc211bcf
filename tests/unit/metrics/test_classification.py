from __future__ import annotations

import pytest

from bertmod.metrics import accuracy, f1, matthews

pytestmark = pytest.mark.filterwarnings("error")

LABELS = ["1", "1", "1", "0", "0", "1"]
PREDICTIONS = ["1", "0", "1", "0", "1", "1"]


def test_accuracy_counts_right_answers() -> None:
    assert accuracy(LABELS, PREDICTIONS) == pytest.approx(4 / 6)


def test_f1_is_that_of_the_positive_class() -> None:
    assert f1(LABELS, PREDICTIONS) == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert f1(LABELS, PREDICTIONS, positive="0") == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))


def test_f1_takes_numbers_as_classes() -> None:
    assert f1([1, 0, 1], [1, 1, 1], positive=1) == pytest.approx(0.8)
    assert f1([1, 0, 1], [1, 1, 1], positive="1") == 0.0


def test_matthews_is_the_correlation_of_the_four_counts() -> None:
    true_positive, true_negative, false_positive, false_negative = 3, 1, 1, 1
    above = true_positive * true_negative - false_positive * false_negative
    below = (4 * 4 * 2 * 2) ** 0.5
    assert matthews(LABELS, PREDICTIONS) == pytest.approx(above / below)


def test_matthews_takes_three_classes() -> None:
    assert matthews(["a", "b", "c"], ["a", "b", "c"]) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", [accuracy, f1, matthews])
def test_perfect_and_empty_splits(metric) -> None:
    assert metric(["0", "1"], ["0", "1"]) == pytest.approx(1.0)
    assert metric([], []) == 0.0


@pytest.mark.parametrize("metric", [f1, matthews])
@pytest.mark.parametrize(
    ("labels", "predictions"),
    [(["0", "0"], ["0", "0"]), (["0", "0"], ["0", "1"]), (["0", "1"], ["0", "0"])],
)
def test_constant_answers_have_a_score(metric, labels, predictions) -> None:
    assert metric(labels, predictions) == 0.0


@pytest.mark.parametrize("metric", [accuracy, f1, matthews])
def test_lengths_must_agree(metric) -> None:
    with pytest.raises(ValueError, match=r"^1 predictions for 2 labels$"):
        metric(["0", "1"], ["0"])
