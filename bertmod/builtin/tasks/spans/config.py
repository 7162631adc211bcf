"""Options of the tasks that look for an answer in a text, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role, Task, TaskContext, TaskSpec
from bertmod.data.squad_files import Version

NUM_MARKS = 3
"""[CLS] and two [SEP] stand in every row."""

SCORES = ("f1", "exact")
SCORES_BY_KIND = ("has_answer_f1", "has_answer_exact", "no_answer_f1", "no_answer_exact")


class SpanConfig(ComponentConfig):
    """Options of windows over a text and of the search for an answer in them."""

    doc_stride: int = Field(
        128,
        ge=1,
        description="Pieces between the starts of neighbouring windows of a long text; windows "
        "that are shorter follow each other without a gap.",
    )
    max_query_length: int = Field(
        64, ge=1, description="Longest question in pieces; what is beyond is cut off."
    )
    n_best_size: int = Field(
        20,
        ge=1,
        description="Answers told for each question; as many starts and ends of each window are "
        "tried.",
    )
    max_answer_length: int = Field(30, ge=1, description="Longest answer in pieces.")
    null_threshold: float | None = Field(
        None,
        description="A question is not answered where the score of no answer exceeds that of the "
        "best answer by more than this, in logits; null: the value of the best F1 on the dev "
        "split of the task's metric, 0 before. Only where questions may have no answer.",
    )


class SquadConfig(SpanConfig):
    """Options of ``squad``."""

    version: Version = Field(
        "1.1", description="Version of SQuAD; in 2.0 some questions have no answer."
    )
    train: str | None = Field(
        None,
        description="Training file; null: SQuAD/train-v1.1.json or train-v1.1.json in the data "
        "folder, v2.0 for that version.",
        json_schema_extra={"format": "path"},
    )
    dev: str | None = Field(
        None,
        description="Dev file; null: SQuAD/dev-v1.1.json or dev-v1.1.json in the data folder, "
        "v2.0 for that version.",
        json_schema_extra={"format": "path"},
    )
    test: str | None = Field(
        None,
        description="File of questions to answer, in the same form, answers not needed; null: "
        "there is none.",
        json_schema_extra={"format": "path"},
    )


def has_no_answers(config: SquadConfig) -> bool:
    """Whether some questions have no answer."""
    return config.version == "2.0"


def build(config: SquadConfig, context: TaskContext) -> Task:
    """The task on the files that the options state or that are usual."""
    from bertmod.builtin.tasks.spans.task import squad_task

    return squad_task(config, context)


def splits(config: SquadConfig) -> Mapping[str, Role]:
    """``train``, ``dev`` and, where a file is stated, ``test``."""
    usual: dict[str, Role] = {"train": "train", "dev": "dev"}
    return {**usual, "test": "test"} if config.test is not None else usual


def head(config: SpanConfig) -> Mapping[str, Any]:
    """A head that finds the first and the last token of a span."""
    del config
    return {"name": "bertmod/span"}


def metrics(config: SquadConfig) -> Mapping[str, tuple[str, ...]]:
    """F1 and exact match; in 2.0 also of the questions with and without an answer."""
    return {"dev": scores(no_answers=has_no_answers(config))}


def scores(*, no_answers: bool) -> tuple[str, ...]:
    """Names of the scores of a split."""
    return (*SCORES, *SCORES_BY_KIND) if no_answers else SCORES


def targets(config: SpanConfig) -> Mapping[str, str]:
    """The first and the last token of the answer."""
    del config
    return {"start": "position", "end": "position"}


def num_labels(config: SpanConfig) -> int:
    """Two scores per token: first and last of the answer."""
    del config
    return 2


def min_length(config: SpanConfig) -> int:
    """A question of full length, one piece of the text, [CLS] and twice [SEP]."""
    return config.max_query_length + NUM_MARKS + 1


def num_types(config: SpanConfig) -> int:
    """2: a question and a part of the text."""
    del config
    return 2


def check(config: SquadConfig) -> Sequence[Problem]:
    """A threshold is for version 2.0."""
    if config.null_threshold is None or has_no_answers(config):
        return ()
    what = 'is for version "2.0": in 1.1 every question has an answer'
    return (Problem("null_threshold", what, ('set version to "2.0" or leave it null',)),)


SQUAD = TaskSpec(
    name="squad",
    config=SquadConfig,
    summary="Which words of a text answer the question? (SQuAD 1.1 and 2.0)",
    source="Rajpurkar et al. 2016, arXiv:1606.05250; 2018, arXiv:1806.03822",
    build=build,
    splits=splits,
    head=head,
    metrics=metrics,
    targets=targets,
    num_labels=num_labels,
    min_length=min_length,
    num_types=num_types,
    check=check,
)
"""SQuAD, both versions."""
