"""What the official programs say of predictions for SQuAD 1.1 and 2.0, to the last digit.

Everywhere ``golds`` is question id to the texts of its right answers, in the data's order, none
for a question that cannot be answered. ``predictions`` is question id to the given answer, ``""``
for none; a question without a prediction counts 0. ``null_odds`` is question id to how likely it
is that there is no answer, in any unit that grows with it: a probability, or BERT's score of no
answer less that of the best answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bertmod.metrics.squad import exact, f1, normalize_answer

Golds = Mapping[str, Sequence[str]]
Predictions = Mapping[str, str]
Numbers = Mapping[str, float]

THRESHOLD = 1.0
"""Null odds above which the official program of 2.0 takes a question as not answered."""


def official_v1(golds: Golds, predictions: Predictions) -> dict[str, float]:
    """``exact_match`` and ``f1`` of SQuAD 1.1, in percent.

    Args:
        golds: Right answers, at least one for each of one or more questions.
        predictions: Given answers.

    Source: evaluate-v1.1.py of Rajpurkar et al. 2016, arXiv:1606.05250.
    """
    scores = question_scores(golds, predictions, no_answers=False)
    return {
        "exact_match": _percent(scores["exact"], golds),
        "f1": _percent(scores["f1"], golds),
    }


def official_v2(
    golds: Golds,
    predictions: Predictions,
    null_odds: Numbers | None = None,
    *,
    threshold: float = THRESHOLD,
) -> dict[str, float]:
    """``exact`` and ``f1`` of SQuAD 2.0, in percent, of all questions and of either kind.

    Args:
        golds: Right answers of one or more questions.
        predictions: Given answers.
        null_odds: Of every predicted question; None: the predictions stand as they are. With it
            come the best scores that a threshold could give and that threshold: ``best_exact``,
            ``best_exact_thresh``, ``best_f1`` and ``best_f1_thresh``.
        threshold: Questions whose odds are above it count as not answered, in the odds' unit.

    Source: evaluate-v2.0.py of Rajpurkar et al. 2018, arXiv:1806.03822.
    """
    raw = question_scores(golds, predictions)
    odds = {} if null_odds is None else null_odds
    decided = {name: _decided(raw[name], golds, odds, threshold) for name in raw}
    with_answer = [id_ for id_, texts in golds.items() if texts]
    without = [id_ for id_, texts in golds.items() if not texts]
    result: dict[str, float] = {}
    for prefix, ids in (("", list(golds)), ("HasAns_", with_answer), ("NoAns_", without)):
        if ids:
            scores = {f"{prefix}{name}": _percent(found, ids) for name, found in decided.items()}
            result |= {**scores, f"{prefix}total": len(ids)}
    if null_odds is not None:
        for name, found in raw.items():
            best, at = best_threshold(found, golds, predictions, null_odds)
            result |= {f"best_{name}": best, f"best_{name}_thresh": at}
    return result


def question_scores(
    golds: Golds, predictions: Predictions, *, no_answers: bool = True
) -> dict[str, dict[str, float]]:
    """``exact`` and ``f1`` of each predicted question, in [0, 1].

    Args:
        golds: Right answers.
        predictions: Given answers.
        no_answers: Whether questions may have no answer, as in SQuAD 2.0: right answers that are
            empty after normalisation do not count then, and no answer is right where there is no
            other.
    """
    wanted = {
        id_: [text for text in texts if normalize_answer(text) or not no_answers] or [""]
        for id_, texts in golds.items()
    }
    return {
        "exact": _best(exact, wanted, predictions),
        "f1": _best(lambda *pair: f1(*pair, empty_is_match=no_answers), wanted, predictions),
    }


def best_threshold(
    scores: Numbers,
    golds: Golds,
    predictions: Predictions,
    null_odds: Numbers,
    *,
    nothing: float = 0.0,
) -> tuple[float, float]:
    """The best score that deciding by null odds can reach, in percent, and the threshold for it.

    Args:
        scores: Score of each predicted question as it is answered, in [0, 1].
        golds: Right answers.
        predictions: Given answers.
        null_odds: Of every predicted question.
        nothing: The threshold where it is best to answer nothing. The official program's 0.0 does
            that to probabilities, but not to odds that may be below 0.

    Returns:
        The score, and the lowest threshold that reaches it.
    """
    current: float = sum(not golds[id_] for id_ in predictions)  # with nothing answered
    best, threshold = current, nothing
    for id_ in sorted((id_ for id_ in null_odds if id_ in scores), key=lambda id_: null_odds[id_]):
        if golds[id_]:
            current += scores[id_]
        elif predictions[id_]:
            current -= 1
        if current > best:
            best, threshold = current, null_odds[id_]
    return 100.0 * best / len(golds), threshold


@dataclass(frozen=True)
class Curve:
    """Precision against recall as more questions are answered, the most certain ones first.

    Attributes:
        precisions: Share of the answers that are right, in [0, 1], from 1.
        recalls: Share of the questions with an answer that are answered right, in [0, 1], from 0.
        average_precision: Area under the curve's steps, in percent.
    """

    precisions: tuple[float, ...]
    recalls: tuple[float, ...]
    average_precision: float


def precision_recall(scores: Numbers, golds: Golds, null_odds: Numbers) -> Curve:
    """The curve of scores of single questions.

    Args:
        scores: Score of each predicted question as it is answered, in [0, 1].
        golds: Right answers, at least one question having one.
        null_odds: Of every predicted question.
    """
    ids = sorted((id_ for id_ in null_odds if id_ in scores), key=lambda id_: null_odds[id_])
    num_answers = sum(bool(texts) for texts in golds.values())
    precisions, recalls, area, right = [1.0], [0.0], 0.0, 0.0
    for place, id_ in enumerate(ids, 1):
        right += scores[id_] if golds[id_] else 0.0
        if place < len(ids) and null_odds[ids[place]] == null_odds[id_]:
            continue  # no threshold lies between equal odds
        precision, recall = right / place, right / num_answers
        area += precision * (recall - recalls[-1])
        precisions.append(precision)
        recalls.append(recall)
    return Curve(tuple(precisions), tuple(recalls), 100.0 * area)


def precision_recall_curves(
    golds: Golds, predictions: Predictions, null_odds: Numbers
) -> dict[str, Curve]:
    """The curves ``exact``, ``f1`` and ``oracle``: the last knows which questions have an answer.

    Args:
        golds: Right answers.
        predictions: Given answers; those of a program that always answers tell most.
        null_odds: Of every predicted question.

    Returns:
        Nothing where no question has an answer.
    """
    if not any(golds.values()):
        return {}
    scores = question_scores(golds, predictions)
    scores["oracle"] = {id_: float(bool(golds[id_])) for id_ in scores["exact"]}
    return {name: precision_recall(found, golds, null_odds) for name, found in scores.items()}


def _best(
    score: Callable[[str, str], float], golds: Golds, predictions: Predictions
) -> dict[str, float]:
    """The score of each prediction against the right answer that it is nearest to."""
    return {
        id_: max(score(text, predictions[id_]) for text in texts)
        for id_, texts in golds.items()
        if id_ in predictions
    }


def _decided(
    scores: Numbers, golds: Golds, null_odds: Numbers, threshold: float
) -> dict[str, float]:
    """Scores of questions that are not answered where the odds are above the threshold."""
    return {
        id_: float(not golds[id_]) if id_ in null_odds and null_odds[id_] > threshold else score
        for id_, score in scores.items()
    }


def _percent(scores: Numbers, ids: Sequence[str] | Golds) -> float:
    """The mean over some questions, those without a prediction being 0, in percent.

    The sum runs in the data's order and is divided last, as in the official programs.
    """
    return 100.0 * sum(scores.get(id_, 0.0) for id_ in ids) / len(ids)
