"""Options of ``pretraining`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role, Task, TaskContext, TaskSpec

SHORTEST_ROW = 5
"""[CLS], two segments of a piece each, and their [SEP]."""

LABELS = {"nsp": ("next", "random"), "sop": ("in_order", "swapped")}
"""What a row's second segment may be to its first, in the order of the labels."""

_ROUNDING = 1e-6


class CorpusConfig(ComponentConfig):
    """Data to train on."""

    path: str = Field(
        description="Folder that bertmod pretraining-data wrote, or a text file with a sentence a "
        "line and a blank line between documents; inside the data folder unless absolute."
    )
    weight: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="How often a pass has each of its rows, on the average, above 0.",
    )


Corpora = tuple[str | CorpusConfig, ...]


class PhaseConfig(ComponentConfig):
    """A part of the run with data of its own."""

    share: float = Field(
        gt=0, le=1, description="Share of the run's steps, above 0; the shares sum to 1."
    )
    train: Corpora = Field(
        min_length=1, description="Its data, as the option train of the task has it."
    )
    max_length: int | None = Field(
        None,
        ge=SHORTEST_ROW,
        description="Longest row made of text files, tokens, at least 5; null: the task's.",
    )


class MaskingConfig(ComponentConfig):
    """Options of masking."""

    kind: Literal["dynamic", "static"] = Field(
        "dynamic",
        description="dynamic: each pass over the data draws masks of its own; static: every pass "
        "has the same ones, of a folder those that are in it.",
    )
    probability: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Share of a row's tokens that is masked, special ones counted, in (0, 1).",
    )
    max_predictions: int | None = Field(
        None, ge=1, description="Most masked tokens of a row, at least 1; null: the share decides."
    )
    unit: Literal["piece", "word", "span"] = Field(
        "piece",
        description="What is masked as a whole: single pieces; words; or spans of up to 10 words.",
    )


class PretrainingConfig(ComponentConfig):
    """Options of ``pretraining``."""

    train: Corpora | None = Field(
        None,
        min_length=1,
        description="Data to train on: paths, or objects with a path and a weight; null: the data "
        "folder itself if bertmod pretraining-data wrote it, else train or corpus.txt in it.",
    )
    phases: tuple[PhaseConfig, ...] | None = Field(
        None,
        min_length=1,
        description="Parts of the run with data of their own, in place of train; null: one.",
    )
    dev: str | None = Field(
        None,
        description="Data to evaluate on, a path as in train; null: the folder dev in the data "
        "folder, else documents held out of the text files of the last phase.",
    )
    held_out: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Share of the documents of text files that is kept for evaluation where there "
        "is no other dev data, above 0, at most 0.5.",
    )
    masking: MaskingConfig = Field(
        MaskingConfig(), description="Which pieces are masked, and when that is decided."
    )
    next_sentence: Literal["nsp", "sop", "none"] = Field(
        "nsp",
        description="What is told of a row's second segment: nsp: whether it follows the first or "
        "is from elsewhere; sop: whether the two have changed places; none: nothing.",
    )
    dupe_factor: int = Field(
        10,
        ge=1,
        description="How often rows to train on are made of a text file, each time others, from 1; "
        "to evaluate on they are made once.",
    )


def phases_of(config: PretrainingConfig) -> tuple[PhaseConfig, ...]:
    """The phases of a run: the stated ones, or one of the data that is stated, if any."""
    if config.phases is not None:
        return config.phases
    return (PhaseConfig(share=1.0, train=config.train),) if config.train is not None else ()


def corpora_of(phase: PhaseConfig) -> list[CorpusConfig]:
    """The corpora of a phase, those that are given as a path alone too."""
    return [CorpusConfig(path=each) if isinstance(each, str) else each for each in phase.train]


def build(config: PretrainingConfig, context: TaskContext) -> Task:
    """The task."""
    from bertmod.builtin.tasks.pretraining.task import PretrainingTask

    return PretrainingTask(config, context)


def splits(config: PretrainingConfig) -> Mapping[str, Role]:
    """What it trains on, and what it is scored on."""
    del config
    return {"train": "train", "dev": "dev"}


def metrics(config: PretrainingConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of the dev split."""
    return {"dev": metric_names(pairs=config.next_sentence != "none")}


def metric_names(*, pairs: bool) -> tuple[str, ...]:
    """Names of the metrics, the main one first.

    Args:
        pairs: Whether rows have a second segment of which something is told.
    """
    both = ("next_sentence_accuracy", "next_sentence_loss") if pairs else ()
    return ("masked_lm_accuracy", "masked_lm_loss", "perplexity", *both, "loss")


def head(config: PretrainingConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    return {
        "name": "bertmod/masked_lm" if config.next_sentence == "none" else "bertmod/pretraining"
    }


def targets(config: PretrainingConfig) -> Mapping[str, str]:
    """``words``: masked positions; ``labels``: their pieces; ``next_sentence``: a class."""
    pieces = {"words": "positions", "labels": "pieces"}
    return pieces if config.next_sentence == "none" else {**pieces, "next_sentence": "class"}


def num_labels(config: PretrainingConfig) -> int | None:
    """What a second segment may be to the first: two things."""
    return None if config.next_sentence == "none" else len(LABELS[config.next_sentence])


def min_length(config: PretrainingConfig) -> int:
    """The shortest row of two segments."""
    del config
    return SHORTEST_ROW


def check(config: PretrainingConfig) -> Sequence[Problem]:
    """What is wrong with the options."""
    if config.phases is None:
        return ()
    found = []
    if config.train is not None:
        what = "the data is stated twice: here and in phases"
        found.append(Problem("train", what, ("leave it out; each phase has its own",)))
    total = sum(phase.share for phase in config.phases)
    if abs(total - 1) > _ROUNDING:
        found.append(Problem("phases", f"the shares sum to {total:g}, not to 1"))
    return found


PRETRAINING = TaskSpec(
    name="pretraining",
    config=PretrainingConfig,
    summary="Masked pieces, and pairs of segments, of text: pre-training",
    source="Devlin et al. 2019, arXiv:1810.04805",
    build=build,
    splits=splits,
    head=head,
    metrics=metrics,
    targets=targets,
    num_labels=num_labels,
    min_length=min_length,
    check=check,
)
"""Pre-training on text."""
