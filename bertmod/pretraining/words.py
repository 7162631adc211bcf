"""Pieces of texts, each word of which is cut once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.ragged import bounds_of, runs

KNOWN_WORDS = 1 << 18
"""Words whose pieces are remembered: some 40 MB."""


class Words:
    """Pieces of texts by way of their words, each of which is cut into pieces once.

    A blank always separates words, so that the pieces of a text are those of what stands between
    its blanks; a corpus has the same few words over and over.

    Args:
        tokenizer: Cuts words into pieces.
        dtype: Of the pieces.
    """

    def __init__(self, tokenizer: Tokenizer, dtype: np.dtype[np.integer]) -> None:
        self._tokenizer, self._dtype = tokenizer, dtype
        self._number: dict[str, int] = {}
        self._pieces, self._bounds = np.zeros(0, dtype), np.zeros(1, np.int64)

    def pieces(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of texts, one text behind another, and how many each has, int64."""
        split = [text.split(" ") for text in texts]
        words = list(chain.from_iterable(split))
        self._learn(set(words))
        word_W = np.fromiter(map(self._number.__getitem__, words), np.int64, len(words))
        length_W = self._bounds[word_W + 1] - self._bounds[word_W]
        pieces = self._pieces[runs(self._bounds[word_W], length_W)]
        ends = bounds_of(length_W)
        return pieces, np.diff(ends[bounds_of([len(each) for each in split])])

    def _learn(self, words: set[str]) -> None:
        new = sorted(words - self._number.keys())
        if len(self._number) + len(new) > KNOWN_WORDS:
            self._number.clear()
            self._pieces, self._bounds = self._pieces[:0], self._bounds[:1]
            new = sorted(words)
        if not new:
            return
        table = self._tokenizer.texts(new)
        self._number.update(zip(new, count(len(self._number))))
        self._bounds = np.concatenate([self._bounds, table.bounds[1:] + len(self._pieces)])
        self._pieces = np.concatenate([self._pieces, table.ids.astype(self._dtype)])
