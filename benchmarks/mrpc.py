"""MRPC alone: bertmod beside transformers on the same rows, seeds and hyper-parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sklearn.metrics import accuracy_score, f1_score

from benchmarks.rows import Rows, pair_rows
from benchmarks.single_task import Discipline

TASK = "mrpc"


def given_labels(predictions: Path) -> list[int]:
    """The label that bertmod gave each dev row, as an index: MRPC's labels are 0 and 1."""
    lines = (predictions / f"{TASK}.dev.tsv").read_text(encoding="utf-8").splitlines()
    return [int(line.split("\t")[1]) for line in lines[1:]]


def scores(rows: Rows, predictions: Any) -> dict[str, float]:
    """Accuracy, and F1 of the class 1, by scikit-learn."""
    labels = rows.splits["dev"]["labels"]
    return {
        "accuracy": float(accuracy_score(labels, predictions)),
        "F1": float(f1_score(labels, predictions)),
    }


MRPC = Discipline(
    title="MRPC alone: bertmod beside transformers",
    task={"name": TASK},
    head="classification",
    program="transformers_classification",
    read=pair_rows,
    answers=given_labels,
    score=scores,
    same_start=True,
    notes=("Both tools' predictions are scored by scikit-learn.",),
)
