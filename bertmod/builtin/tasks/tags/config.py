"""Options of tasks that tag words, and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from bertmod import ComponentConfig, Problem
from bertmod.builtin.tasks.tags.schemes import is_tag


class TaggingConfig(ComponentConfig):
    """Options of every task that tags words."""

    labels: tuple[str, ...] | None = Field(
        None,
        description="Every tag, in the order of the logits, entities as in IOB2; null: those of "
        "the training data.",
    )
    scheme: Literal["auto", "iob1", "iob2", "none"] = Field(
        "auto",
        description="What the tags of the files are. iob1: parts of entities, B- only between "
        "two entities of one type; iob2: parts of entities, each beginning with B-; auto: "
        "whichever of the two the training data shows; none: a class of each word, such as a "
        "part of speech.",
    )
    doc_stride: int | None = Field(
        None,
        ge=1,
        description="Sentences longer than a row are cut into windows that begin so many pieces "
        "after one another, at least 1; null: half a row.",
    )


def metric_names(config: TaggingConfig) -> tuple[str, ...]:
    """Metrics of a split with tags, the main one first."""
    if config.scheme == "none":
        return ("accuracy",)
    return ("f1", "precision", "recall", "accuracy")


def tagging_head(config: TaggingConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    del config
    return {"name": "bertmod/token_classification"}


def tagging_targets(config: TaggingConfig) -> Mapping[str, str]:
    """``words``: positions of the words' first pieces; ``labels``: their classes."""
    del config
    return {"words": "positions", "labels": "classes"}


def tagging_num_labels(config: TaggingConfig) -> int | None:
    """How many tags there are; None if the training data tells."""
    return None if config.labels is None else len(config.labels)


def tagging_problems(config: TaggingConfig) -> Sequence[Problem]:
    """What is wrong with the stated labels."""
    labels = config.labels
    if labels is None:
        return ()
    if len(labels) < 2 or len(set(labels)) < len(labels):
        return (Problem("labels", "the tags must be two or more, each once"),)
    odd = [label for label in labels if not is_tag(label)]
    if odd and config.scheme != "none":
        return (
            Problem(
                "labels",
                f'"{odd[0]}" is no tag of an entity',
                (
                    'accepted: "O", and "B-" or "I-" with a type behind it',
                    'for tags that are no parts of entities: "scheme": "none"',
                ),
            ),
        )
    return ()
