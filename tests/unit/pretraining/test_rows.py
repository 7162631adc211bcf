"""What our own draws put into rows, against the text that they come from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertmod.data.pretraining_files import PretrainingData
from bertmod.pretraining import corpus as corpus_module
from bertmod.pretraining import rows as rows_module
from bertmod.pretraining.corpus import corpus_files, line_blocks, slices
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions
from bertmod.pretraining.words import Words
from bertmod.registry import load_registry

NUM_WORDS = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A corpus in which every word stands once, so that it tells where it is."""
    folder = tmp_path_factory.mktemp("rows")
    words = [f"w{number}" for number in range(NUM_WORDS)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    draws, text, left = random.Random(5), [], list(words)
    while left:
        for _ in range(draws.randint(1, 30)):
            text.append(" ".join(left[: (size := draws.randint(1, 12))]))
            left = left[size:]
        text.append("")
    (folder / "corpus.txt").write_text("\n".join(text) + "\n")
    return folder


def made(folder: Path, out: Path, **options: Any) -> list[dict[str, np.ndarray]]:
    given = {"max_seq_length": 32, "masking": "dynamic", **options}
    vocabulary = open_vocabulary(folder / "vocab.txt", load_registry(), lower_case=None)
    corpus = [str(folder / "corpus.txt")]
    make_pretraining_data(corpus, vocabulary, out, PretrainingOptions(**given))
    data = PretrainingData(out)
    return [data[number] for number in range(len(data))]


def documents(folder: Path) -> np.ndarray:
    """Document of each word."""
    found, number = [], 0
    for line in (folder / "corpus.txt").read_text().split("\n"):
        number += not line
        found += [number] * len(line.split())
    return np.array(found)


def segments(row: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Words of the two segments, as numbers."""
    first = int(row["first_lengths"])
    words = row["tokens"].astype(np.int64) - 5
    return words[1 : first - 1], words[first:-1]


def test_pairs_are_runs_of_text(folder, tmp_path) -> None:
    rows = made(folder, tmp_path / "out", dupe_factor=20)
    document, labels = documents(folder), []
    for row in rows:
        first, second = segments(row)
        assert 2 <= len(first) + len(second) <= 29
        for run in (first, second):
            assert len(run)
            assert (np.diff(run) == 1).all()
            assert len(set(document[run])) == 1
        label = int(row["next_sentence_labels"])
        assert label == (document[first[0]] != document[second[0]])
        if not label:
            assert second[0] > first[-1]
        labels.append(label)
    assert set(np.concatenate([segments(row)[0] for row in rows])) >= set(range(0, 100))
    # Rows of more sentences than one are random by a coin; the others all are.
    assert 0.5 < np.mean(labels) < 0.75


def test_rows_use_all_the_text(folder, tmp_path) -> None:
    """Without cuts, a pass's first segments and following second ones are the whole text."""
    rows = made(folder, tmp_path / "out", dupe_factor=1, next_sentence="none", short_seq_prob=0)
    seen = np.concatenate([segments(row)[0] for row in rows])
    assert len(seen) == len(set(seen.tolist()))
    assert len(seen) > 0.8 * NUM_WORDS  # what was cut off is lost, as in the original


def test_sentence_order(folder, tmp_path) -> None:
    rows = made(folder, tmp_path / "out", dupe_factor=20, next_sentence="sop")
    document, labels = documents(folder), []
    for row in rows:
        first, second = segments(row)
        labels.append(int(row["next_sentence_labels"]))
        assert document[first[0]] == document[second[0]]
        assert (second[0] < first[0]) == labels[-1]
    assert abs(np.mean(labels) - 0.5) < 5 * 0.5 / len(rows) ** 0.5


def test_short_rows(folder, tmp_path) -> None:
    rows = made(folder, tmp_path / "all", dupe_factor=10, short_seq_prob=1, next_sentence="none")
    lengths = np.array([len(row["tokens"]) for row in rows])
    long = made(folder, tmp_path / "none", dupe_factor=10, short_seq_prob=0, next_sentence="none")
    assert lengths.mean() < 0.8 * np.mean([len(row["tokens"]) for row in long])


def test_truncation_takes_from_both_ends() -> None:
    count = 20_000
    whole = rows_module.Segments(np.zeros(count, np.int64), np.full(count, 300))
    bits = rows_module.random_bits(np.array([3], np.uint64), np.arange(count))
    for excess in (1, 64, 65, 200):
        cut = rows_module._shorter(whole, np.full(count, excess), bits)
        assert (cut.length == 300 - excess).all()
        assert 0 <= cut.start.min() <= cut.start.max() <= excess
        error = 5 * (excess / 4 / count) ** 0.5
        assert abs(cut.start.mean() - excess / 2) < error
        assert abs(cut.start.var() - excess / 4) < 0.1 * excess / 4


def test_the_grouping_changes_nothing(folder, tmp_path, monkeypatch) -> None:
    """Which documents a process plans together, and where slices end, is not in the rows."""

    def texts(rows: list[dict[str, np.ndarray]]) -> list[tuple[int, ...]]:
        return sorted(tuple(row["tokens"].tolist()) for row in rows)

    usual = texts(made(folder, tmp_path / "usual", masking="static"))
    monkeypatch.setattr(rows_module, "SLICE_PIECES", 100)
    monkeypatch.setattr(rows_module, "_LANES", 30)
    monkeypatch.setattr(corpus_module, "SLICE_BYTES", 500)
    monkeypatch.setattr(corpus_module, "BLOCK_BYTES", 60)
    assert texts(made(folder, tmp_path / "small", masking="static")) == usual
    other = texts(made(folder, tmp_path / "other", masking="static", random_seed=1))
    assert len(set(other) & set(usual)) < 0.05 * len(usual)


def test_slices_give_every_line_once(tmp_path, monkeypatch) -> None:
    draws = random.Random(0)
    lines = ["é" * draws.choice([0, 0, 1, 5, 80, 700]) for _ in range(400)]
    (tmp_path / "a.txt").write_bytes("\r\n".join(["\ufeffa", *lines, "end"]).encode())
    monkeypatch.setattr(corpus_module, "SLICE_BYTES", 1000)
    monkeypatch.setattr(corpus_module, "BLOCK_BYTES", 64)
    parts = slices(corpus_files([str(tmp_path / "a.txt")]))
    assert len(parts) > 20
    assert sum(part.size for part in parts) == (tmp_path / "a.txt").stat().st_size
    found = [line for part in parts for block in line_blocks(part) for line in block]
    assert found == ["a", *lines, "end"]


def test_words_give_the_tokenizers_pieces(folder, monkeypatch) -> None:
    """Cut word by word, with blanks of every kind between words, and forgotten in between."""
    registry = load_registry()
    tokenizer = open_vocabulary(folder / "vocab.txt", registry, lower_case=True).tokenizer
    texts = ["W1  w2\tw3", "", "w4\u00a0w5,w6", " ", "\u200b", "w7\u2028w8 \x1c w9w1", "ΣΑΣ Σ w1"]
    texts.append(" ".join(f"w{n},\u200bw{n % 7}É" for n in range(200)))
    table = tokenizer.texts(texts)
    monkeypatch.setattr("bertmod.pretraining.words.KNOWN_WORDS", 3)
    words = Words(tokenizer, np.dtype(np.int32))
    for _ in range(2):
        pieces, lengths = words.pieces(texts)
        assert pieces.tolist() == table.ids.tolist()
        assert lengths.tolist() == np.diff(table.bounds).tolist()
