"""Rows of single texts and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertmod.builtin.tokenizers.layout import lay_rows, truncated_lengths
from bertmod.contracts.tokenizer import PieceTable

CLS, SEP = 101, 102


def table(*texts):
    lengths = [len(text) for text in texts]
    ids = np.array([i for text in texts for i in text], np.int32)
    return PieceTable(
        ids=ids,
        offsets=np.zeros((len(ids), 2), np.int32),
        words=np.zeros(len(ids), np.int32),
        bounds=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def popped(first, second, budget):
    """The rule as it is told: one piece after another from the longer, on a tie the second."""
    while first + second > budget:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def row_of(first, second, max_length):
    """One row, piece by piece."""
    if second:
        kept = popped(len(first), len(second), max(max_length - 3, 0))
    else:
        kept = min(len(first), max_length - 2), 0
    row = [CLS, *first[: kept[0]], SEP]
    tail = [*second[: kept[1]], SEP] if kept[1] else []
    cut = kept != (len(first), len(second))
    return row + tail, [0] * len(row) + [1] * len(tail), cut


lengths = st.integers(0, 40)


@given(st.lists(st.tuples(lengths, lengths, lengths), max_size=20))
def test_truncation_equals_taking_one_piece_after_another(rows):
    first_N, second_N, budget_N = np.array(rows, np.int64).reshape(-1, 3).T
    kept = np.stack(truncated_lengths(first_N, second_N, budget_N), axis=1)
    assert kept.tolist() == [list(popped(*row)) for row in rows]


texts = st.lists(st.integers(0, 99), max_size=12)


@given(st.lists(st.tuples(texts, texts), max_size=8), st.integers(2, 20))
def test_rows_equal_a_loop(pairs, max_length):
    rows = lay_rows(
        table(*(first for first, _ in pairs)),
        table(*(second for _, second in pairs)),
        max_length=max_length,
        cls=CLS,
        sep=SEP,
    )
    assert len(rows) == len(pairs)
    for index, (first, second) in enumerate(pairs):
        tokens = slice(rows.bounds[index], rows.bounds[index + 1])
        ids, types, cut = row_of(first, second, max_length)
        assert rows.input_ids[tokens].tolist() == ids
        assert rows.token_type_ids[tokens].tolist() == types
        assert bool(rows.truncated[index]) is cut
        assert len(ids) <= max_length


def test_single_texts():
    rows = lay_rows(table([1, 2, 3], [], [4]), None, max_length=4, cls=CLS, sep=SEP)
    assert rows.input_ids.tolist() == [CLS, 1, 2, SEP, CLS, SEP, CLS, 4, SEP]
    assert rows.token_type_ids.tolist() == [0] * 9
    assert rows.bounds.tolist() == [0, 4, 6, 9]
    assert rows.truncated.tolist() == [True, False, False]
    assert (rows.input_ids.dtype, rows.token_type_ids.dtype) == (np.int32, np.uint8)
    assert (rows.bounds.dtype, rows.truncated.dtype) == (np.int64, np.bool_)


def test_no_rows():
    rows = lay_rows(table(), table(), max_length=4, cls=CLS, sep=SEP)
    assert len(rows) == len(rows.input_ids) == len(rows.truncated) == 0
    assert rows.bounds.tolist() == [0]


def test_no_room_for_special_tokens():
    with pytest.raises(ValueError, match=r"^max_length is 1; \[CLS\] and \[SEP\] alone take 2$"):
        lay_rows(table([1]), None, max_length=1, cls=CLS, sep=SEP)


def test_first_and_second_texts_differ_in_number():
    with pytest.raises(ValueError, match=r"^2 first texts but 1 second texts$"):
        lay_rows(table([1], [2]), table([3]), max_length=9, cls=CLS, sep=SEP)
