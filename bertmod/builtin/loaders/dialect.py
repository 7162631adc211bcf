"""Spellings and options that BERT's PyTorch checkpoints have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertmod import CheckpointError

PARALLEL_PREFIX = "module."
"""What torch's DataParallel puts before every name."""

PREFIX = "bert."
OLD_SPELLING = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "relu": "relu",
}
"""Name of an activation in configurations to bertmod's."""

REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
COPIED = (
    *REQUIRED,
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
    "initializer_range",
)


PADDED_BY, PADDED_TO = 8, 128
"""Word embeddings are padded to a multiple of 8 rows, seldom of more than 128: 30,522 entries have
30,528 rows."""


def plain_name(name: str) -> str:
    """A tensor's name without prefixes and the old spelling of LayerNorm."""
    name = name.removeprefix(PARALLEL_PREFIX).removeprefix(PREFIX)
    for old, new in OLD_SPELLING.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no file or it holds anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def encoder_slot(
    values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, source: Path
) -> dict[str, Any]:
    """The encoder slot that a BERT configuration describes.

    Args:
        values: The configuration, with the keys of the first PyTorch port.
        shapes: Format name to shape of the tensors beside it; the word embeddings' rows count
            before the stated ``vocab_size``.
        source: The configuration file, for messages.

    Raises:
        CheckpointError: If a dimension is missing, or the model differs from BERT.
    """
    if lacking := [key for key in REQUIRED if not isinstance(values.get(key), int)]:
        raise CheckpointError(f"{source}: no number for {', '.join(lacking)}")
    _refuse_variants(values, source)
    act = values.get("hidden_act", "gelu")
    if str(act) not in ACTIVATIONS:
        raise CheckpointError(
            f'{source}: hidden_act "{act}" is not known\n  accepted: {", ".join(ACTIVATIONS)}'
        )
    slot = {"name": "bertmod/bert", "hidden_act": ACTIVATIONS[act]}
    slot |= {key: values[key] for key in COPIED if key in values}
    words = shapes.get("embeddings.word_embeddings.weight")
    return slot | {"vocab_size": words[0]} if words else slot


def _refuse_variants(values: Mapping[str, Any], source: Path) -> None:
    position = values.get("position_embedding_type", "absolute")
    if position != "absolute":
        raise CheckpointError(f'{source}: "{position}" position embeddings; bert has absolute ones')
    if values.get("is_decoder"):
        raise CheckpointError(f"{source}: a decoder; bert attends in both directions")


def vocabulary_size(path: Path) -> int:
    """Entries of a ``vocab.txt``, one per line.

    Raises:
        CheckpointError: If the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def check_vocabulary(path: Path, encoder: Mapping[str, Any]) -> None:
    """Refuse a vocabulary that is not the one that the word embeddings were trained with.

    Args:
        path: A ``vocab.txt``, one entry a line.
        encoder: The encoder slot; its ``vocab_size`` are the rows of the word embeddings. Rows
            without an entry are understood as padding alone: a multiple of 8 of them in all, and
            fewer than 128 behind the last entry.

    Raises:
        CheckpointError: Naming both numbers.
    """
    entries, rows = vocabulary_size(path), encoder["vocab_size"]
    if entries == rows or (entries < rows < entries + PADDED_TO and rows % PADDED_BY == 0):
        return
    lacking = "only " if entries > rows else ""
    raise CheckpointError(
        f"{path}: the vocabulary has {entries:,} entries, but the word embeddings have {lacking}"
        f"{rows:,} rows\n  use the vocabulary that belongs to the checkpoint"
    )
