"""Options of ``xnli`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from bertmod import ComponentConfig, Role, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.sentences.facts import SentenceFacts, SplitFile

Language = Literal[
    "ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"
]

_LABELS = ("contradiction", "entailment", "neutral")
_HOMES = ("XNLI/", "", "XNLI-1.0/")
_TRAIN_HOMES = ("XNLI/", "XNLI/multinli/", "multinli/", "XNLI-MT-1.0/multinli/")


class XnliConfig(ComponentConfig):
    """Options of ``xnli``."""

    language: Language = Field("zh", description="Language of the dev and test rows.")
    train_language: Language | None = Field(
        None,
        description="Language of the training rows, which are MultiNLI's translated; null: as "
        "language.",
    )


def facts(config: XnliConfig) -> SentenceFacts:
    """The files of its languages, and the rows in them."""
    train = f"multinli.train.{config.train_language or config.language}.tsv"
    return SentenceFacts(
        name="xnli",
        summary=_SUMMARY,
        source=_SOURCE,
        splits={
            "train": SplitFile("train", tuple(home + train for home in _TRAIN_HOMES), (0, 1), 2),
            "dev": _evaluated("dev", config.language),
            "test": _evaluated("test", config.language),
        },
        metrics=("accuracy",),
        labels=_LABELS,
        fields=(("text", "sentence1", "premise"), ("text_pair", "sentence2", "hypothesis")),
        renamed={"contradictory": "contradiction"},
    )


def _evaluated(split: Role, language: str) -> SplitFile:
    """Rows of one language in a file of all fifteen."""
    paths = tuple(f"{home}xnli.{split}.tsv" for home in _HOMES)
    return SplitFile(split, paths, (6, 7), "gold_label", only=("language", language))


def build(config: XnliConfig, context: TaskContext) -> Task:
    """The task."""
    from bertmod.builtin.tasks.sentences.published import published_task

    return published_task(facts(config), context)


def splits(config: XnliConfig) -> Mapping[str, Role]:
    """Its splits and what each is for."""
    return {name: file.role for name, file in facts(config).splits.items()}


def head(config: XnliConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    del config
    return {"name": "bertmod/classification"}


def metrics(config: XnliConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of the splits with labels; the test split, too, has them."""
    found = facts(config)
    return {name: found.metrics for name in found.splits if name != "train"}


def targets(config: XnliConfig) -> Mapping[str, str]:
    """The targets of its features."""
    del config
    return {"labels": "class"}


def num_labels(config: XnliConfig) -> int:
    """The number of its labels."""
    del config
    return len(_LABELS)


_SUMMARY = "Does the second sentence follow, contradict or neither, in one of 15 languages? (XNLI)"
_SOURCE = "Conneau et al. 2018, arXiv:1809.05053; files as google-research/bert run_classifier.py"

XNLI = TaskSpec(
    name="xnli",
    config=XnliConfig,
    summary=_SUMMARY,
    source=_SOURCE,
    build=build,
    splits=splits,
    head=head,
    metrics=metrics,
    targets=targets,
    num_labels=num_labels,
)
"""MultiNLI's question in other languages."""
