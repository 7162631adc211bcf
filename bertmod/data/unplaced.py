"""Pieces of texts where nobody asks where in a text they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from bertmod.contracts.tokenizer import PieceTable, Tokenizer


@runtime_checkable
class UnplacedTokenizer(Protocol):
    """A tokenizer that is faster where offsets are not wanted; others need not be one."""

    def unplaced(self, texts: Sequence[str]) -> PieceTable:
        """What ``Tokenizer.texts`` gives, but offsets that mean nothing."""
        ...


def unplaced_pieces(tokenizer: Tokenizer, texts: Sequence[str]) -> PieceTable:
    """Pieces of whole texts, whose offsets are not to be read.

    Args:
        tokenizer: Any tokenizer.
        texts: The texts.
    """
    if isinstance(tokenizer, UnplacedTokenizer):
        return tokenizer.unplaced(texts)
    return tokenizer.texts(texts)
