"""Which pieces of rows are masked, and what stands in their place.

The draws of a row are a function of its key alone: the same whatever rows are masked with it.

Shape letters: N rows, W positions of the longest row, T tokens of all rows, M masked tokens, K
draws of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.random_bits import random_bits
from bertmod.data.span_masking import choose_spans, text_words

LONGEST_ROW = 1 << 16
"""Positions are kept in the 16 low bits of a draw."""

_POSITION = np.uint64(LONGEST_ROW - 1)
_NEVER = np.uint64(2**64 - 1)
_CHANGE = 1 << 32
"""Counters of what happens to a chosen piece begin here; those before it choose."""

_MASKED = np.uint64(0.8 * 2**32)
_KEPT = np.uint64(0.9 * 2**32)


@dataclass(frozen=True)
class Masking:
    """How much is masked.

    Attributes:
        probability: Share of a row's tokens, special ones counted, in (0, 1).
        max_predictions: Most masked tokens of a row, at least 1.
        whole_word: Whether all pieces of a word are masked, or none.
        spans: Whether runs of whole words are masked, at random lengths.
    """

    probability: float = 0.15
    max_predictions: int = 20
    whole_word: bool = False
    spans: bool = False

    def wanted(self, length_N: np.ndarray) -> np.ndarray:
        """Tokens to mask by the share alone, (rows,), int64, at least 1.

        Args:
            length_N: Tokens of each row, special ones counted, (rows,).

        Source: google-research/bert create_pretraining_data.py; halves are rounded to even.
        """
        wanted_N: np.ndarray = np.maximum(1, np.rint(length_N * self.probability))
        return np.asarray(wanted_N, np.int64)

    def num_masked(self, length_N: np.ndarray) -> np.ndarray:
        """Tokens to mask of each row, (rows,), int64; whole words may leave some over."""
        num_N: np.ndarray = np.minimum(self.wanted(length_N), self.max_predictions)
        return num_N


@dataclass(frozen=True)
class MaskPieces:
    """What masking must know about a vocabulary.

    Attributes:
        size: Its entries.
        mask: Index of [MASK].
        continues: Whether a piece goes on with a word, (vocabulary,), bool.
    """

    size: int
    mask: int
    continues: np.ndarray


def mask_pieces(tokenizer: Tokenizer) -> MaskPieces:
    """What masking must know about a tokenizer's vocabulary, which has [MASK]."""
    names = tokenizer.pieces(range(tokenizer.vocab_size))
    return MaskPieces(
        size=tokenizer.vocab_size,
        mask=tokenizer.special["[MASK]"],
        continues=np.array([name.startswith("##") for name in names]),
    )


@dataclass(frozen=True)
class Masks:
    """The masked tokens of rows.

    Attributes:
        place: Which they are, counted over all tokens of all rows, ascending, (masked,), int64.
        position: The same, counted in their row, (masked,), int64.
        bounds: Where those of each row begin, (rows + 1,), int64.
        shown: The pieces that stand in their place, (masked,), the tokens' dtype.
    """

    place: np.ndarray
    position: np.ndarray
    bounds: np.ndarray
    shown: np.ndarray


def choose_masks(
    tokens_T: np.ndarray,
    bounds: np.ndarray,
    first_N: np.ndarray,
    key_N: np.ndarray,
    *,
    masking: Masking,
    pieces: MaskPieces,
    continues_T: np.ndarray | None = None,
) -> Masks:
    """Choose tokens at random, and [MASK] for 80 % of them, any piece for 10 %, none for the rest.

    With ``whole_word`` words are taken in random order, and one that would exceed the number is
    passed over; what happens is drawn for each word, the pieces in its place one by one. A word
    ends with its segment. With ``spans`` runs of words are taken likewise, see ``span_masking``.

    Args:
        tokens_T: Rows ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``, one behind another,
            (tokens,), any integer dtype.
        bounds: Where each row begins, (rows + 1,), int64.
        first_N: Tokens of each row's first segment, [CLS] and [SEP] counted, (rows,), int64.
        key_N: What the draws of each row come from, (rows,), uint64.
        masking: How much is masked.
        pieces: The vocabulary.
        continues_T: Whether a token goes on with a word, (tokens,), bool; None: as the vocabulary
            says.

    Raises:
        ValueError: If a row is longer than ``LONGEST_ROW``.

    Source: Devlin et al. 2019, arXiv:1810.04805, appendix A.1.
    """
    length_N = np.diff(bounds)
    if len(length_N) and length_N.max() > LONGEST_ROW:
        raise ValueError(f"a row of {length_N.max()} tokens; {LONGEST_ROW} at most")
    num_N = masking.num_masked(length_N)
    if masking.whole_word or masking.spans:
        goes_on_T = pieces.continues[tokens_T] if continues_T is None else continues_T.copy()
        choose = choose_spans if masking.spans else _whole_words
        place_M, unit_M = choose(goes_on_T, bounds, first_N, key_N, num_N)
    else:
        place_M = unit_M = _single_pieces(bounds, first_N, key_N, num_N)
    mask_bounds = np.searchsorted(place_M, bounds)
    row_M = np.repeat(np.arange(len(length_N)), np.diff(mask_bounds))
    key_M, start_M = key_N[row_M], bounds[row_M]
    bits_M = random_bits(key_M, place_M - start_M + _CHANGE)
    of_unit_M = bits_M if unit_M is place_M else random_bits(key_M, unit_M - start_M + _CHANGE)
    what_M = of_unit_M >> np.uint64(32)
    kept_M = np.where(what_M < _KEPT, tokens_T.take(place_M), _any_piece(bits_M, pieces))
    return Masks(
        place=place_M,
        position=place_M - start_M,
        bounds=mask_bounds,
        shown=np.where(what_M < _MASKED, pieces.mask, kept_M).astype(tokens_T.dtype),
    )


def _any_piece(bits_M: np.ndarray, pieces: MaskPieces) -> np.ndarray:
    """A piece of the vocabulary for each draw, by its low bits; every one is as likely."""
    low_M = bits_M & np.uint64(0xFFFFFFFF)
    return ((low_M * np.uint64(pieces.size)) >> np.uint64(32)).astype(np.int64)


def _single_pieces(
    bounds: np.ndarray, first_N: np.ndarray, key_N: np.ndarray, num_N: np.ndarray
) -> np.ndarray:
    """Places of as many pieces of each row, any of them as likely, ascending, (masked,), int64.

    Source: Bentley and Floyd 1987, doi:10.1145/30401.315746: a sample without a shuffle.
    """
    length_N = np.diff(bounds)
    text_N = length_N - 2 - (first_N < length_N)
    num_N = np.minimum(num_N, text_N)
    order_N = np.argsort(-num_N, kind="stable")  # rows that want more masks come first
    num_N, text_N = num_N[order_N], text_N[order_N]
    begin_N, second_N = bounds[order_N] + 1, first_N[order_N] - 2
    each_K1 = np.arange(num_N[0] if len(num_N) else 0)[:, None]
    bits_KN = random_bits(key_N[order_N], each_K1) >> np.uint64(32)
    last_KN = text_N - num_N + each_K1
    drawn_KN = (bits_KN * (last_KN + 1).astype(np.uint64) >> np.uint64(32)).astype(np.int64)
    drawn_KN += begin_N + (drawn_KN >= second_N)
    last_KN += begin_N + (last_KN >= second_N)
    chosen_T = np.zeros(bounds[-1], bool)
    for each, (drawn_N, last_N) in enumerate(zip(drawn_KN, last_KN, strict=True)):
        left = np.count_nonzero(num_N > each)
        place = np.where(chosen_T[drawn_N[:left]], last_N[:left], drawn_N[:left])
        chosen_T[place] = True
    return np.flatnonzero(chosen_T)


def _whole_words(
    goes_on_T: np.ndarray,
    bounds: np.ndarray,
    first_N: np.ndarray,
    key_N: np.ndarray,
    num_N: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pieces of words, ascending, and of the words' first pieces, (masked,) each."""
    row_T = np.repeat(np.arange(len(num_N)), np.diff(bounds))
    is_text_T = text_words(goes_on_T, bounds, first_N)
    unit_T = np.flatnonzero(~goes_on_T)[np.cumsum(~goes_on_T) - 1]
    column_T = np.arange(len(unit_T)) - bounds[row_T]
    draw_T = random_bits(key_N[row_T], column_T) & ~_POSITION | column_T.astype(np.uint64)
    draw_T[~is_text_T | goes_on_T] = _NEVER
    size_T = np.bincount(unit_T, minlength=len(unit_T))
    taken_T = np.zeros(len(draw_T), bool)
    left_N = num_N.copy()
    for draw_N in _sorted_draws(draw_T, bounds, row_T).T:
        open_N = np.flatnonzero((left_N > 0) & (draw_N != _NEVER))
        if not len(open_N):
            break
        begin = bounds[open_N] + (draw_N[open_N] & _POSITION).astype(np.int64)
        fits = size_T[begin] <= left_N[open_N]
        left_N[open_N[fits]] -= size_T[begin[fits]]
        taken_T[begin[fits]] = True
    place_M = np.flatnonzero(taken_T[unit_T])
    return place_M, unit_T[place_M]


def _sorted_draws(draw_T: np.ndarray, bounds: np.ndarray, row_T: np.ndarray) -> np.ndarray:
    """The draws of each row in ascending order, ``_NEVER`` behind them, (rows, positions)."""
    width = int(np.diff(bounds).max(initial=1))
    grid_NW = np.full((len(bounds) - 1, width), _NEVER)
    grid_NW.reshape(-1)[np.arange(len(draw_T)) + (row_T * width - bounds[row_T])] = draw_T
    grid_NW.sort(axis=1)
    return grid_NW
