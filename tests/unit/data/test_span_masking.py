"""Spans of words that are masked."""

from __future__ import annotations

import numpy as np
import pytest

from bertmod.data.masking import Masking, MaskPieces, choose_masks
from bertmod.data.ragged import bounds_of
from bertmod.data.span_masking import LONGEST_SPAN

SPANS = Masking(spans=True)
GOES_ON = np.arange(100) >= 60
PIECES = MaskPieces(100, 4, GOES_ON)


@pytest.fixture
def rows():
    """Tokens, bounds, first segments and keys of rows of all lengths."""
    draws = np.random.default_rng(0)
    length_N = draws.integers(6, 129, 300)
    first_N = np.array([draws.integers(3, length - 2) for length in length_N])
    keys = draws.integers(0, 2**63, 300).astype(np.uint64)
    return draws.integers(5, 100, length_N.sum()), bounds_of(length_N), first_N, keys


def chosen(rows, masking=SPANS):
    return choose_masks(*rows, masking=masking, pieces=PIECES)


def test_spans_are_whole_words_of_one_segment(rows) -> None:
    tokens, bounds, first_N, _ = rows
    masked = np.zeros(len(tokens), bool)
    masked[chosen(rows).place] = True
    special = np.zeros(len(tokens), bool)
    for place in (bounds[:-1], bounds[:-1] + first_N - 1, bounds[1:] - 1):
        special[place] = True
    assert not (masked & special).any()
    within = GOES_ON[tokens[1:]] & ~special[1:] & ~special[:-1]
    assert (masked[1:] == masked[:-1])[within].all()


def test_as_many_are_masked_as_of_single_pieces_but_for_words_that_do_not_fit(rows) -> None:
    num_N = SPANS.num_masked(np.diff(rows[1]))
    found_N = np.diff(chosen(rows).bounds)
    assert (found_N <= num_N).all()
    assert found_N.sum() > 0.98 * num_N.sum()
    alone = chosen((np.full_like(rows[0], 7), *rows[1:]))
    np.testing.assert_array_equal(np.diff(alone.bounds), num_N)


def test_spans_are_longer_than_chance_makes_them_and_bounded(rows) -> None:
    rows = (np.full_like(rows[0], 7), *rows[1:])  # a piece a word

    def mean_run(masking: Masking) -> float:
        place = chosen(rows, masking).place
        return len(place) / (1 + np.count_nonzero(np.diff(place) > 1))

    assert mean_run(SPANS) > 2 * mean_run(Masking()) > 2
    assert LONGEST_SPAN == 10


def test_a_span_is_masked_kept_or_replaced_as_a_whole(rows) -> None:
    tokens, bounds, first_N, keys = rows
    masks = chosen((np.full_like(tokens, 7), bounds, first_N, keys))
    assert {0.75 < share < 0.85 for share in [np.mean(masks.shown == 4)]} == {True}
    both = masks.place[1:] - masks.place[:-1] == 1
    same = (masks.shown[1:] == 4) == (masks.shown[:-1] == 4)
    assert same[both].mean() > 0.9  # two spans may stand side by side


def test_a_row_has_the_same_spans_whatever_rows_are_beside_it(rows) -> None:
    tokens, bounds, first_N, keys = rows
    whole = chosen(rows)
    part = chosen(
        (
            tokens[bounds[40] : bounds[60]],
            bounds[40:61] - bounds[40],
            *(each[40:60] for each in (first_N, keys)),
        )
    )
    kept = slice(int(whole.bounds[40]), int(whole.bounds[60]))
    np.testing.assert_array_equal(part.position, whole.position[kept])
    np.testing.assert_array_equal(part.shown, whole.shown[kept])


def test_a_row_of_words_that_are_all_too_long() -> None:
    tokens = np.array([2, *[50, *[70] * 9], 3])
    masks = choose_masks(
        tokens,
        np.array([0, 12]),
        np.array([12]),
        np.array([1], np.uint64),
        masking=SPANS,
        pieces=PIECES,
    )
    assert len(masks.place) == 0
