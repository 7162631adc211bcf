"""Which words of a corpus a vocabulary takes in, and where they go."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.errors import DataError
from bertmod.pretraining.fertility import cut_words
from bertmod.pretraining.word_counts import WordCounts

UNUSED = re.compile(r"\[unused\d+\]")


@dataclass(frozen=True)
class Placed:
    """A vocabulary with words that it had in pieces.

    Attributes:
        pieces: All of it, in the order of the indices; those that stay have theirs.
        made_of: Index of each new word to the indices of the pieces that it was cut into.
        appended: How many of the words stand behind the last entry there was.
    """

    pieces: list[str]
    made_of: dict[int, tuple[int, ...]]
    appended: int

    @property
    def words(self) -> list[str]:
        """The new words, the most useful first."""
        return [self.pieces[index] for index in self.made_of]


def place_words(
    counts: WordCounts,
    tokenizer: Tokenizer,
    pieces: Sequence[str],
    *,
    num_words: int | None = None,
    min_frequency: int = 2,
    title: str = "the vocabulary",
) -> Placed:
    """Put the words into a vocabulary whose pieces would be spared most often.

    A word is worth its count times one less than its pieces. The best take the places
    ``[unusedN]`` from the first on; those for which there is none are appended. A word that is
    [UNK] is left out: no mean of pieces is like it.

    Args:
        counts: The words of the corpus.
        tokenizer: The vocabulary's.
        pieces: The vocabulary.
        num_words: Words to put in, at most; None: as many as there are unused places.
        min_frequency: How often a word must occur.
        title: What messages call the vocabulary.

    Raises:
        DataError: If there is no unused place and no number, or no word to put in.
    """
    places = [index for index, piece in enumerate(pieces) if UNUSED.fullmatch(piece)]
    if num_words is None and not places:
        raise DataError(
            f"{title}: no [unusedN] place to put words in\n"
            "  --words N appends N words, so that the word embeddings grow"
        )
    best = _best(counts, tokenizer, len(places) if num_words is None else num_words, min_frequency)
    if not best:
        raise DataError(
            f"{title}: cuts no word of the corpus that occurs {min_frequency} times or more\n"
            "  there is nothing to put in"
        )
    rows = chain(places, range(len(pieces), len(pieces) + len(best)))
    made_of = {row: made for row, (_, _, made) in zip(rows, best, strict=False)}
    appended = max(0, len(best) - len(places))
    grown = [*pieces, *[""] * appended]
    for row, (_, word, _) in zip(made_of, best, strict=True):
        grown[row] = word
    return Placed(grown, made_of, appended)


def _best(
    counts: WordCounts, tokenizer: Tokenizer, most: int, min_frequency: int
) -> list[tuple[int, str, tuple[int, ...]]]:
    """The most useful words with minus their worth and their pieces."""
    best: list[Any] = []
    frequent = (item for item in counts.items() if item[1] >= min_frequency)
    for some, ids, bounds in cut_words(frequent, tokenizer):
        found = [
            (
                -count * int(bounds[number + 1] - bounds[number] - 1),
                word,
                tuple(ids[bounds[number] : bounds[number + 1]].tolist()),
            )
            for number, (word, count) in enumerate(some)
            if bounds[number + 1] - bounds[number] > 1
        ]
        best = heapq.nsmallest(most, [*best, *found])
    return best
