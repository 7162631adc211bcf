"""How many rows the word embeddings of a vocabulary have."""

from __future__ import annotations

PADDED_BY, PADDED_TO = 8, 128
"""Word embeddings are padded to a multiple of 8 rows, seldom of more than 128: 30,522 entries have
30,528 rows."""


def suits(entries: int, *, rows: int) -> bool:
    """Whether word embeddings may have been trained with a vocabulary.

    Rows without an entry are understood as padding alone: a multiple of 8 of them in all, and
    fewer than 128 behind the last entry.

    Args:
        entries: Entries of the vocabulary.
        rows: Rows of the word embeddings.
    """
    padded = entries < rows < entries + PADDED_TO and rows % PADDED_BY == 0
    return entries == rows or padded
