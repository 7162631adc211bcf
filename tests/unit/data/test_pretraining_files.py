"""The memory-mapped instances and Google's records, as a reader meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertmod.data.pretraining_files import PretrainingData
from bertmod.data.pretraining_records import read_records, record_lengths
from bertmod.errors import DataError
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions
from bertmod.registry import load_registry

LETTERS = "abcdefgh"

LENGTHS = {"max_seq_length": 24, "max_predictions_per_seq": 20, "vocab_size": 13}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes data of a few documents."""
    folder = tmp_path_factory.mktemp("data")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    draws = np.random.default_rng(0)
    sentences = [" ".join(draws.choice(list(LETTERS), 6)) for _ in range(60)]
    lines = [f"{text}\n" if n % 7 else f"\n{text}\n" for n, text in enumerate(sentences)]
    (folder / "corpus.txt").write_text("".join(lines))

    def run(name: str, **options) -> Path:
        made_with = {"max_seq_length": 24, "dupe_factor": 3, "shard_instances": 10, **options}
        make_pretraining_data(
            [str(folder / "corpus.txt")],
            open_vocabulary(folder / "vocab.txt", load_registry(), lower_case=None),
            folder / name,
            PretrainingOptions(**made_with),
        )
        return folder / name

    return run


def test_rows_one_by_one_and_together(make) -> None:
    data = PretrainingData(make("one"))
    assert len(data.header["shards"]) > 2
    assert len(data.row_lengths()) == len(data)
    order = np.random.default_rng(1).permutation(len(data))[:25]
    taken = data.take(order)
    assert len(taken) == 25
    for number, index in enumerate(order.tolist()):
        one, same = data[index], taken.row(number)
        assert one.keys() == same.keys()
        for name in one:
            assert np.array_equal(one[name], same[name]), name
        assert len(one["tokens"]) == data.row_lengths()[index] <= 24
    assert len(data.take(np.zeros(0, np.int64))) == 0
    with pytest.raises(IndexError):
        data.take(np.array([len(data)]))


def test_masks_go_back_to_the_text(make) -> None:
    """With the labels in their places, rows are those of the same data without masks."""
    static, dynamic = (PretrainingData(make(kind, masking=kind)) for kind in ("static", "dynamic"))
    assert len(static) == len(dynamic)
    for number in range(len(static)):
        row = static[number]
        tokens = row["tokens"].copy()
        tokens[row["masked_positions"]] = row["masked_labels"]
        assert np.array_equal(tokens, dynamic[number]["tokens"])


def test_what_is_damaged_is_told(make) -> None:
    folder = make("damaged")
    data = PretrainingData(folder)
    data.verify()
    data.require_vocabulary(data.header["vocabulary"]["sha256"])
    with pytest.raises(DataError, match=r"made with another vocabulary .*vocab\.txt, 13 pieces"):
        data.require_vocabulary("0" * 64)
    path = folder / "shard-00001" / "tokens.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"tokens\.npy: is damaged: its SHA-256 is not that of"):
        data.verify()
    path.write_bytes(content[:-2])
    with pytest.raises(DataError, match=r"tokens\.npy: [\d,]+ bytes, not [\d,]+\n  make the data"):
        PretrainingData(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"tokens\.npy: missing"):
        PretrainingData(folder)


def test_other_folders_are_refused(make, tmp_path) -> None:
    with pytest.raises(DataError, match="no pre-training data"):
        PretrainingData(tmp_path)
    header = make("version") / "data.json"
    content = json.loads(header.read_text())
    header.write_text(json.dumps({**content, "format_version": 9}))
    with pytest.raises(DataError, match="version 9 of the format; this bertmod reads 1"):
        PretrainingData(header.parent)


def test_records_of_another_kind(make) -> None:
    pytest.importorskip("tensorflow")
    path = make("records", form="tfrecord", shard_instances=1000)
    path = path / "pretraining-00000-of-00001.tfrecord"
    right = LENGTHS
    rows = list(read_records(path, **right))
    assert len(rows) > 20
    with pytest.raises(DataError, match="record 1: input_ids has 24 values, not 32"):
        list(read_records(path, **{**right, "max_seq_length": 32}))
    with pytest.raises(DataError, match="record 1: masked_lm_positions has 20 values, not 5"):
        list(read_records(path, **{**right, "max_predictions_per_seq": 5}))
    with pytest.raises(DataError, match=r"record \d+: piece \d+, but the vocabulary has 8"):
        list(read_records(path, **{**right, "vocab_size": 8}))
    assert record_lengths(path) == (24, 20)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=f"cannot be read behind record {len(rows) - 1}: "):
        list(read_records(path, **right))


@pytest.mark.parametrize(
    "reader", [record_lengths, lambda path: list(read_records(path, **LENGTHS))]
)
def test_records_of_something_else(tmp_path, reader) -> None:
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "other.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff no example")
    with pytest.raises(DataError, match=r"a record that is no tf\.train\.Example"):
        reader(path)


def test_records_of_other_keys(tmp_path) -> None:
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "glue.tf_record"
    ids = tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2]))
    example = tf.train.Example(features=tf.train.Features(feature={"input_ids": ids}))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(DataError, match="its records lack input_mask, segment_ids, masked_lm_pos"):
        record_lengths(path)
