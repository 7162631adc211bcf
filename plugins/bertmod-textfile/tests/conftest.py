"""A small tree of text files, and the task on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertmod import Task, TaskContext
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.registry import load_registry
from bertmod_textfile.plugin import TextfileConfig, build_textfile

WORDS = {"blame": ("bad", "dull"), "praise": ("good", "fine"), "shrug": ("so", "what")}
OTHERS = ("the", "film", "was", "it")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three labels: 8 texts each to train on, 3 to score; 5 texts without label."""
    draw = random.Random(0)

    def fill(folder: Path, label: str, count: int) -> None:
        folder.mkdir(parents=True)
        for number in range(count):
            words = [*draw.choices(OTHERS, k=4), draw.choice(WORDS[label])]
            (folder / f"{number}.txt").write_text(" ".join(words) + "\n", encoding="utf-8")

    for label in WORDS:
        fill(tmp_path / "reviews/train" / label, label, 8)
        fill(tmp_path / "reviews/dev" / label, label, 3)
    fill(tmp_path / "reviews/test", "praise", 5)
    return tmp_path


@pytest.fixture
def make() -> Callable[..., Task]:
    """Makes the task; its folder is ``reviews`` unless options say otherwise."""
    words = [word for each in WORDS.values() for word in each]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *OTHERS, *words]
    tokenizer = WordPieceTokenizer(pieces, lower_case=True)
    spec: Any = load_registry().get("metric", "accuracy").spec
    metrics = {"accuracy": spec.build(spec.config())}

    def build(*, strict: bool = False, **options: Any) -> Task:
        context = TaskContext("reviews", tokenizer, 12, metrics, strict)
        return build_textfile(TextfileConfig(**{"folder": "reviews", **options}), context)

    return build
