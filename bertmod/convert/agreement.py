"""What two checkpoints must agree on beside their numbers: sizes, vocabulary, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from bertmod.contracts.tokenizer import RowTable
from bertmod.convert.sides import Side, Text
from bertmod.errors import DataError
from bertmod.wording import counted


def require_types(a: Side, b: Side, *, rows: RowTable) -> None:
    """Refuse pairs of texts where a checkpoint takes single ones.

    Raises:
        DataError: If one of the two has no embedding for the second text's tokens.
    """
    highest = int(rows.token_type_ids.max())
    for side in (a, b):
        if highest >= (known := side.sizes.type_vocab_size):
            raise DataError(
                f"{side.title}: its type_vocab_size is {known}, so it takes no pairs of texts\n"
                "  compare on single texts: --text TEXT or --input FILE"
            )


def unlike_sizes(a: Side, b: Side, *, rows: RowTable) -> Iterator[str]:
    """How the sizes differ that hidden states hang on; nothing if these can be compared.

    Args:
        a: The first.
        b: The second.
        rows: What they shall be compared on.
    """
    one, two = a.sizes, b.sizes
    for what, first, second in (
        ("layers", one.num_hidden_layers, two.num_hidden_layers),
        ("hidden size", one.hidden_size, two.hidden_size),
    ):
        if first != second:
            yield f"{what}: {first} in A, {second} in B"
    highest = int(rows.input_ids.max())
    for name, known in (("A", one.vocab_size), ("B", two.vocab_size)):
        if highest >= known:
            yield f"ids: A's tokenizer gives {highest:,}, the highest of {name} is {known - 1:,}"


def unlike_tokens(
    a: Side, b: Side, *, texts: Sequence[Text]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How the vocabularies and the tokens of whole texts differ, and what was not compared.

    Args:
        a: The first, which has a tokenizer.
        b: The second.
        texts: Texts and pairs.
    """
    one, two = a.rows(texts), b.rows(texts)
    assert one is not None
    if two is None:
        return (), ("B has no tokenizer to compare",)
    found = tuple(_unlike_entries(a.vocabulary(), b.vocabulary()))
    for number in range(len(texts)):
        first, second = _row(one, number), _row(two, number)
        if not np.array_equal(first, second):
            return (*found, f"tokens of text {number + 1}: {_where(a, b, first, second)}"), ()
    return found, ()


def _unlike_entries(a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    if len(a) != len(b):
        yield f"vocabulary: {len(a):,} entries in A, {len(b):,} in B"
    for number, (first, second) in enumerate(zip(a, b, strict=False)):
        if first != second:
            yield f'vocabulary: entry {number:,} is "{first}" in A, "{second}" in B'
            return


def _row(rows: RowTable, number: int) -> np.ndarray:
    """Ids of one row."""
    found: np.ndarray = rows.input_ids[rows.bounds[number] : rows.bounds[number + 1]]
    return found


def _where(a: Side, b: Side, first: np.ndarray, second: np.ndarray) -> str:
    """The first place at which two rows differ."""
    pairs = zip_longest(a.pieces(first.tolist()), b.pieces(second.tolist()))
    for number, (one, two) in enumerate(pairs):
        if one != two:
            return f"token {number + 1} is {_shown(one)} in A, {_shown(two)} in B"
    return f"{counted(len(first), 'token')} with other ids"


def _shown(piece: str | None) -> str:
    return "not there" if piece is None else f'"{piece}"'
