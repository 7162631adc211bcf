"""Google's pre-training data, instance for instance, and its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertmod.builtin.tokenizers.vocabulary import read_vocabulary
from bertmod.data.pretraining_files import PretrainingData
from bertmod.data.pretraining_records import LABEL_KEY, WEIGHTS_KEY, read_records
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions
from bertmod.registry import load_registry

pytestmark = pytest.mark.shared

RUNS = ("plain", "whole_word", "defaults")


@pytest.fixture(scope="module")
def case(golden: Path) -> Path:
    return golden / "08_pretraining_data"


@pytest.fixture(scope="module")
def vocab(glue: Path) -> Path:
    return glue / "vocab" / "uncased.txt"


def made(name: str, case: Path, vocab: Path, out: Path, **more: Any) -> Path:
    """The data of one of the original's runs."""
    info = json.loads((case / "case.json").read_text(encoding="utf-8"))
    run = next(run for run in info["runs"] if run["name"] == name)
    options = PretrainingOptions(
        max_seq_length=run["max_seq_length"],
        max_predictions_per_seq=run["max_predictions_per_seq"],
        random_seed=run["random_seed"],
        dupe_factor=run["dupe_factor"],
        masked_lm_prob=run["masked_lm_prob"],
        short_seq_prob=run["short_seq_prob"],
        whole_word_mask=run["do_whole_word_mask"],
        random="google",
        **more,
    )
    vocabulary = open_vocabulary(vocab, load_registry(), lower_case=True)
    found = make_pretraining_data([str(case / "text.txt")], vocabulary, out, options)
    assert {name: found[name] for name in ("instances", "masked", "random_next")} == {
        name: run[name] for name in ("instances", "masked", "random_next")
    }
    return out


def theirs(name: str, case: Path) -> list[dict[str, Any]]:
    text = (case / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", RUNS)
def test_instance_for_instance(name, case, vocab, tmp_path) -> None:
    data = PretrainingData(made(name, case, vocab, tmp_path / "out"))
    pieces = read_vocabulary(str(vocab))
    wanted = theirs(name, case)
    assert len(data) == len(wanted)
    for number, instance in enumerate(wanted):
        row = data[number]
        tokens = [pieces[token] for token in row["tokens"]]
        first = int(row["first_lengths"])
        assert " ".join(tokens) == instance["tokens"]
        assert "0" * first + "1" * (len(tokens) - first) == instance["segment_ids"]
        assert row["masked_positions"].tolist() == instance["masked_lm_positions"]
        assert [pieces[i] for i in row["masked_labels"]] == instance["masked_lm_labels"]
        assert bool(row["next_sentence_labels"]) is instance["is_random_next"]


def test_records_as_the_original_wrote_them(case, vocab, tmp_path) -> None:
    tf = pytest.importorskip("tensorflow")
    out = made("defaults", case, vocab, tmp_path / "out", form="tfrecord")
    ours = out / "pretraining-00000-of-00001.tfrecord"
    sizes = {"max_seq_length": 128, "max_predictions_per_seq": 20, "vocab_size": 30522}
    rows = list(read_records(ours, **sizes))
    stored = list(read_records(case / "defaults_first_6.tf_record", **sizes))
    assert (len(rows), len(stored)) == (38, 6)
    for row, wanted in zip(rows, stored, strict=False):
        assert row.keys() == wanted.keys()
        for key in wanted:
            assert np.array_equal(row[key], wanted[key]), key
    # What the original's input function does with each record of a file.
    spec = {
        name: tf.io.FixedLenFeature([length], kind)
        for name, length, kind in (
            ("input_ids", 128, tf.int64),
            ("input_mask", 128, tf.int64),
            ("segment_ids", 128, tf.int64),
            ("masked_lm_positions", 20, tf.int64),
            ("masked_lm_ids", 20, tf.int64),
            (WEIGHTS_KEY, 20, tf.float32),
            (LABEL_KEY, 1, tf.int64),
        )
    }
    parsed = [tf.io.parse_single_example(text, spec) for text in tf.data.TFRecordDataset(str(ours))]
    assert len(parsed) == len(rows)
    for example, row in zip(parsed, rows, strict=True):
        assert all(np.array_equal(example[key].numpy(), row[key]) for key in spec)
