"""What a metric promises."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bertmod.errors import BertmodError
from bertmod.testing.subject import Subject, require
from bertmod.wording import shown

Values = list[Any]
KINDS = ("names", "indices", "values")


def build(subject: Subject) -> Any:
    """The metric."""
    return subject.spec.build(subject.config)


def better(subject: Subject) -> None:
    """greater_is_better is true or false, and right answers score at least as well as any others:
    at the best value that the metric takes.
    """
    metric = build(subject)
    greater = metric.greater_is_better
    require(isinstance(greater, bool), f"greater_is_better is {greater!r}")
    apart = False
    for labels, wrongs in _taken(metric):
        perfect = metric(labels, list(labels))
        for wrong in wrongs:
            other = metric(labels, wrong)
            told = f"right answers score {perfect:g}, wrong ones {other:g}"
            right = perfect >= other if greater else perfect <= other
            require(right, f"{told} although greater_is_better is {greater}")
            apart = apart or other != perfect
    require(apart, "wrong answers always score like right ones")


def finite_number(subject: Subject) -> None:
    """A score is one finite number."""
    metric = build(subject)
    for labels, wrongs in _taken(metric):
        for answers in (labels, *wrongs):
            score = metric(labels, answers)
            right = isinstance(score, int | float) and math.isfinite(score)
            require(right, f"a score is {score!r}, not one finite number")


def function_of_pairs(subject: Subject) -> None:
    """The score follows from the pairs of label and answer, whatever their order; asking again
    gives the same, and the lists are left as they are.
    """
    metric = build(subject)
    for labels, wrongs in _taken(metric):
        for answers in wrongs:
            kept = (list(labels), list(answers))
            score = metric(labels, answers)
            require((labels, answers) == kept, "it changes the lists it was given")
            require(metric(labels, answers) == score, "the same lists score differently")
            order = np.random.default_rng(1).permutation(len(labels))
            shuffled = metric([labels[i] for i in order], [answers[i] for i in order])
            close = math.isclose(score, shuffled, rel_tol=1e-9, abs_tol=1e-12)
            require(close, f"in another order the same pairs score {shuffled!r}, not {score!r}")


def little_data(subject: Subject) -> None:
    """No examples, one example, or labels that are all equal score a finite number, or raise
    ValueError or DataError that says why; lists of different length raise ValueError.
    """
    metric = build(subject)
    for labels, _ in _taken(metric):
        one, two = labels[0], next(label for label in labels if label != labels[0])
        for given in ([], [one], [one] * 4):
            for answers in (list(given), [two] * len(given)):
                _finite_or_told(metric, given, answers)
        try:
            score = metric(labels, labels[:-1])
        except (ValueError, BertmodError):
            continue
        raise AssertionError(f"an answer too few scores {score!r} instead of raising ValueError")


CHECKS = (better, finite_number, function_of_pairs, little_data)


def _taken(metric: Any) -> Iterator[tuple[Values, Sequence[Values]]]:
    """Labels of the kinds that the metric takes, each with wrong answers.

    Raises:
        AssertionError: If it takes none.
    """
    found, errors = False, []
    for kind in KINDS:
        labels, wrongs = _answers(kind)
        try:
            metric(list(labels), list(labels))
        except Exception as error:  # a metric of values cannot take names, and the other way round
            errors.append(f"{kind}: {type(error).__name__}: {error}")
            continue
        found = True
        yield labels, wrongs
    require(found, f"it takes neither names nor numbers: {'; '.join(errors)}")


def _answers(kind: str) -> tuple[Values, Sequence[Values]]:
    """Labels with wrong answers: opposite ones, shuffled ones, all the same."""
    draws = np.random.default_rng(0)
    if kind == "values":
        labels: Values = [float(value) for value in draws.uniform(0, 5, 24)]
        opposite: Values = [5.0 - value for value in labels]
    else:
        ones = draws.integers(0, 2, 24).tolist()
        labels = [str(each) for each in ones] if kind == "names" else ones
        opposite = [str(1 - each) for each in ones] if kind == "names" else [1 - e for e in ones]
    shuffled = [labels[i] for i in draws.permutation(len(labels))]
    return labels, (opposite, shuffled, [labels[0]] * len(labels))


def _finite_or_told(metric: Any, labels: Values, answers: Values) -> None:
    told = f"labels {shown(labels)} and answers {shown(answers)}"
    try:
        score = metric(labels, answers)
    except (ValueError, BertmodError) as error:
        require(str(error).strip(), f"{told} raise an error without text")
        return
    require(math.isfinite(score), f"{told} score {score!r}")
