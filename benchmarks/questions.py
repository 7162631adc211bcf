"""SQuAD 1.1: bertmod beside transformers on the same questions, seeds and hyper-parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cuts import Cut
from benchmarks.rows import Rows, example_rows
from benchmarks.settings import FineTuning
from benchmarks.single_task import Discipline
from bertmod.metrics.squad_official import official_v1

TASK = "squad"
FILES = {"train": "SQuAD/train-v1.1.json", "dev": "SQuAD/dev-v1.1.json"}
"""Of each split, in the data folder."""

SETTINGS = FineTuning(num_epochs=3, batch_size=16, learning_rate=1e-4, max_length=384)
"""Those of Google's and transformers' examples, but for the learning rate: a MiniLM is small, and
2,500 questions are few. It was not tuned on scores."""

WINDOWS: Mapping[str, Any] = {
    "overlap": 128,
    "pad_to_max_length": True,
    "n_best": 20,
    "max_answer_length": 30,
}
"""Defaults of transformers' example; ``overlap`` is what it calls the document stride."""

NOTES = (
    "All predictions are scored by the rules of the official evaluate-v1.1.py.",
    "A step is of 16 windows. A question's windows begin 128 pieces after one another in bertmod, "
    "as in Google's code; in transformers' example they overlap by 128 pieces, so it has fewer. "
    "Both make the number of steps that bertmod's windows give.",
)
PADDED = "transformers' rows are padded to 384 tokens, as its example does; bertmod's are not."
TO_LONGEST = (
    "transformers' rows are padded to the longest of their batch, not to 384 tokens as its example "
    "does, which changes the time and not the scores; bertmod's are not padded."
)


def given_answers(predictions: Path) -> dict[str, str]:
    """The text that bertmod answered each question with."""
    path = predictions / f"{TASK}.dev" / "predictions.json"
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def scores(rows: Rows, predictions: Mapping[str, str]) -> dict[str, float]:
    """F1 and exact match, by the official rules."""
    golds = {row["id"]: [answer["text"] for answer in row["answers"]] for row in rows.splits["dev"]}
    found = official_v1(golds, predictions)
    return {"F1": found["f1"] / 100, "exact": found["exact_match"] / 100}


def first_questions(text: str, count: int) -> str:
    """A SQuAD file's first questions, their paragraphs and articles.

    Args:
        text: The file.
        count: How many questions to keep.
    """
    values = json.loads(text)
    for article in values["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = paragraph["qas"][:count]
            count -= len(paragraph["qas"])
        article["paragraphs"] = [each for each in article["paragraphs"] if each["qas"]]
    values["data"] = [article for article in values["data"] if article["paragraphs"]]
    return json.dumps(values, ensure_ascii=False)


QUESTIONS = Discipline(
    title="SQuAD 1.1: bertmod beside transformers",
    task={"name": TASK},
    head="span",
    program="transformers_questions",
    read=example_rows,
    answers=given_answers,
    score=scores,
    cut=Cut(FILES, first_questions),
    head_has_dropout=False,
    options=WINDOWS,
    notes=NOTES,
)


def discipline(*, pad_to_longest: bool) -> Discipline:
    """Questions with transformers' rows padded to 384 tokens, or to the longest of a batch."""
    return replace(
        QUESTIONS,
        options={**WINDOWS, "pad_to_max_length": not pad_to_longest},
        notes=(*NOTES, TO_LONGEST if pad_to_longest else PADDED),
    )
