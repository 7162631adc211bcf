from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from bertmod.metrics import exact_match, macro_f1, micro_f1

NAMES = ("a", "b", "c", "d")


@pytest.mark.parametrize("seed", range(5))
def test_one_label_per_example_as_sklearn(seed) -> None:
    draws = np.random.default_rng(seed)
    labels, answers = (draws.choice(NAMES[: seed + 1], 30).tolist() for _ in range(2))
    assert macro_f1(labels, answers) == pytest.approx(f1_score(labels, answers, average="macro"))
    assert micro_f1(labels, answers) == pytest.approx(accuracy_score(labels, answers))
    assert exact_match(labels, answers) == pytest.approx(accuracy_score(labels, answers))


@pytest.mark.parametrize("seed", range(5))
def test_several_labels_per_example_as_sklearn(seed) -> None:
    draws = np.random.default_rng(seed)
    labels, answers = (
        [[name for name in NAMES if draws.random() < 0.4] for _ in range(25)] for _ in range(2)
    )
    tables = MultiLabelBinarizer(classes=NAMES).fit([NAMES])
    pair = tables.transform(labels), tables.transform(answers)
    assert macro_f1(labels, answers) == pytest.approx(f1_score(*pair, average="macro"))
    assert micro_f1(labels, answers) == pytest.approx(f1_score(*pair, average="micro"))
    assert exact_match(labels, answers) == pytest.approx(accuracy_score(*pair))


def test_labels_that_nobody_has_are_left_out() -> None:
    assert macro_f1(["a", "b"], ["a", "a"]) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1([["a"], []], [["a"], []]) == 1.0
    assert exact_match([["a", "b"], []], [["b", "a"], ["a"]]) == 0.5
    assert macro_f1([1, "1"], ["1", "1"]) == pytest.approx((0 + 2 / 3) / 2)


@pytest.mark.parametrize("metric", [macro_f1, micro_f1, exact_match])
def test_nothing_to_score(metric) -> None:
    assert metric([], []) == 0.0
    assert metric([[], []], [[], []]) == float(metric is exact_match)
    with pytest.raises(ValueError, match="1 predictions for 2 labels"):
        metric(["a", "b"], ["a"])
