"""The benchmark of pre-training steps on a few rows; transformers itself is not needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import pretraining_steps
from benchmarks.pretraining_steps import CONTENDERS, Work, make_rows, operations, own_round, page
from benchmarks.series import BUSY
from bertmod.data.pretraining_files import PretrainingData
from bertmod.errors import DataError

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def corpus(folder: Path) -> tuple[Path, Path]:
    """A corpus and its vocabulary."""
    text, vocab = folder / "corpus.txt", folder / "vocab.txt"
    document = "a b c d\nb c\nd a b c a d\nc c d\n" * 5
    text.write_text("\n".join([document] * 20))
    vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcd"]))
    return text, vocab


@pytest.fixture(scope="module")
def program(load_program: Callable[[str], ModuleType]) -> ModuleType:
    return load_program("transformers_pretraining_steps")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Eight rows."""
    folder = tmp_path_factory.mktemp("steps")
    text, vocab = corpus(folder)
    made = Work(folder / "work", vocab, "tiny", steps=4, rounds=1, threads=1, batch_size=2)
    make_rows(text, made)
    return made


def test_a_corpus_that_is_too_small(tmp_path: Path) -> None:
    text, vocab = corpus(tmp_path)
    wanted = Work(tmp_path / "work", vocab, "tiny", steps=5000, rounds=1, threads=1)
    with pytest.raises(DataError, match="but a round has 160,000"):
        make_rows(text, wanted)


def test_the_peer_is_given_the_same_rows(work: Work, program: ModuleType) -> None:
    data, rows = PretrainingData(work.data), program.read_rows(work.shard)
    assert len(data) == len(rows) == 8
    batch = program.padded(rows)
    assert batch["input_ids"].shape == batch["labels"].shape == (8, data.row_lengths().max())
    for number in range(8):
        own, length = data[number], data.row_lengths()[number]
        assert batch["attention_mask"][number].sum() == length
        assert batch["input_ids"][number, :length].tolist() == own["tokens"].tolist()
        assert batch["token_type_ids"][number].sum() == length - own["first_lengths"]
        labels = batch["labels"][number]
        assert np.flatnonzero(labels != -100).tolist() == own["masked_positions"].tolist()
        assert labels[labels != -100].tolist() == own["masked_labels"].tolist()
        assert batch["next_sentence_label"][number] == own["next_sentence_labels"]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_peer_trains_on_every_row_once(program: ModuleType, grouped: bool) -> None:
    rows = [{"input_ids": np.full(length, length)} for length in (5, 9, 6, 8, 7)]
    draw = np.random.default_rng(1)
    lengths = [
        [len(row["input_ids"]) for row in batch]
        for batch in program.batches(rows, 2, grouped=grouped, draw=draw)
    ]
    assert sorted(length for batch in lengths for length in batch) == [5, 6, 7, 8, 9]
    assert grouped == (sorted(lengths) == [[5, 6], [7, 8], [9]])


def test_own_rounds(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretraining_steps.SHAPES, "tiny", TINY)
    found = [own_round(work, "fp32") for _ in range(2)]
    rows = work.rows()
    for each in found:
        assert (each["rows"], each["steps"], each["precision"]) == (8, 4, "fp32")
        assert each["tokens"] == each["computed"] == rows["tokens"]


def test_operations() -> None:
    layer = 2 * 5 * (4 * 16**2 + 2 * 16 * 32) + 4 * 16 * (2**2 + 3**2)
    heads = 2 * 1 * (16**2 + 16 * 100)
    assert operations(np.array([2, 3]), 1, TINY, vocab_size=100) == 3 * (layer + heads)


def test_the_page_is_of_the_numbers() -> None:
    seconds = {
        "bertmod auto": (1.0, 2.0, 1.0),
        "transformers bf16": (4.0, 4.0, 9.0),
        "transformers bf16 grouped": (2.0, 3.0, 1.6),
        "bertmod fp32": (4.0, 4.0, 4.0),
        "transformers fp32": (8.0, 8.0, 8.0),
    }
    measured: dict[str, list[dict[str, Any]]] = {
        each.name: [{"seconds": value, "computed": 150} for value in seconds[each.name]]
        for each in CONTENDERS
    }
    for run in measured["bertmod auto"]:
        run |= {"computed": 100, "precision": "bf16"}
    data = {"rows": 8, "tokens": 100, "mean_length": 12.5, "masked": 9, "vocabulary": 20}
    found = page(
        {
            **{"shape": "tiny", "steps": 4, "rounds": 3, "threads": 1, "batch_size": 2},
            **{"length": 128, "busy": True, "command": "it", "machine": {}, "bf16_rate": 1e9},
            "versions": {"bertmod": {}, "transformers": {}},
            "data": {**data, "operations": 5e8},
            "measured": measured,
        }
    )
    assert "| bertmod auto | bf16 | 0.250 | 100 | 1.000 | 50% | 1.60 |" in found
    assert "| transformers bf16 grouped | bf16 | 0.500 | 50 | 1.500 | 25% | 1.00 |" in found
    assert "| bertmod fp32 | fp32 | 1.000 | 25 | 1.500 |  | 0.50 |" in found
    assert "(transformers bf16 grouped)" in found
    assert BUSY in found
