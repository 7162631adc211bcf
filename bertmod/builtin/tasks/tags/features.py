"""Sentences as rows, long ones in windows, each word learnt and answered in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bertmod import PieceTable, Tokenizer
from bertmod.data.features import Column, FeatureTable
from bertmod.data.ragged import bounds_of, take_pieces
from bertmod.data.windows import widest_context, windows

NUM_SPECIAL = 2
"""[CLS] before the pieces of a row and [SEP] behind them."""


class _Parts(NamedTuple):
    """Windows over all sentences, one behind another.

    Attributes:
        sentence: Sentence of each window, (windows,), int64.
        starts: First piece of each window, counted from the sentence's, (windows,), int64.
        lengths: Pieces of each window, (windows,), int64.
        chosen: Window that each piece is answered in, (pieces,), int64.
    """

    sentence: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    chosen: np.ndarray


def tag_features(
    sentences: Sequence[Sequence[str]],
    codes: np.ndarray | None,
    tokenizer: Tokenizer,
    *,
    max_length: int,
    stride: int | None,
) -> FeatureTable:
    """A feature per sentence, or per window of a sentence that is longer than a row.

    A word is learnt and answered at its first piece, in the window that shows most on the
    narrower side of it. Words without pieces are neither learnt nor answered.

    Args:
        sentences: Words of each sentence.
        codes: Label of each word, all sentences one behind another, (words,), int64; None for
            sentences without tags.
        tokenizer: Makes pieces and rows.
        max_length: Longest row, tokens, at least 3.
        stride: Pieces between the starts of neighbouring windows, at least 1; None: half a row's.

    Returns:
        The host columns ``word`` (index in the sentence) and ``position`` (from the feature's
        first token) name the words that a feature answers, (words of the feature,), int32. With
        ``codes`` there are the positions ``words`` and the targets ``labels`` too, int64.
    """
    pieces = tokenizer.words(sentences)
    room = max_length - NUM_SPECIAL
    parts = _parts(np.diff(pieces.bounds), room=room, stride=stride or max(1, room // 2))
    first = np.flatnonzero(_begins(pieces))
    first = first[np.argsort(parts.chosen[first], kind="stable")]
    window = parts.chosen[first]
    sentence = parts.sentence[window]
    bounds = bounds_of(np.bincount(window, minlength=len(parts.starts)))
    position = first - pieces.bounds[sentence] - parts.starts[window] + 1  # behind [CLS]
    word = pieces.words[first]
    shown = take_pieces(pieces, pieces.bounds[parts.sentence] + parts.starts, parts.lengths)
    rows = tokenizer.rows(shown, None, max_length=max_length)
    host = {"word": word.astype(np.int32), "position": position.astype(np.int32)}
    table = FeatureTable.from_rows(rows, example=parts.sentence)
    table = replace(table, host={**table.host, **_ragged(host, bounds)})
    if codes is None:
        return table
    before = bounds_of(list(map(len, sentences)))[sentence]
    return replace(
        table,
        positions=_ragged({"words": position}, bounds),
        targets=_ragged({"labels": codes[before + word]}, bounds),
    )


def _parts(lengths: np.ndarray, *, room: int, stride: int) -> _Parts:
    """Windows over sentences of some numbers of pieces; one without pieces has none."""
    long = {
        int(i): windows(int(lengths[i]), room=room, stride=stride)
        for i in np.flatnonzero(lengths > room)
    }
    counts = np.minimum(lengths, 1)
    for i, several in long.items():
        counts[i] = len(several.starts)
    first, ends = np.cumsum(counts) - counts, np.cumsum(lengths)
    sizes = np.repeat(lengths, counts)
    starts = np.zeros_like(sizes)
    chosen = np.repeat(first, lengths)
    for i, several in long.items():
        own = slice(first[i], first[i] + counts[i])
        starts[own], sizes[own] = several
        chosen[ends[i] - lengths[i] : ends[i]] += widest_context(several)
    return _Parts(np.repeat(np.arange(len(lengths)), counts), starts, sizes, chosen)


def _begins(pieces: PieceTable) -> np.ndarray:
    """Whether each piece is the first of its word, (pieces,), bool."""
    begins = np.diff(pieces.words, prepend=-1) != 0
    starts = pieces.bounds[:-1]
    begins[starts[starts < len(begins)]] = True
    return np.asarray(begins)


def _ragged(columns: Mapping[str, np.ndarray], bounds: np.ndarray) -> dict[str, Column]:
    return {name: Column(values, bounds) for name, values in columns.items()}
