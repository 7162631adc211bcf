"""Options of ``xnli`` and what follows from them without data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, Role
from bertmod.builtin.tasks.sentences.facts import SentenceFacts, SplitFile
from bertmod.builtin.tasks.sentences.published_config import published_spec

Language = Literal[
    "ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"
]

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
        summary="Does the second sentence follow, contradict or neither, in one of 15 languages? "
        "(XNLI)",
        source="Conneau et al. 2018, arXiv:1809.05053; files as google-research/bert "
        "run_classifier.py",
        splits={
            "train": SplitFile("train", tuple(home + train for home in _TRAIN_HOMES), (0, 1), 2),
            "dev": _evaluated("dev", config.language),
            "test": _evaluated("test", config.language),
        },
        metrics=("accuracy",),
        labels=("contradiction", "entailment", "neutral"),
        fields=(("text", "sentence1", "premise"), ("text_pair", "sentence2", "hypothesis")),
        renamed={"contradictory": "contradiction"},
    )


def _evaluated(split: Role, language: str) -> SplitFile:
    """Rows of one language in a file of all fifteen."""
    paths = tuple(f"{home}xnli.{split}.tsv" for home in _HOMES)
    return SplitFile(split, paths, (6, 7), "gold_label", only=("language", language))


XNLI = published_spec(XnliConfig, facts)
"""MultiNLI's question in other languages."""
