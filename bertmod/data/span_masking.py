"""Which runs of words of rows are masked.

Shape letters: N rows, T tokens of all rows, W words of all rows, M masked tokens, L rows that want
more.
"""

from __future__ import annotations

import numpy as np

from bertmod.data.ragged import runs
from bertmod.data.random_bits import random_bits

LONGEST_SPAN = 10
"""Words."""

_END = 0.2
"""Probability that a span ends with a word."""

_TRIES = 128
"""Spans drawn for a row at most: where nothing is left that fits, it has fewer masks."""

_LENGTHS = np.cumsum(_END * (1 - _END) ** np.arange(LONGEST_SPAN))
_UP_TO = _LENGTHS / _LENGTHS[-1]
"""Probability of a span of at most so many words, from 1 on."""


def text_words(goes_on_T: np.ndarray, bounds: np.ndarray, first_N: np.ndarray) -> np.ndarray:
    """Which tokens are text and not special, (tokens,), bool; no word goes on across special ones.

    Args:
        goes_on_T: Whether a token goes on with a word, (tokens,), bool; changed in place: a
            segment's first piece begins a word.
        bounds: Where each row begins, (rows + 1,), int64.
        first_N: Tokens of each row's first segment, [CLS] and [SEP] counted, (rows,), int64.
    """
    is_text_T = np.ones(len(goes_on_T), bool)
    for special in (bounds[:-1], bounds[:-1] + first_N - 1, bounds[1:] - 1):
        is_text_T[special] = False
    goes_on_T &= is_text_T
    goes_on_T[1:] &= is_text_T[:-1]
    return is_text_T


def choose_spans(
    goes_on_T: np.ndarray,
    bounds: np.ndarray,
    first_N: np.ndarray,
    key_N: np.ndarray,
    num_N: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the pieces of spans, ascending, and of the spans' first pieces, (masked,) each.

    A span begins with any word of its row, goes on for a random number of words, geometric and at
    most ``LONGEST_SPAN``, and ends with its segment, before a masked word, or where the row has
    masks enough.

    Args:
        goes_on_T: Whether a token goes on with a word, (tokens,), bool; changed in place.
        bounds: Where each row begins, (rows + 1,), int64.
        first_N: Tokens of each row's first segment, [CLS] and [SEP] counted, (rows,), int64.
        key_N: What the draws of each row come from, (rows,), uint64.
        num_N: Tokens to mask of each row, (rows,), int64.

    Source: Joshi et al. 2020, arXiv:1907.10529, section 3.1.
    """
    is_text_T = text_words(goes_on_T, bounds, first_N)
    begin_W = np.flatnonzero(is_text_T & ~goes_on_T)
    end_W = _ends(begin_W, is_text_T)
    words = np.searchsorted(begin_W, bounds)  # where each row's words begin
    span_T = np.full(len(goes_on_T), -1)
    left_N = np.where(np.diff(words) > 0, num_N, 0)
    for each in range(_TRIES):
        row_L = np.flatnonzero(left_N > 0)
        if not len(row_L):
            break
        bits = random_bits(key_N[row_L], np.array([each]))
        first_L, last_L = _drawn(bits, words[row_L], words[row_L + 1])
        begin_L = begin_W[first_L]
        stop_L = np.minimum(end_W[last_L], _free_until(begin_L, is_text_T & (span_T < 0)))
        stop_L = np.minimum(stop_L, begin_L + left_N[row_L])
        # Only whole words: the last end of one that is not beyond the stop.
        whole_L = np.searchsorted(end_W, stop_L, side="right") - 1
        length_L = np.where(whole_L >= first_L, end_W[whole_L] - begin_L, 0)
        span_T[runs(begin_L, length_L)] = np.repeat(begin_L, length_L)
        left_N[row_L] -= length_L
    place_M = np.flatnonzero(span_T >= 0)
    return place_M, span_T[place_M]


def _ends(begin_W: np.ndarray, is_text_T: np.ndarray) -> np.ndarray:
    """Place behind each word's last piece, (words,), int64."""
    closed = np.flatnonzero(~is_text_T)
    next_W = np.append(begin_W[1:], len(is_text_T))
    ends: np.ndarray = np.minimum(next_W, closed[np.searchsorted(closed, begin_W)])
    return ends


def _drawn(bits: np.ndarray, first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last word of a random span for each row, int64."""
    count = (end - first).astype(np.uint64)
    word = first + ((bits >> np.uint64(32)) * count >> np.uint64(32)).astype(np.int64)
    share = (bits & np.uint64(0xFFFFFFFF)) * 2.0**-32
    return word, np.minimum(word + np.searchsorted(_UP_TO, share, side="right"), end - 1)


def _free_until(begin: np.ndarray, is_free_T: np.ndarray) -> np.ndarray:
    """The first place from each of some on that is special or masked already, int64."""
    taken = np.flatnonzero(~is_free_T)
    until: np.ndarray = taken[np.searchsorted(taken, begin)]
    return until
