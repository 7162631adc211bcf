"""What the benchmark of windows compares; nothing is timed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversion import Found, num_equal, own_windows
from benchmarks.questions import QUESTIONS, SETTINGS, first_questions

VOCAB = Path("vocab/uncased.txt")


def found(*windows: tuple[str, list[int]]) -> Found:
    lengths = [len(tokens) for _, tokens in windows]
    ids = np.array([token for _, tokens in windows for token in tokens])
    return Found.of([name for name, _ in windows], ids, np.cumsum([0, *lengths]))


def test_questions_are_equal_if_all_their_windows_are() -> None:
    ours = found(("a", [1, 2]), ("a", [2, 3]), ("b", [4]), ("c", [5]))
    assert num_equal(ours, ours) == 3
    assert num_equal(ours, found(("a", [1, 2]), ("b", [4]), ("c", [6]))) == 1


@pytest.mark.shared
def test_own_windows_of_real_questions(glue: Path, tmp_path: Path) -> None:
    text = (glue / "SQuAD/dev-v1.1.json").read_text(encoding="utf-8")
    folder = tmp_path / "SQuAD"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}-v1.1.json").write_text(first_questions(text, 40), encoding="utf-8")
    recipe = SETTINGS.recipe(
        {"name": "squad", "head": {"name": QUESTIONS.head}},
        data=str(tmp_path),
        checkpoint="",
        seed=1,
    )
    recipe |= {"checkpoint": None, "tokenizer": {"name": "wordpiece", "vocab": str(glue / VOCAB)}}
    told, windows = own_windows({**recipe, "encoder": {"name": "bert"}})
    first = json.loads(text)["data"][0]["paragraphs"][0]["qas"][0]["id"]
    assert (len(windows.windows), told["answers"]) == (40, 40)
    assert told["windows"] == sum(map(len, windows.windows.values()))
    assert windows.windows[first][0][0] == 101  # [CLS]
