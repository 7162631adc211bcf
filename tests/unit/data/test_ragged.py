"""Pieces of flat arrays: picked one by one, or as runs of a table's pieces."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bertmod import PieceTable
from bertmod.data.ragged import bounds_of, runs, take_pieces, take_ragged

lengths = st.lists(st.integers(0, 4), min_size=1, max_size=8)


@given(lengths=lengths)
def test_bounds_lie_between_pieces(lengths) -> None:
    bounds = bounds_of(lengths)
    assert bounds.dtype == np.int64
    assert bounds.tolist() == [sum(lengths[:i]) for i in range(len(lengths) + 1)]


def test_no_piece_has_one_bound() -> None:
    assert bounds_of([]).tolist() == [0]


@given(lengths=lengths, data=st.data())
def test_runs_count_up_from_their_starts(lengths, data) -> None:
    starts = data.draw(st.lists(st.integers(0, 9), min_size=len(lengths), max_size=len(lengths)))
    expected = [a + i for a, n in zip(starts, lengths, strict=True) for i in range(n)]
    assert runs(np.array(starts), np.array(lengths)).tolist() == expected


@given(lengths=lengths, data=st.data())
def test_pieces_are_picked_in_the_order_wanted(lengths, data) -> None:
    pieces = [np.arange(n) + 10 * i for i, n in enumerate(lengths)]
    wanted = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    values, found = take_ragged(
        np.concatenate(pieces), bounds_of(lengths), np.array(wanted, np.int64)
    )
    expected = [pieces[i].tolist() for i in wanted]
    assert [values[a:b].tolist() for a, b in itertools.pairwise(found)] == expected


def test_runs_of_a_table_become_texts() -> None:
    table = PieceTable(
        ids=np.arange(10, 15, dtype=np.int32),
        offsets=np.arange(10, dtype=np.int32).reshape(5, 2),
        words=np.array([0, 0, 1, 0, 1], np.int32),
        bounds=np.array([0, 3, 5]),
    )
    taken = take_pieces(table, np.array([3, 1, 1]), np.array([2, 2, 0]))
    assert taken.bounds.tolist() == [0, 2, 4, 4]
    assert taken.ids.tolist() == [13, 14, 11, 12]
    assert taken.words.tolist() == [0, 1, 0, 1]
    assert taken.offsets.tolist() == [[6, 7], [8, 9], [2, 3], [4, 5]]
