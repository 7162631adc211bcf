"""What a vocabulary makes of a corpus."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.pretraining.word_counts import WordCounts
from bertmod.wording import counted, table

AT_ONCE = 1 << 14
"""Words cut into pieces at once."""

SHOWN = 5
"""Unknown words that are shown."""


@dataclass(frozen=True)
class Fertility:
    """How a vocabulary cuts the words of a corpus.

    Attributes:
        num_words: Words in all.
        num_distinct: Different words, those too long for pieces left out.
        num_whole: Words in all that are one piece.
        num_unknown: Words in all that are [UNK].
        num_pieces: Pieces in all.
        num_used: Entries of the vocabulary that occur.
        vocab_size: Entries of the vocabulary.
        unknown: The commonest words that are [UNK].
    """

    num_words: int
    num_distinct: int
    num_whole: int
    num_unknown: int
    num_pieces: int
    num_used: int
    vocab_size: int
    unknown: tuple[str, ...]

    @property
    def fertility(self) -> float:
        """Pieces of a word, on average."""
        return self.num_pieces / self.num_words

    @property
    def unknown_rate(self) -> float:
        """Share of the words that are [UNK], 0 to 1."""
        return self.num_unknown / self.num_words

    @property
    def whole_share(self) -> float:
        """Share of the words that are one piece, 0 to 1."""
        return self.num_whole / self.num_words

    def lines(self) -> list[str]:
        """The numbers as lines for a reader."""
        unknown = f"{self.unknown_rate:.3%} of the words"
        if self.unknown:
            unknown += f", such as {' '.join(self.unknown)}"
        words = f"{counted(self.num_words, 'word')}, {self.num_distinct:,} different"
        used = f"{self.num_used:,} of {self.vocab_size:,}"
        rows = [
            ("corpus", words),
            ("whole words", f"{self.whole_share:.1%} of the words are one piece"),
            ("fertility", f"{self.fertility:.3f} pieces a word"),
            ("unknown", unknown),
            ("pieces used", used),
        ]
        return table(rows)


def cut_words(
    items: Iterable[tuple[str, int]], tokenizer: Tokenizer
) -> Iterator[tuple[list[tuple[str, int]], np.ndarray, np.ndarray]]:
    """Words with their counts, their pieces one behind another, and where each word's begin.

    Args:
        items: Words and how often they occur.
        tokenizer: Cuts them.
    """
    left = iter(items)
    while some := list(islice(left, AT_ONCE)):
        found = tokenizer.texts([word for word, _ in some])
        yield some, found.ids, found.bounds


def fertility(counts: WordCounts, tokenizer: Tokenizer) -> Fertility:
    """How a vocabulary cuts the words of a corpus.

    Args:
        counts: The words, as this tokenizer cuts text into words.
        tokenizer: Cuts them into pieces; has [UNK].
    """
    unk = tokenizer.special["[UNK]"]
    distinct, whole = 0, 0
    unknown, pieces = counts.num_too_long, counts.num_too_long
    used_V = np.zeros(tokenizer.vocab_size, bool)
    worst: list[tuple[int, str]] = []
    for some, ids, bounds in cut_words(counts.items(), tokenizer):
        times_N = np.array([count for _, count in some])
        length_N = np.diff(bounds)
        unknown_N = ids[bounds[:-1]] == unk
        distinct += len(some)
        whole += int(times_N[(length_N == 1) & ~unknown_N].sum())
        unknown += int(times_N[unknown_N].sum())
        pieces += int((times_N * length_N).sum())
        used_V[ids] = True
        lost = [(-some[number][1], some[number][0]) for number in np.flatnonzero(unknown_N)]
        worst = heapq.nsmallest(SHOWN, [*worst, *lost])
    return Fertility(
        num_words=counts.num_words,
        num_distinct=distinct,
        num_whole=whole,
        num_unknown=unknown,
        num_pieces=pieces,
        num_used=int(used_V.sum()),
        vocab_size=tokenizer.vocab_size,
        unknown=tuple(word for _, word in worst),
    )
