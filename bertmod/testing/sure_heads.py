"""Heads that are sure: what a known head would decode if it had no doubt of an answer.

An answer is what the head is asked for, one array per feature: the index of a class, a value, a
flag per class, the index of a row, first and last token, or a class per labelled word (one
without an axis stands for all words).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from bertmod.contracts.head import TaskInfo
from bertmod.contracts.task import Feature

Answers = Sequence[np.ndarray]
Arrays = Mapping[str, np.ndarray]

FEW_CLASSES = 4
"""Up to so many classes, every way of confusing them is tried."""

SURE = 20.0
"""Logit of what a head is sure of, where those of the rest are 0."""


@dataclass(frozen=True)
class SureHead:
    """What is known of a head.

    Attributes:
        right: (feature) to the answer that its targets say; None where they say none.
        decoded: (feature, answer, info) to what the head gives that is sure of the answer.
        confused: (features, right answers, info) to wrong answers, many times.
        varied: (feature, number, info) to some answer, another for another number.
        labels: Keys of an example under which the right answer may stand.
    """

    right: Callable[[Feature], np.ndarray | None]
    decoded: Callable[[Feature, np.ndarray, TaskInfo], Arrays]
    confused: Callable[[Sequence[Feature], Answers, TaskInfo], Iterator[Answers]]
    varied: Callable[[Feature, int, TaskInfo], np.ndarray]
    labels: tuple[str, ...] = ("label",)


def _count(info: TaskInfo) -> int:
    return len(info.labels or ())


def _index(feature: Feature) -> np.ndarray | None:
    target = feature.targets.get("labels")
    return target if target is not None and target >= 0 else None


def _value(feature: Feature) -> np.ndarray | None:
    target = feature.targets.get("labels")
    return target if target is not None and np.isfinite(target) else None


def _all_known(feature: Feature) -> np.ndarray | None:
    target = feature.targets.get("labels")
    return target if target is not None and (target >= 0).all() else None


def _span(feature: Feature) -> np.ndarray | None:
    if not {"start", "end"} <= feature.positions.keys():
        return None
    span = np.array([feature.positions["start"], feature.positions["end"]])
    return span if (span < _tokens(feature)).all() else None


def _tokens(feature: Feature) -> int:
    return sum(len(row["input_ids"]) for row in feature.rows)


def _one_hot(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    del feature
    return {"probabilities": np.eye(_count(info), dtype=np.float32)[answer]}


def _number(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    del feature, info
    return {"value": np.asarray(answer, np.float32)}


def _of_flags(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    del feature, info
    return {"probabilities": np.asarray(answer, np.float32)}


def _row(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    del info
    sure = np.eye(len(feature.rows), dtype=np.float32)[answer]
    return {"probabilities": sure, "logits": SURE * sure}


def _ends(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    del info
    sure = SURE * np.eye(_tokens(feature), dtype=np.float32)[answer]
    return {"start_logits": sure[0], "end_logits": sure[1]}


def _tagged(feature: Feature, answer: np.ndarray, info: TaskInfo) -> Arrays:
    """One class for all tokens, or one for each labelled word."""
    class_of_token = np.zeros(_tokens(feature), np.int64)
    class_of_token[feature.positions["words"] if answer.ndim else slice(None)] = answer
    return {"probabilities": np.eye(_count(info), dtype=np.float32)[class_of_token]}


def _relabelled(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """Classes taken for others, then features for others of as many labels."""
    count = _count(info)
    every = np.arange(count)
    ways = permutations(range(count)) if count <= FEW_CLASSES else ()
    for way in (*ways, every[::-1], np.roll(every, 1)):
        if list(way) != every.tolist():
            yield [np.asarray(way)[answer] for answer in answers]
    yield from _exchanged(features, answers, info)


def _other_rows(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """Another row of each feature."""
    del info
    for step in range(1, max(len(feature.rows) for feature in features)):
        yield [
            np.asarray((answer + step) % len(feature.rows))
            for feature, answer in zip(features, answers, strict=True)
        ]


def _mirrored(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """High values for low ones, then features for others."""
    both = min(answers) + max(answers)
    yield [both - answer for answer in answers]
    yield from _exchanged(features, answers, info)


def _inverted(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """Every flag turned, then features for others."""
    yield [1 - answer for answer in answers]
    yield from _exchanged(features, answers, info)


def _moved(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """Other tokens: the same for all features, or so many further on."""
    del info
    for place in (0, -2, -3):
        yield [np.full(2, place % _tokens(feature)) for feature in features]
    for step in (1, 2):
        yield [
            (answer + step) % _tokens(feature)
            for feature, answer in zip(features, answers, strict=True)
        ]


def _exchanged(features: Sequence[Feature], answers: Answers, info: TaskInfo) -> Iterator[Answers]:
    """Answers to features for those to others of the same shape."""
    del features, info
    shapes = np.array([answer.size for answer in answers])
    for seed in range(3):
        draws, changed = np.random.default_rng(seed), list(answers)
        for size in np.unique(shapes):
            own = np.flatnonzero(shapes == size)
            for place, other in zip(own, draws.permutation(own), strict=True):
                changed[place] = answers[other]
        yield changed


def _any_class(feature: Feature, number: int, info: TaskInfo) -> np.ndarray:
    del feature
    return np.asarray(number % _count(info))


def _any_value(feature: Feature, number: int, info: TaskInfo) -> np.ndarray:
    del feature, info
    return np.asarray(number % 2, np.float32)


def _any_flags(feature: Feature, number: int, info: TaskInfo) -> np.ndarray:
    del feature
    flags: np.ndarray = np.eye(_count(info), dtype=np.float32)[number % _count(info)]
    return flags


def _any_row(feature: Feature, number: int, info: TaskInfo) -> np.ndarray:
    del info
    return np.asarray(number % len(feature.rows))


def _any_span(feature: Feature, number: int, info: TaskInfo) -> np.ndarray:
    """One token near the end of the row, where a text stands behind its question."""
    del info
    return np.full(2, max(0, _tokens(feature) - 2 - number % 3))


HEADS: Mapping[str, SureHead] = {
    "bertmod/classification": SureHead(_index, _one_hot, _relabelled, _any_class),
    "bertmod/regression": SureHead(_value, _number, _mirrored, _any_value),
    "bertmod/multi_label": SureHead(_all_known, _of_flags, _inverted, _any_flags),
    "bertmod/multiple_choice": SureHead(_index, _row, _other_rows, _any_row),
    "bertmod/token_classification": SureHead(
        _all_known, _tagged, _relabelled, _any_class, labels=("tags",)
    ),
    "bertmod/span": SureHead(_span, _ends, _moved, _any_span, labels=("answers", "is_impossible")),
}
"""Full name of a head to what is known of it."""
