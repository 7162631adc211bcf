"""A plain function as a metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bertmod.metrics import accuracy, f1, matthews, pearson, spearman


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
    return Score(_PLAIN[name])


def f1_of(positive: str | int) -> Score:
    """F1 of this class."""
    return Score(partial(f1, positive=positive))


_PLAIN: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], float]] = {
    "accuracy": accuracy,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
