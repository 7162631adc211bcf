"""Whether an encoder knows every token of features: by its id, and by the text that it is of."""

from __future__ import annotations

from bertmod.contracts.encoder import EncoderShape
from bertmod.data.features import FeatureTable
from bertmod.errors import DataError


def require_known_tokens(table: FeatureTable, shape: EncoderShape, *, owner: str) -> None:
    """Refuse features that have rows of an embedding matrix looked up which it does not have.

    Args:
        table: The features.
        shape: The encoder's; what it does not tell is not checked.
        owner: Whose features they are, for the message.

    Raises:
        DataError: If a token type or a token id is too high.
    """
    highest = {name: int(column.max(initial=0)) for name, column in table.tokens.items()}
    types, ids = highest.get("token_type_ids", 0), highest["input_ids"]
    if shape.type_vocab_size is not None and types >= shape.type_vocab_size:
        raise DataError(
            f"{owner}: pairs of texts, of {types + 1} token types, but the encoder's "
            f"type_vocab_size is {shape.type_vocab_size}\n"
            "  take single texts, or an encoder that was trained on pairs"
        )
    if shape.vocab_size is not None and ids >= shape.vocab_size:
        raise DataError(
            f"{owner}: a token has the id {ids:,}, but the encoder has {shape.vocab_size:,} word "
            "embeddings\n  use the vocabulary that belongs to the encoder"
        )
