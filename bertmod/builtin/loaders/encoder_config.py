"""A BERT configuration as an encoder slot, held against the tensors beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertmod import CheckpointError

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

Matrices = Mapping[str, tuple[str, int]]
"""Option to the matrix, and the axis of it, that shows its value."""

MATRICES: Matrices = {
    "vocab_size": ("embeddings.word_embeddings.weight", 0),
    "hidden_size": ("embeddings.word_embeddings.weight", 1),
    "intermediate_size": ("encoder.layer.0.intermediate.dense.weight", 0),
    "max_position_embeddings": ("embeddings.position_embeddings.weight", 0),
    "type_vocab_size": ("embeddings.token_type_embeddings.weight", 0),
}
LAYER = r"encoder\.layer\.(\d+)\."


def measured(
    shapes: Mapping[str, tuple[int, ...]], matrices: Matrices = MATRICES, *, layer: str = LAYER
) -> dict[str, int]:
    """The sizes of an encoder that its tensors show.

    Args:
        shapes: Format name to shape.
        matrices: What to measure; by default those of the PyTorch ports.
        layer: Pattern of what a layer's names begin with, its number in a group.
    """
    sizes = {
        option: shapes[name][axis]
        for option, (name, axis) in matrices.items()
        if len(shapes.get(name, ())) == 2
    }
    layers = [int(match[1]) for name in shapes if (match := re.match(layer, name))]
    return sizes | ({"num_hidden_layers": max(layers) + 1} if layers else {})


def encoder_slot(
    values: Mapping[str, Any], sizes: Mapping[str, int], *, source: Path, weights: Path
) -> dict[str, Any]:
    """The encoder slot that a BERT configuration describes.

    Args:
        values: The configuration, with the keys of Google's programs.
        sizes: What the tensors show. They fill what the configuration leaves out, and the word
            embeddings' rows count before the stated ``vocab_size``: there may be more, as padding.
        source: The configuration file, for messages.
        weights: The file of the tensors, for messages.

    Raises:
        CheckpointError: If a dimension is missing, if the configuration is of another model than
            the tensors, or if the model differs from BERT.
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
    slot |= {key: values[key] for key in COPIED if values.get(key) is not None}
    _compare(slot, sizes, source=source, weights=weights)
    return {**slot, **sizes}


def _compare(
    slot: Mapping[str, Any], sizes: Mapping[str, int], *, source: Path, weights: Path
) -> None:
    """Refuse the configuration of another model."""
    lines = [
        f"  {option}: {json.dumps(slot[option])} in the configuration, {size} in the tensors\n"
        for option, size in sizes.items()
        if option != "vocab_size" and slot.get(option, size) != size
    ]
    if lines:
        raise CheckpointError(
            f"{source}: disagrees with the tensors of {weights.name}\n{''.join(lines)}"
            f"  use the {source.name} that belongs to the checkpoint"
        )


def _refuse_variants(values: Mapping[str, Any], source: Path) -> None:
    position = values.get("position_embedding_type", "absolute")
    if position != "absolute":
        raise CheckpointError(f'{source}: "{position}" position embeddings; bert has absolute ones')
    if values.get("is_decoder"):
        raise CheckpointError(f"{source}: a decoder; bert attends in both directions")
