"""Scores of SQuAD predictions as the official programs give them, from files or from a run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod.data.squad_files import (
    QuestionFile,
    dev_file,
    named,
    read_answers,
    read_odds,
    read_questions,
)
from bertmod.errors import DataError
from bertmod.inference.squad_plots import draw_squad
from bertmod.metrics.squad_official import (
    THRESHOLD,
    official_v1,
    official_v2,
    precision_recall_curves,
)

if TYPE_CHECKING:
    from bertmod.inference.scored_split import ScoredSplit

_LOGGER = logging.getLogger(__name__)


def score_files(
    data: Path,
    predictions: Path,
    null_odds: Path | None = None,
    *,
    threshold: float | None = None,
    partial: bool = False,
    plots: Path | None = None,
) -> dict[str, float]:
    """What the official program of the data's version says of a file of predictions.

    A question of SQuAD 1.1 without a prediction counts 0, with a warning; of SQuAD 2.0 it is
    an error unless ``partial``.

    Args:
        data: File of questions, or a folder that has one.
        predictions: JSON object, question id to answer.
        null_odds: JSON object, question id to a number; SQuAD 2.0 only.
        threshold: Questions whose null odds are above it count as not answered; None: 1.0.
        partial: Whether questions without a prediction count 0.
        plots: Folder for pictures of what the null odds are worth; None draws none.

    Returns:
        The official names and numbers, in percent, in the official order.

    Raises:
        DataError: If a file is missing or malformed, or they do not fit together.
    """
    questions = read_questions(dev_file(data))
    answers = read_answers(predictions)
    _check_known(predictions, answers, questions)
    _check_missing(predictions, answers, questions, allowed=partial or questions.version == "1.1")
    if questions.version == "1.1":
        if null_odds is not None:
            raise DataError(
                f"{null_odds}: null odds are for SQuAD 2.0, but {questions.path} is of version 1.1"
            )
        return official_v1(questions.golds, answers)
    odds = None if null_odds is None else _odds(null_odds, answers, questions)
    chosen = THRESHOLD if threshold is None else threshold
    scores = official_v2(questions.golds, answers, odds, threshold=chosen)
    if plots is not None and odds is not None:
        scores |= draw(plots, questions.golds, answers, odds, threshold=chosen)
    return scores


def draw(
    folder: Path,
    golds: Mapping[str, tuple[str, ...]],
    answers: Mapping[str, str],
    null_odds: Mapping[str, float],
    *,
    threshold: float | None = None,
) -> dict[str, float]:
    """Draw the curves and null odds of answers, and give the average precisions in percent.

    Args:
        folder: Where the pictures go; made if it is not there.
        golds: Question id to the texts of its right answers.
        answers: Question id to the given answer.
        null_odds: Of every answered question.
        threshold: One to show beside the one that is best for F1.

    Raises:
        DataError: If a file cannot be written.
    """
    curves = precision_recall_curves(golds, answers, null_odds)
    best = official_v2(golds, answers, null_odds)["best_f1_thresh"]
    shown = {"best threshold for F1": best}
    if threshold is not None:
        shown["threshold"] = threshold
    draw_squad(folder, curves, golds, null_odds, thresholds=shown)
    return {f"pr_{name}_ap": curve.average_precision for name, curve in curves.items()}


def draw_split(folder: Path, split: ScoredSplit) -> bool:
    """Draw what a run's null odds are worth on a dev split.

    The curves are of the best answer that is one, whatever the run's own threshold made of it.

    Args:
        folder: Where the pictures go; made if it is not there.
        split: A dev split.

    Returns:
        Whether the predictions have null odds; if not, nothing is drawn.

    Raises:
        DataError: If a file cannot be written.
    """
    if not split.predictions or "null_odds" not in split.predictions[0]:
        return False
    golds, answers, odds = {}, {}, {}
    for example, found in zip(split.examples, split.predictions, strict=True):
        id_ = str(found["id"])
        golds[id_] = tuple(answer["text"] for answer in example["answers"])
        texts = (candidate["text"] for candidate in found["nbest"])
        answers[id_] = next((text for text in texts if text), "")
        odds[id_] = float(found["null_odds"])
    draw(folder, golds, answers, odds)
    return True


def _check_known(path: Path, found: Collection[str], questions: QuestionFile) -> None:
    unknown = [id_ for id_ in found if id_ not in questions.golds]
    if unknown:
        raise DataError(
            f"{path}: {named(unknown)} that {questions.path} does not have\n"
            "  score predictions against the file that they were made of"
        )


def _check_missing(
    path: Path, answers: Collection[str], questions: QuestionFile, *, allowed: bool
) -> None:
    lacking = [id_ for id_ in questions.golds if id_ not in answers]
    if not lacking:
        return
    problem = f"{path}: no prediction for {named(lacking)}"
    if not allowed:
        raise DataError(f"{problem}\n  with --partial these count as wrong")
    _LOGGER.warning("%s; counted as wrong", problem)


def _odds(path: Path, answers: Collection[str], questions: QuestionFile) -> dict[str, float]:
    """The null odds of every predicted question."""
    odds = read_odds(path)
    _check_known(path, odds, questions)
    lacking = [id_ for id_ in answers if id_ not in odds]
    if lacking:
        raise DataError(
            f"{path}: no null odds for {named(lacking)}\n"
            "  every question with a prediction needs them"
        )
    return {id_: odds[id_] for id_ in odds if id_ in answers}
