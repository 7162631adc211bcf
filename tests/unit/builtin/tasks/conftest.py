from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bertmod import TaskContext, TaskSpec
from bertmod.builtin.metrics.plugin import bertmod_metrics
from bertmod.builtin.tasks.sentences.facts import GLUE
from bertmod.builtin.tasks.sentences.published import published_task
from bertmod.builtin.tasks.sentences.task import SentenceTask
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##a", "##b", "."]

FILES = {
    "cola": {
        "CoLA/train.tsv": "s\t1\t\ta b\ns\t0\t*\tb a\ns\t1\t\tc\n",
        "CoLA/dev.tsv": "s\t0\t*\ta\ns\t1\t\tb\ns\t1\t\tc\n",
        "CoLA/test.tsv": "index\tsentence\n10\ta b c\n11\td\n",
    },
    "stsb": {
        f"STS-B/{split}.tsv": "index\tsentence1\tsentence2\tscore\n"
        "3\ta\tb\t2.500\n4\tc\td\t0\n7\te\tf\t5\n"
        for split in ("train", "dev")
    }
    | {"STS-B/test.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n1\tc\td\n"},
    "mnli": {
        f"MNLI/{split}.tsv": "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t_\ta\tb\t-\tneutral\n1\t_\tc\td\t-\t-\n2\t_\te\tf\t-\tentailment\n"
        for split in ("train", "dev_matched", "dev_mismatched")
    }
    | {
        f"MNLI/test_{kind}.tsv": "index\tsentence1\tsentence2\n5\ta\tb\n6\tc\td\n"
        for kind in ("matched", "mismatched")
    },
    "ax": {"diagnostic/diagnostic.tsv": "index\tsentence1\tsentence2\n0\ta\tb\n"},
}


@pytest.fixture(scope="session")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(PIECES, lower_case=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with tiny files of some tasks."""
    for files in FILES.values():
        for name, text in files.items():
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    return tmp_path / "data"


@pytest.fixture
def make_task(tokenizer: WordPieceTokenizer) -> Callable[..., SentenceTask]:
    """Builds a task by name; ``strict`` sets strict_data."""

    def make(name: str, *, strict: bool = False, max_length: int = 16) -> SentenceTask:
        context = TaskContext(
            id=name,
            tokenizer=tokenizer,
            max_length=max_length,
            metrics={spec.name: spec.build(spec.config()) for spec in bertmod_metrics()},
            strict_data=strict,
        )
        return published_task(next(facts for facts in GLUE if facts.name == name), context)

    return make


@pytest.fixture
def build_spec(tokenizer: WordPieceTokenizer) -> Callable[..., Any]:
    """Builds the task of a spec; keywords that are no field of the context are options."""

    def build(
        spec: TaskSpec,
        *,
        max_length: int = 16,
        trains: bool = True,
        strict: bool = False,
        **options: Any,
    ) -> Any:
        context = TaskContext(
            id=spec.name,
            tokenizer=tokenizer,
            max_length=max_length,
            metrics={each.name: each.build(each.config()) for each in bertmod_metrics()},
            trains=trains,
            strict_data=strict,
        )
        return spec.build(spec.config.model_validate_json(json.dumps(options)), context)

    return build


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes files, path to text, into a data folder, and gives the folder."""

    def write(files: Mapping[str, str]) -> Path:
        folder = tmp_path / "own"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write
