"""Which pieces are masked, and what stands in their place."""

from __future__ import annotations

import numpy as np
import pytest

from bertmod.data.masking import LONGEST_ROW, Masking, MaskPieces, Masks, choose_masks
from bertmod.data.ragged import bounds_of

CLS, SEP, MASK, SIZE = 1, 2, 3, 1000
PIECES = MaskPieces(size=SIZE, mask=MASK, continues=np.arange(SIZE) >= 700)


def rows(lengths: list[int], *, pairs: bool = True, seed: int = 0):
    """Tokens, bounds and first lengths of random rows."""
    draws = np.random.default_rng(seed)
    tokens = draws.integers(10, SIZE, sum(lengths)).astype(np.uint16)
    bounds = bounds_of(lengths)
    first = np.array([length // 3 + 2 if pairs else length for length in lengths])
    tokens[bounds[:-1]] = CLS
    tokens[bounds[:-1] + first - 1] = SEP
    tokens[bounds[1:] - 1] = SEP
    return tokens, bounds, first


def masked(tokens, bounds, first, *, keys=None, whole_word=False, most=20, **more) -> Masks:
    keys = np.arange(len(first), dtype=np.uint64) * 977 + 5 if keys is None else keys
    masking = Masking(0.15, most, whole_word)
    return choose_masks(tokens, bounds, first, keys, masking=masking, pieces=PIECES, **more)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("whole_word", [True, False])
def test_places_and_numbers(pairs, whole_word) -> None:
    lengths = [5, 9, 10, 128, 64, 30, 128, 7] * 20
    tokens, bounds, first = rows(lengths, pairs=pairs)
    found = masked(tokens, bounds, first, whole_word=whole_word)
    assert not np.isin(tokens[found.place], (CLS, SEP)).any()
    assert (np.diff(found.place) > 0).all()
    row = np.repeat(np.arange(len(lengths)), np.diff(found.bounds))
    assert (found.place - bounds[row] == found.position).all()
    wanted = [min(20, max(1, round(length * 0.15))) for length in lengths]  # halves to even
    if whole_word:
        assert (np.diff(found.bounds) <= wanted).all()
    else:
        assert np.diff(found.bounds).tolist() == wanted


@pytest.mark.parametrize("whole_word", [True, False])
def test_a_row_does_not_depend_on_its_company(whole_word) -> None:
    tokens, bounds, first = rows([40, 128, 13, 77])
    keys = np.array([9, 8, 7, 6], np.uint64)
    together = masked(tokens, bounds, first, keys=keys, whole_word=whole_word)
    for row in range(4):
        part = tokens[bounds[row] : bounds[row + 1]]
        found = masked(
            part,
            np.array([0, len(part)]),
            first[row : row + 1],
            keys=keys[row : row + 1],
            whole_word=whole_word,
        )
        run = slice(*together.bounds[row : row + 2])
        assert found.position.tolist() == together.position[run].tolist()
        assert found.shown.tolist() == together.shown[run].tolist()


@pytest.mark.parametrize("whole_word", [True, False])
def test_shares(whole_word) -> None:
    """80, 10 and 10 of a hundred, each within five standard errors; every piece is as likely."""
    tokens, bounds, first = rows([128] * 4000)
    found = masked(tokens, bounds, first, whole_word=whole_word)
    count, original = len(found.place), tokens[found.place]
    # Draws are for words where whole words are masked: at least half as many draws as pieces.
    error = 5 * (0.16 / (count / 2 if whole_word else count)) ** 0.5
    assert abs((found.shown == MASK).mean() - 0.8) < error + 0.1 / SIZE
    assert abs((found.shown == original).mean() - 0.1) < error
    others = found.shown[(found.shown != MASK) & (found.shown != original)]
    drawn = np.bincount(others, minlength=SIZE)
    mean = len(others) / SIZE
    statistic = ((drawn - mean) ** 2 / mean).sum()
    assert abs(statistic - SIZE) < 5 * (2 * SIZE) ** 0.5 + 0.2 * SIZE


def test_every_place_is_as_likely() -> None:
    tokens, bounds, first = rows([64] * 20_000)
    found = masked(tokens, bounds, first)
    counts = np.bincount(found.position, minlength=64)
    text = np.setdiff1d(np.arange(64), [0, int(first[0]) - 1, 63])
    assert counts.sum() == counts[text].sum() == 10 * 20_000
    share = 10 / len(text)
    assert np.abs(counts[text] - share * 20_000).max() < 5 * (20_000 * share * (1 - share)) ** 0.5


def test_words_are_masked_whole_and_end_with_their_segment() -> None:
    tokens, bounds, first = rows([128] * 500)
    tokens[bounds[:-1] + first] = 999  # the second segments begin in the middle of a word
    found = masked(tokens, bounds, first, whole_word=True)
    chosen = np.zeros(len(tokens), bool)
    chosen[found.place] = True
    special = np.isin(tokens, (CLS, SEP))
    goes_on = PIECES.continues[tokens] & ~special
    goes_on[1:] &= ~special[:-1]
    assert (chosen[1:] == chosen[:-1])[goes_on[1:]].all()
    assert chosen[goes_on].any()
    # A word is masked, kept or replaced as a whole.
    shown = tokens.copy()
    shown[found.place] = found.shown
    pair = np.flatnonzero(goes_on[1:] & chosen[1:])
    assert ((shown[pair] == MASK) == (shown[pair + 1] == MASK)).mean() > 0.999


def test_words_of_a_segmenter() -> None:
    tokens, bounds, first = rows([50] * 100)
    tokens[~np.isin(tokens, (CLS, SEP))] %= 700
    continues = np.zeros(len(tokens), bool)
    continues[bounds[:-1] + 5] = continues[bounds[:-1] + 6] = True
    found = masked(tokens, bounds, first, whole_word=True, continues_T=continues)
    chosen = np.zeros(len(tokens), bool)
    chosen[found.place] = True
    three = np.stack([chosen[bounds[:-1] + place] for place in (4, 5, 6)])
    assert (three.all(axis=0) | ~three.any(axis=0)).all()
    assert 5 < three[0].sum() < 40


def test_a_word_that_is_too_long_is_passed_over() -> None:
    tokens = np.array([CLS, *[800] * 30, SEP, 50, SEP], np.uint16)
    found = masked(tokens, np.array([0, len(tokens)]), np.array([32]), whole_word=True)
    assert found.position.tolist() == [32]


def test_short_of_text() -> None:
    tokens = np.array([CLS, 20, SEP, 21, SEP], np.uint16)
    found = masked(tokens, np.array([0, 5]), np.array([3]), most=20)
    assert len(found.place) == 1
    dense = Masking(0.9, 20)
    found = choose_masks(
        tokens,
        np.array([0, 5]),
        np.array([3]),
        np.array([1], np.uint64),
        masking=dense,
        pieces=PIECES,
    )
    assert found.position.tolist() == [1, 3]


def test_rows_that_are_too_long() -> None:
    tokens = np.zeros(LONGEST_ROW + 1, np.uint16)
    with pytest.raises(ValueError, match="a row of 65537 tokens; 65536 at most"):
        masked(tokens, np.array([0, len(tokens)]), np.array([9]))
