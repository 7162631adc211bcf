"""CoNLL-2003's entities: bertmod beside transformers on the same sentences and hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from seqeval.metrics import f1_score, precision_score, recall_score

from benchmarks.cuts import Cut
from benchmarks.rows import Rows, example_rows
from benchmarks.settings import FineTuning
from benchmarks.single_task import Discipline

TASK = "conll"
FILES = {"train": "CoNLL2003/train.txt", "dev": "CoNLL2003/dev.txt"}
"""Of each split, in the data folder."""

SETTINGS = FineTuning(num_epochs=5, batch_size=16, learning_rate=1e-4)
"""BERT's paper trains 14,041 sentences for 3 epochs at 5e-5 at most; these are a fifth of them, of
a small encoder. Neither number was tuned on scores."""

DOCUMENT = "-DOCSTART-"

NOTES = (
    "All tags are scored by seqeval: an entity counts if its words and its type are right.",
    "The vocabulary is uncased, which costs a few points of F1 on names. In both tools the first "
    "piece of a word carries its tag, and the tags are IOB2's.",
)


def given_tags(predictions: Path) -> list[list[str]]:
    """The tags that bertmod gave each dev sentence."""
    text = (predictions / f"{TASK}.dev.txt").read_text(encoding="utf-8")
    return [[line.split()[-1] for line in sentence] for sentence in sentences(text)]


def scores(rows: Rows, predictions: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1, precision and recall of entities."""
    right = [row["tags"] for row in rows.splits["dev"]]
    given = [list(tags) for tags in predictions]
    return {
        "entity F1": float(f1_score(right, given, zero_division=0)),
        "precision": float(precision_score(right, given, zero_division=0)),
        "recall": float(recall_score(right, given, zero_division=0)),
    }


def sentences(text: str) -> list[list[str]]:
    """Lines of each sentence of a CoNLL file; those that begin a document are none."""
    groups = groupby(text.splitlines(), _is_word)
    return [list(lines) for are_words, lines in groups if are_words]


def _is_word(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(DOCUMENT)


def first_sentences(text: str, count: int) -> str:
    """A CoNLL file's first sentences.

    Args:
        text: The file.
        count: How many sentences to keep.
    """
    return "".join("\n".join(sentence) + "\n\n" for sentence in sentences(text)[:count])


TAGS = Discipline(
    title="CoNLL-2003: bertmod beside transformers",
    task={"name": TASK},
    head="token_classification",
    program="transformers_tags",
    read=example_rows,
    answers=given_tags,
    score=scores,
    cut=Cut(FILES, first_sentences),
    notes=NOTES,
)
