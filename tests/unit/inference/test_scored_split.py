"""Intervals of a split's scores, by a task's own way of resampling or by its scores alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bertmod import TaskContext
from bertmod.builtin.tasks.sentences.facts import GLUE
from bertmod.inference.scored_split import ScoredSplit
from bertmod.library import installed
from bertmod.testing.tasks import metrics


class ScoresAlone:
    """A task without a way of its own."""

    def __init__(self, task: Any) -> None:
        self.score = task.score


class NeverScores:
    """A task that resamples and must not score."""

    def __init__(self, task: Any) -> None:
        self.resampler = task.resampler

    def score(self, *_: Any) -> dict[str, float]:
        raise AssertionError("scored again")


@pytest.fixture(scope="module")
def make_split() -> Callable[..., ScoredSplit]:
    """A split of a task of GLUE with answers of which most are right."""

    def make(name: str, num_rows: int, *, alone: bool = False) -> ScoredSplit:
        (facts,) = (facts for facts in GLUE if facts.name == name)
        spec: Any = installed().get("task", name).spec
        context = TaskContext(id=name, tokenizer=None, max_length=8, metrics=metrics())
        task = spec.build(spec.config(), context)
        draws = np.random.default_rng(0)
        if facts.labels:
            labels = draws.choice(facts.labels, num_rows).tolist()
            wrong = draws.random(num_rows) < 0.2
            given = np.where(wrong, draws.choice(facts.labels, num_rows), labels).tolist()
            key = "label"
        else:
            labels = draws.uniform(0, 5, num_rows).tolist()
            given = (np.array(labels) + draws.normal(0, 1, num_rows)).tolist()
            key = "value"
        examples = [{"id": str(n), "texts": ("", ""), "label": x} for n, x in enumerate(labels)]
        predictions = [{"id": str(n), key: x} for n, x in enumerate(given)]
        scores = task.score("dev", examples, predictions)
        used = ScoresAlone(task) if alone else task
        return ScoredSplit(used, "dev", examples, predictions, scores)

    return make


@pytest.mark.parametrize("name", ["mrpc", "cola", "stsb", "mnli"])
def test_both_ways_give_the_same_intervals(make_split, name: str) -> None:
    own, alone = (make_split(name, 60, alone=alone) for alone in (False, True))
    found = own.intervals(num_resamples=40)
    assert found == alone.intervals(num_resamples=40)
    assert list(found) == list(own.scores)
    for metric, (low, high) in found.items():
        assert low < own.scores[metric] < high


def test_a_task_with_a_way_of_its_own_is_not_scored_again(make_split) -> None:
    """Scoring every resample anew would take minutes for a split of this size."""
    split = make_split("mnli", 9_832)
    again = replace(split, task=NeverScores(split.task))
    low, high = again.intervals(num_resamples=100)["accuracy"]
    assert high - low == pytest.approx(2 * 1.96 * (0.13 * 0.87 / 9_832) ** 0.5, rel=0.3)
    with pytest.raises(AssertionError, match="scored again"):
        replace(split, task=ScoresAlone(again.task)).intervals(num_resamples=2)
