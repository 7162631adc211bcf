"""A plain function as a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bertmod.metrics import (
    accuracy,
    exact_match,
    f1,
    macro_f1,
    mae,
    matthews,
    micro_f1,
    pearson,
    rmse,
    spearman,
)


@dataclass(frozen=True)
class Score:
    """A metric made of a function.

    Attributes:
        function: Labels and predictions of a whole split to a number.
        greater_is_better: Whether a higher number is better.
    """

    function: Callable[[Sequence[Any], Sequence[Any]], float]
    greater_is_better: bool = True

    def __call__(self, labels: Sequence[Any], predictions: Sequence[Any]) -> float:
        return self.function(labels, predictions)


def plain(name: str) -> Score:
    """The metric of this name that has no options."""
    return Score(_PLAIN[name], greater_is_better=name not in _DISTANCES)


def f1_of(positive: str | int) -> Score:
    """F1 of this class."""
    return Score(partial(f1, positive=positive))


_PLAIN: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], float]] = {
    "accuracy": accuracy,
    "exact_match": exact_match,
    "macro_f1": macro_f1,
    "mae": mae,
    "matthews": matthews,
    "micro_f1": micro_f1,
    "pearson": pearson,
    "rmse": rmse,
    "spearman": spearman,
}
_DISTANCES = frozenset({"mae", "rmse"})
