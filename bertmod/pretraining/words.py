"""Pieces of texts, each word of which is cut once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.ragged import bounds_of

KNOWN_WORDS = 1 << 18
"""Words whose pieces are remembered: some 40 MB."""

_AT_ONCE = 64
"""Words that are cut as one text: cutting them one by one takes twice as long."""


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
        self._end = tokenizer.special["[CLS]"]  # of a text: none has it among its pieces
        self._known: dict[str, bytes] = {}

    def pieces(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        r"""Pieces of texts, one text behind another, and how many each has, int64.

        Args:
            texts: The texts, none with a ``\n``.
        """
        words = "".join(f"{text} \n " for text in texts).split(" ")
        self._learn(set(words))
        found = np.frombuffer(b"".join(map(self._known.__getitem__, words)), self._dtype)
        is_end = found == self._end
        return found[~is_end], np.diff(np.flatnonzero(is_end), prepend=-1) - 1

    def _learn(self, words: set[str]) -> None:
        new = words.difference(self._known)
        if len(self._known) + len(new) > KNOWN_WORDS:
            self._known.clear()
            new = words
        self._known["\n"] = np.array(self._end, self._dtype).tobytes()
        self._known.update(self._cut(sorted(new - {"\n"})))

    def _cut(self, words: Sequence[str]) -> dict[str, bytes]:
        """The pieces of words, as their bytes."""
        groups = [words[start : start + _AT_ONCE] for start in range(0, len(words), _AT_ONCE)]
        table = self._tokenizer.texts([" ".join(group) for group in groups])
        begins_W = bounds_of([len(word) + 1 for word in words])[:-1]
        place_T = table.offsets[:, 0] + np.repeat(begins_W[::_AT_ONCE], np.diff(table.bounds))
        bounds = np.searchsorted(place_T, np.append(begins_W, np.iinfo(np.int64).max))
        ends = (bounds * self._dtype.itemsize).tolist()
        data = table.ids.astype(self._dtype).tobytes()
        runs = zip(words, pairwise(ends), strict=True)
        return {word: data[first:end] for word, (first, end) in runs}
