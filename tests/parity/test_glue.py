"""GLUE's real files: every row is read, and features come back from the cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bertmod import TaskContext
from bertmod.builtin.metrics.plugin import bertmod_metrics
from bertmod.builtin.tasks.sentences.facts import GLUE
from bertmod.builtin.tasks.sentences.published import published_task
from bertmod.builtin.tasks.sentences.task import SentenceTask
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.data.cache import cached_features

pytestmark = pytest.mark.shared

# Rows of the data's own README, the header not counted.
COUNTS = {
    "cola": {"train": 8551, "dev": 1043, "test": 1063},
    "sst2": {"train": 67349, "dev": 872, "test": 1821},
    "mrpc": {"train": 3668, "dev": 408, "test": 1725},
    "stsb": {"train": 5749, "dev": 1500, "test": 1379},
    "rte": {"train": 2490, "dev": 277, "test": 3000},
    "wnli": {"train": 635, "dev": 71, "test": 146},
    "qnli": {"train": 9999, "dev": 5463},
    "qqp": {"train": 12000, "dev": 5000},
    "mnli": {"train": 9999, "dev_matched": 9815, "dev_mismatched": 1000},
}
SPLITS = [(task, split) for task, counts in COUNTS.items() for split in counts]


@pytest.fixture(scope="module")
def tokenizer(glue: Path) -> WordPieceTokenizer:
    pieces = (glue / "vocab" / "uncased.txt").read_bytes().decode().rstrip("\n").split("\n")
    return WordPieceTokenizer(pieces, lower_case=True)


@pytest.fixture
def make_task(tokenizer: WordPieceTokenizer):
    def make(name: str) -> SentenceTask:
        metrics = {spec.name: spec.build(spec.config()) for spec in bertmod_metrics()}
        context = TaskContext(name, tokenizer, 128, metrics, strict_data=True)
        return published_task(next(facts for facts in GLUE if facts.name == name), context)

    return make


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_every_row_is_read(glue, make_task, name, split) -> None:
    task = make_task(name)
    info = task.setup(glue)
    examples = task.read(split)
    assert len(examples) == COUNTS[name][split]
    assert len(set(examples.ids)) == len(examples)
    labels = None if examples.labels is None else set(examples.labels)
    if split.startswith("test"):
        assert labels is None
    elif name == "stsb":
        assert min(labels) >= 0.0
        assert max(labels) <= 5.0
    else:
        assert labels == set(info.labels)


def test_known_rows(glue, make_task) -> None:
    mrpc, mnli, stsb = make_task("mrpc"), make_task("mnli"), make_task("stsb")
    for task in (mrpc, mnli, stsb):
        task.setup(glue)
    first = mrpc.read("dev")[0]
    assert (first["id"], first["label"]) == ("0", "1")
    assert first["texts"][0].startswith("He said the foodservice pie business")
    assert first["texts"][1].startswith('"The foodservice pie business')  # an unbalanced quote
    assert mnli.read("dev_matched")[0] == {
        "id": "0",
        "texts": (
            "The new rights are nice enough",
            "Everyone really likes the newest benefits ",
        ),
        "label": "neutral",
    }
    assert stsb.read("dev")[1]["label"] == 4.75


def test_majority_baselines(glue, make_task) -> None:
    published = {"cola": 0.691, "mrpc": 0.684, "sst2": 0.509, "rte": 0.527, "wnli": 0.563}
    for name, share in published.items():
        task = make_task(name)
        task.setup(glue)
        assert task.baseline(task.read("dev"))["accuracy"] == pytest.approx(share, abs=5e-4)


def test_features_match_their_examples(glue, make_task) -> None:
    task = make_task("rte")
    info = task.setup(glue)
    examples = task.read("dev")
    table = task.features(examples, info, ())
    counts = Counter(np.asarray(table.targets["labels"].values).tolist())
    names = Counter(examples.labels)
    assert {info.labels[code]: count for code, count in counts.items()} == names
    assert int(table.lengths.max()) == 128
    assert all(table[i].rows[0]["input_ids"][0] == 101 for i in range(len(table)))


def test_the_second_start_makes_nothing(glue, make_task, tmp_path) -> None:
    task = make_task("sst2")
    info = task.setup(glue)
    key = {"tokenizer": "uncased", "task": "sst2", "max_length": "128"}
    files = task.files(glue, "train")

    def features(make):
        return cached_features(tmp_path, files=files, key=key, make=make)

    first = features(lambda: task.features(task.read("train"), info, ()))
    again = features(lambda: pytest.fail("made again"))
    assert len(again) == 67349
    assert np.array_equal(first.lengths, again.lengths)
