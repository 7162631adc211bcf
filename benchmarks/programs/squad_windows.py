"""Windows over SQuAD's contexts, and answers from their logits, as transformers' example has them.

The example is ``examples/pytorch/question-answering/run_qa.py``: a fast tokenizer cuts a context
into overlapping windows, which are padded to one length; a loop over them keeps offsets or finds
the answer's tokens. The functions take and give columns, for ``datasets.Dataset.map``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Columns = dict[str, list[Any]]
Candidate = dict[str, Any]

CONTEXT = 1
"""Which sequence of a pair the context is."""


def train_windows(rows: Columns, tokenizer: Any, settings: dict[str, Any]) -> Columns:
    """Windows with the answer's first and last token; [CLS] where it is not all in a window."""
    encoded = _encode(rows, tokenizer, settings)
    found = [
        _answer_tokens(offsets, encoded.sequence_ids(window), rows["answers"][row])
        for window, (offsets, row) in enumerate(
            zip(encoded["offset_mapping"], encoded["overflow_to_sample_mapping"], strict=True)
        )
    ]
    columns = _model_columns(encoded)
    columns["start_positions"] = [start for start, _ in found]
    columns["end_positions"] = [end for _, end in found]
    return columns


def dev_windows(rows: Columns, tokenizer: Any, settings: dict[str, Any]) -> Columns:
    """Windows with their question's id, and the context's offsets: None for other tokens."""
    encoded = _encode(rows, tokenizer, settings)
    columns = _model_columns(encoded)
    columns["example_id"] = [rows["id"][row] for row in encoded["overflow_to_sample_mapping"]]
    columns["offset_mapping"] = [
        [
            pair if sequence == CONTEXT else None
            for pair, sequence in zip(offsets, encoded.sequence_ids(window), strict=True)
        ]
        for window, offsets in enumerate(encoded["offset_mapping"])
    ]
    return columns


def _encode(rows: Columns, tokenizer: Any, settings: dict[str, Any]) -> Any:
    return tokenizer(
        [question.lstrip() for question in rows["question"]],
        rows["context"],
        truncation="only_second",
        max_length=settings["max_length"],
        stride=settings["overlap"],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if settings["pad_to_max_length"] else False,
    )


def _model_columns(encoded: Any) -> Columns:
    names = ("input_ids", "token_type_ids", "attention_mask")
    return {name: encoded[name] for name in names}


def _answer_tokens(
    offsets: Sequence[tuple[int, int]],
    sequences: Sequence[int | None],
    answers: Sequence[dict[str, Any]],
) -> tuple[int, int]:
    begin = answers[0]["answer_start"]
    end = begin + len(answers[0]["text"])
    tokens = [token for token, sequence in enumerate(sequences) if sequence == CONTEXT]
    if not tokens or offsets[tokens[0]][0] > begin or offsets[tokens[-1]][1] < end:
        return 0, 0
    first = max(token for token in tokens if offsets[token][0] <= begin)
    last = min(token for token in tokens if offsets[token][1] >= end)
    return first, last


def answers(
    rows: Sequence[dict[str, Any]],
    windows: Any,
    logits: tuple[np.ndarray, np.ndarray],
    settings: dict[str, Any],
) -> dict[str, list[Candidate]]:
    """The best spans of every question, the best one first.

    Args:
        rows: Questions.
        windows: Their windows, by row.
        logits: Of starts and ends, (windows, tokens).
        settings: ``n_best`` and ``max_answer_length``.
    """
    of_question = defaultdict(list)
    for window, question in enumerate(windows["example_id"]):
        of_question[question].append(window)
    found = {}
    for row in rows:
        spans = [
            span
            for window in of_question[row["id"]]
            for span in _spans(
                windows[window]["offset_mapping"], logits[0][window], logits[1][window], settings
            )
        ]
        best = sorted(spans, key=lambda span: -span[0])[: settings["n_best"]]
        found[row["id"]] = _candidates(row["context"], best)
    return found


def _spans(
    offsets: Sequence[Any], starts: np.ndarray, ends: np.ndarray, settings: dict[str, Any]
) -> Iterator[tuple[float, int, int]]:
    """Sum of logits, and first and last character, of spans that are possible."""
    count = settings["n_best"]
    for start in np.argsort(starts)[: -count - 1 : -1].tolist():
        for end in np.argsort(ends)[: -count - 1 : -1].tolist():
            if max(start, end) >= len(offsets) or not offsets[start] or not offsets[end]:
                continue
            if not 0 < end - start + 1 <= settings["max_answer_length"]:
                continue
            yield float(starts[start] + ends[end]), offsets[start][0], offsets[end][1]


def _candidates(context: str, spans: Sequence[tuple[float, int, int]]) -> list[Candidate]:
    if not spans:
        return [{"text": "", "probability": 1.0}]
    scores = np.array([score for score, _, _ in spans])
    shares = np.exp(scores - scores.max())
    probabilities = shares / shares.sum()
    return [
        {"text": context[start:end], "probability": float(probability)}
        for (_, start, end), probability in zip(spans, probabilities, strict=True)
    ]
