"""The plain program of the benchmark makes what bertmod makes with Google's draws."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.contenders import PROGRAMS
from benchmarks.pretraining import measure
from bertmod.data.pretraining_files import PretrainingData
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions
from bertmod.registry import load_registry

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef", *(f"##{c}" for c in "abcdef")]


def corpus(folder: Path) -> tuple[Path, Path]:
    """A corpus and its vocabulary."""
    draws = random.Random(0)
    lines = [
        " ".join(draws.choice(["Ab", "fá", "c,", "d", "x"]) for _ in range(draws.randint(0, 30)))
        for _ in range(200)
    ]
    text, vocab = folder / "corpus.txt", folder / "vocab.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    vocab.write_text("\n".join([*PIECES, ","]) + "\n")
    return text, vocab


def test_the_same_rows(tmp_path) -> None:
    text, vocab = corpus(tmp_path)
    program = PROGRAMS / "plain_pretraining.py"
    words = [sys.executable, str(program), str(text), str(vocab), str(tmp_path / "plain")]
    subprocess.run(words, check=True, capture_output=True)
    plain = np.fromfile(tmp_path / "plain", np.int64).reshape(-1, 3 * 128 + 3 * 20 + 1)
    vocabulary = open_vocabulary(vocab, load_registry(), lower_case=True)
    options = PretrainingOptions(random="google")
    make_pretraining_data([str(text)], vocabulary, tmp_path / "out", options)
    data = PretrainingData(tmp_path / "out")
    assert len(data) == len(plain) > 50
    for number, row in enumerate(plain):
        own = data[number]
        assert row[: row[128:256].sum()].tolist() == own["tokens"].tolist()
        assert row[256:384].sum() == len(own["tokens"]) - own["first_lengths"]
        masks = row[424:444].sum()
        assert row[384 : 384 + masks].tolist() == own["masked_positions"].tolist()
        assert row[404 : 404 + masks].tolist() == own["masked_labels"].tolist()
        assert row[-1] == own["next_sentence_labels"]


def test_the_table(tmp_path) -> None:
    text, vocab = corpus(tmp_path)
    sizes = {"sizes": [0.01], "plain_sizes": [0.01], "workers": [1], "repeats": 1}
    page = measure(text, vocab, tmp_path / "found.json", **sizes)
    rows = [line for line in page.splitlines() if line.startswith("| 0.01")]
    assert [row.split(" | ")[1] for row in rows] == ["bertmod", "plain Python"]
    assert rows[1].endswith(" | 1.0 |")
    assert (tmp_path / "found.md").read_text() == page
