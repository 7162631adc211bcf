"""XNLI: rows of one language out of files of fifteen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertmod import DataError, TaskContext
from bertmod.builtin.metrics.plugin import bertmod_metrics
from bertmod.builtin.tasks.sentences.task import SentenceTask
from bertmod.builtin.tasks.sentences.xnli_config import XNLI, XnliConfig

HEADER = [
    *("language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "promptID", "pairID"),
    *("genre", "label1", "label2", "label3", "label4", "label5"),
    *("sentence1_tokenized", "sentence2_tokenized", "match"),
]


def evaluated(rows: list[tuple[str, str]]) -> str:
    """A dev or test file: (language, label) of each row."""
    lines = [HEADER] + [
        [language, label, *([""] * 4), f'a "{n}', f"b {language}", *(["x"] * 11)]
        for n, (language, label) in enumerate(rows)
    ]
    return "".join("\t".join(line) + "\n" for line in lines)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [("de", "neutral"), ("zh", "contradiction"), ("de", "entailment"), ("zh", "neutral")]
    files = {
        "XNLI/multinli.train.zh.tsv": "premise\thypo\tlabel\na b\tc\tcontradictory\n"
        "b\td\tneutral\n",
        "XNLI/xnli.dev.tsv": evaluated(rows),
        "XNLI/xnli.test.tsv": evaluated(rows[:2]),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def make(tokenizer) -> Callable[..., SentenceTask]:
    def make(*, trains: bool = True, **options: str) -> SentenceTask:
        metrics = {spec.name: spec.build(spec.config()) for spec in bertmod_metrics()}
        context = TaskContext("xnli", tokenizer, 16, metrics, trains=trains)
        return XNLI.build(XnliConfig(**options), context)

    return make


def test_rows_of_the_language_alone(make, data: Path) -> None:
    task = make()
    info = task.setup(data)
    assert info.labels == ("contradiction", "entailment", "neutral")
    assert list(task.read("train")) == [
        {"id": "0", "texts": ("a b", "c"), "label": "contradiction"},
        {"id": "1", "texts": ("b", "d"), "label": "neutral"},
    ]
    assert list(task.read("dev")) == [
        {"id": "1", "texts": ('a "1', "b zh"), "label": "contradiction"},
        {"id": "3", "texts": ('a "3', "b zh"), "label": "neutral"},
    ]
    assert task.read("test").labels == ["contradiction"]
    assert XNLI.metrics(XnliConfig()) == {"dev": ("accuracy",), "test": ("accuracy",)}


def test_another_language_needs_no_training_file_where_it_uses_a_head(make, data: Path) -> None:
    task = make(language="de", trains=False)
    task.setup(data)
    assert task.read("dev").ids == ["0", "2"]
    with pytest.raises(DataError, match=r"multinli\.train\.de\.tsv: no such file, task "):
        make(language="de").setup(data)
    make(language="de", train_language="zh").setup(data)


def test_a_language_that_is_not_there(make, data: Path) -> None:
    task = make(language="sw", train_language="zh")
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("dev")
    assert str(caught.value) == (
        f'{data}/XNLI/xnli.dev.tsv: no row has "sw" in column "language"\n  it has: "de", "zh"'
    )


def test_files_of_another_form(make, data: Path) -> None:
    (data / "XNLI" / "xnli.dev.tsv").write_text("language\tgold_label\nzh\tneutral\n")
    task = make()
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("dev")
    assert str(caught.value) == (
        f"{data}/XNLI/xnli.dev.tsv: the first line is not the header expected: no column number 7, "
        'number 8\n  found: "language", "gold_label"\n  expected: tab-separated rows under a '
        'header line with the columns number 7, number 8, "gold_label", "language"'
    )


@pytest.mark.parametrize(
    "home", ["multinli", "XNLI/multinli", "XNLI-MT-1.0/multinli"], ids=lambda home: home
)
def test_where_the_archives_put_the_files(make, data: Path, home: str) -> None:
    (data / home).mkdir(parents=True)
    (data / "XNLI/multinli.train.zh.tsv").rename(data / home / "multinli.train.zh.tsv")
    (data / "XNLI-1.0").mkdir()
    (data / "XNLI/xnli.dev.tsv").rename(data / "XNLI-1.0/xnli.dev.tsv")
    task = make()
    task.setup(data)
    assert len(task.read("train")) == len(task.read("dev")) == 2
