"""Words of a text, and where an answer stands among them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

_WORD = re.compile("[^ \t\r\n\u202f]+")


class Words:
    """Words of a text, cut at spaces, tabs, line ends and narrow no-break spaces alone.

    Other spaces of Unicode, U+00A0 among them, are part of a word.

    Attributes:
        texts: The words.
        starts: Character of the text at which each word begins, ascending.

    Source: google-research/bert run_squad.py.
    """

    def __init__(self, text: str) -> None:
        found = list(_WORD.finditer(text))
        self.texts: list[str] = [word.group() for word in found]
        self.starts: list[int] = [word.start() for word in found]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def _starts_W(self) -> np.ndarray:
        return np.asarray(self.starts, np.int64)

    def at(self, character: int) -> int:
        """The word that a character belongs to; of a space, the word before it or the first."""
        return max(0, int(np.searchsorted(self._starts_W, character, side="right")) - 1)

    def span(self, first: int, last: int) -> str:
        """Words joined by single spaces, both ends included."""
        return " ".join(self.texts[first : last + 1])


def locate(words: Words, context: str, answer: Mapping[str, Any]) -> tuple[int, int] | None:
    """First and last word of an answer, or None where its words do not stand there.

    Args:
        words: Words of the context.
        context: The context.
        answer: ``text`` and ``answer_start``, in characters of the context.

    Source: google-research/bert run_squad.py, which compares the words alone and so loses answers
    that hold a space of Unicode (U+00A0) although they stand there to the letter.
    """
    text, start = answer["text"], answer["answer_start"]
    end = start + len(text) - 1
    if not text.strip() or start < 0 or end >= len(context) or not len(words):
        return None
    first, last = words.at(start), words.at(end)
    same = context[start : end + 1] == text or " ".join(text.split()) in words.span(first, last)
    return (first, last) if same else None


def why_lost(context: str, answer: Mapping[str, Any]) -> str:
    """What is wrong with an answer that ``locate`` does not find."""
    text, start = answer["text"], answer["answer_start"]
    if not text.strip():
        return "its answer is empty"
    if not context.strip():
        return "its context is empty"
    shown = f'answer "{_short(text)}"'
    if text not in context:
        alike = _plain(text) in _plain(context)
        only = ", only one with other accents, case or spaces" if alike else ""
        return f"{shown} is not in its context{only}"
    if not 0 <= start <= len(context) - len(text):
        return f"{shown} cannot begin at {start} of a context of {len(context)} characters"
    return f'{shown} is not at {start}, where "{_short(context[start : start + len(text)])}" stands'


def _plain(text: str) -> str:
    """A text without accents, case and spaces."""
    parts = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in parts if not (c.isspace() or unicodedata.combining(c)))


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
