"""From pieces of an answer back to the words as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bertmod import Tokenizer


class Recovered(NamedTuple):
    """Text of an answer within some words joined by single spaces.

    Attributes:
        text: The text.
        first: Number of its first word, and the character of that word.
        last: Number of its last word, and the character of that word.
    """

    text: str
    first: tuple[int, int]
    last: tuple[int, int]


class TextRecovery:
    """Finds in words, as they were written, the part that was tokenised into an answer.

    Args:
        tokenizer: What made the pieces.

    Source: google-research/bert run_squad.py.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._basic: dict[str, str] = {}

    def __call__(self, pieces: Sequence[str], words: Sequence[str]) -> Recovered:
        """The text of an answer.

        Args:
            pieces: Vocabulary entries of the answer.
            words: The words that they are pieces of, the first and the last perhaps in part.

        Returns:
            The part of the words that the pieces stand for; all of them where the two cannot be
            laid beside each other character by character.
        """
        joined = " ".join(pieces).replace(" ##", "").replace("##", "")
        return self.of_text(" ".join(joined.split()), words)

    def of_text(self, tokenised: str, words: Sequence[str]) -> Recovered:
        """The same for an answer whose pieces are joined: words lower-cased, punctuation apart."""
        normal = " ".join(filter(None, map(self._normal, words)))
        begin = normal.find(tokenised) if tokenised else -1
        written = "".join(words)
        if begin < 0 or len(normal) - normal.count(" ") != len(written):
            return _part(words, _place(words, 0), _place(words, len(written) - 1))
        # Spaces aside, characters correspond one to one.
        end = begin + len(tokenised) - 1
        first = begin - normal.count(" ", 0, begin)
        last = end - normal.count(" ", 0, end)
        return _part(words, _place(words, first), _place(words, last))

    def _normal(self, word: str) -> str:
        """What the tokenizer makes of a word before it cuts pieces, words of it spaced."""
        if word not in self._basic:
            self._basic[word] = " ".join(self._tokenizer.basic(word))
        return self._basic[word]


def _place(words: Sequence[str], character: int) -> tuple[int, int]:
    """Word, and character of that word, of a character of all words without spaces."""
    for number, word in enumerate(words):
        if character < len(word):
            return number, character
        character -= len(word)
    return len(words) - 1, len(words[-1]) - 1


def _part(words: Sequence[str], first: tuple[int, int], last: tuple[int, int]) -> Recovered:
    if first[0] == last[0]:
        text = words[first[0]][first[1] : last[1] + 1]
    else:
        between = words[first[0] + 1 : last[0]]
        text = " ".join((words[first[0]][first[1] :], *between, words[last[0]][: last[1] + 1]))
    return Recovered(text, first, last)
