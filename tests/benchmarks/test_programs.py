"""Windows and answers in the way of transformers' example; transformers itself is not needed."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SETTINGS: dict[str, Any] = {
    "max_length": 8,
    "overlap": 1,
    "pad_to_max_length": False,
    "n_best": 3,
    "max_answer_length": 2,
}


class Encoded(dict[str, Any]):
    """One question of one word; two windows over the context ``ab cd ef``."""

    def sequence_ids(self, window: int) -> list[int | None]:
        return [None, 0, None, 1, 1, None]


def tokenizer(*_: Any, **__: Any) -> Encoded:
    question = [(0, 0), (0, 2), (0, 0)]
    return Encoded(
        input_ids=[[2, 9, 3, 5, 6, 3], [2, 9, 3, 6, 7, 3]],
        token_type_ids=[[0, 0, 0, 1, 1, 1]] * 2,
        attention_mask=[[1] * 6] * 2,
        offset_mapping=[
            [*question, (0, 2), (3, 5), (0, 0)],
            [*question, (3, 5), (6, 8), (0, 0)],
        ],
        overflow_to_sample_mapping=[0, 0],
    )


@pytest.fixture(scope="module")
def program(load_program: Callable[[str], ModuleType]) -> ModuleType:
    return load_program("squad_windows")


def test_answers_that_are_not_whole_in_a_window_are_at_cls(program: ModuleType) -> None:
    answers = [{"text": "cd ef", "answer_start": 3}]
    rows = {"id": ["q"], "question": ["?"], "context": ["ab cd ef"], "answers": [answers]}
    found = program.train_windows(rows, tokenizer, SETTINGS)
    assert (found["start_positions"], found["end_positions"]) == ([0, 3], [0, 4])


def test_best_span_is_taken_from_any_window(program: ModuleType) -> None:
    rows = {"id": ["q"], "question": ["?"], "context": ["ab cd ef"]}
    columns = program.dev_windows(rows, tokenizer, SETTINGS)

    class Windows(dict[str, Any]):
        def __getitem__(self, key: str | int) -> Any:
            if isinstance(key, str):
                return columns[key]
            return {name: values[key] for name, values in columns.items()}

    starts, ends = np.full((2, 6), -5.0), np.full((2, 6), -5.0)
    starts[0, 4], ends[0, 4] = 1.0, 1.0  # "cd"
    starts[1, 3], ends[1, 4] = 2.0, 1.0  # "cd ef"
    starts[1, 1], ends[1, 1] = 9.0, 9.0  # the question: no answer
    question = {"id": "q", "context": "ab cd ef"}
    found = program.answers([question], Windows(), (starts, ends), SETTINGS)
    assert [each["text"] for each in found["q"]][:2] == ["cd ef", "cd"]
    assert sum(each["probability"] for each in found["q"]) == pytest.approx(1.0)
