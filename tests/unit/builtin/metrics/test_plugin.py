from __future__ import annotations

import pytest
from pydantic import ValidationError

from bertmod.builtin.metrics.plugin import F1Config, bertmod_metrics

SPECS = {spec.name: spec for spec in bertmod_metrics()}


def test_names() -> None:
    assert list(SPECS) == [
        "f1",
        "accuracy",
        "matthews",
        "pearson",
        "spearman",
        "macro_f1",
        "micro_f1",
        "exact_match",
        "rmse",
        "mae",
    ]


@pytest.mark.parametrize("name", SPECS)
def test_each_is_built_from_its_defaults_and_likes_right_answers(name) -> None:
    metric = SPECS[name].build(SPECS[name].config())
    values = {"pearson", "spearman", "rmse", "mae"}
    right = [0.0, 1.0, 2.0] if name in values else ["0", "1", "1"]
    distance = name in {"rmse", "mae"}
    assert metric(right, right) == pytest.approx(0.0 if distance else 1.0)
    assert metric.greater_is_better != distance


def test_f1_takes_the_positive_class() -> None:
    labels, predictions = ["yes", "no", "yes"], ["yes", "yes", "yes"]
    assert SPECS["f1"].build(F1Config(positive="yes"))(labels, predictions) == pytest.approx(0.8)
    assert SPECS["f1"].build(F1Config(positive=1))([1, 0], [1, 0]) == pytest.approx(1.0)
    with pytest.raises(ValidationError):
        F1Config(positive=0.5)
