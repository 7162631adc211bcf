"""What a tokenizer is: batches of texts to pieces, and pieces to rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PieceTable:
    """Pieces of many texts, one text behind another.

    Attributes:
        ids: Vocabulary indices, (pieces,), int32.
        offsets: Start and end of each piece in its text, (pieces, 2), characters, int32.
        words: Index of the word each piece belongs to, (pieces,), int32; for plain texts words
            are what pre-tokenisation gives (punctuation counts).
        bounds: Where each text begins, (texts + 1,), int64: text i is ``bounds[i]:bounds[i+1]``.
    """

    ids: np.ndarray
    offsets: np.ndarray
    words: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1


@dataclass(frozen=True)
class RowTable:
    """Rows ready for an encoder, one behind another.

    Attributes:
        input_ids: Vocabulary indices with special tokens, (tokens,), int32.
        token_type_ids: Segment of each token, (tokens,), uint8.
        bounds: Where each row begins, (rows + 1,), int64.
        truncated: Whether pieces were cut from the row, (rows,), bool.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    bounds: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1


class Tokenizer(Protocol):
    """Text to vocabulary indices and back.

    Attributes:
        vocab_size: Entries of the vocabulary.
        special: Ids by name: ``[PAD] [UNK] [CLS] [SEP] [MASK]``; a name the vocabulary lacks is
            absent.
        fingerprint: Hash of vocabulary and options: equal ones give equal pieces.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def special(self) -> Mapping[str, int]: ...
    @property
    def fingerprint(self) -> str: ...

    def texts(self, texts: Sequence[str]) -> PieceTable:
        """Pieces of whole texts; special tokens inside a text are plain text."""
        ...

    def words(self, sentences: Sequence[Sequence[str]]) -> PieceTable:
        """Pieces of texts already split into words; ``words`` counts the given words."""
        ...

    def rows(self, first: PieceTable, second: PieceTable | None, *, max_length: int) -> RowTable:
        """Rows of single texts or pairs: ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.

        Args:
            first: First texts.
            second: Second texts, as many, or None. A second text without pieces is dropped with
                its [SEP].
            max_length: Longest row in tokens, special tokens counted. The longer text of a pair
                loses pieces from its end, on a tie the second.
        """
        ...

    def basic(self, text: str) -> list[str]:
        """Words of a text before they are cut into pieces."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Vocabulary entries of ids."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """File name to content of what must lie beside an encoder to make this tokenizer again."""
        ...
