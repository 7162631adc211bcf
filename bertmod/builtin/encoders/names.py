"""What the tensors of the BERT encoder are called, here and in files."""

from __future__ import annotations

from dataclasses import replace

from bertmod import TensorName
from bertmod.builtin.encoders.config import BertConfig, dimensions
from bertmod.builtin.encoders.layer_names import FORMATS, TENSORFLOW, layer_names, pair


def names(config: BertConfig) -> tuple[TensorName, ...]:
    """A row for every tensor of the encoder."""
    sizes = dimensions(config)
    hidden = sizes.hidden_size
    rows = [
        _row("embeddings.word_embeddings.weight", (sizes.vocab_size, hidden)),
        _row("embeddings.position_embeddings.weight", (sizes.max_position_embeddings, hidden)),
        _row("embeddings.token_type_embeddings.weight", (sizes.type_vocab_size, hidden)),
        *pair("embeddings.norm", (hidden,), "embeddings.LayerNorm", depth=0),
    ]
    own = layer_names(hidden, sizes.intermediate_size)
    for layer in range(sizes.num_hidden_layers):
        rows.extend(_in_layer(row, layer) for row in own)
    above = sizes.num_hidden_layers + 1
    rows.extend(pair("pooler.dense", (hidden, hidden), "pooler.dense", depth=above, part="pooled"))
    return tuple(rows)


def depths(config: BertConfig) -> dict[str, int]:
    """The depth of every parameter of the module."""
    return {row.parameter: row.depth for row in names(config) if row.depth is not None}


def _in_layer(row: TensorName, layer: int) -> TensorName:
    """A row of a layer as a row of the encoder."""
    here, there = f"layer.{layer}.", dict.fromkeys(FORMATS, f"encoder.layer.{layer}.")
    there[TENSORFLOW] = f"encoder/layer_{layer}/"
    return replace(
        row,
        canonical=here + row.canonical,
        stored={name: there[name] + stored for name, stored in row.stored.items()},
        fused=None if row.fused is None else (here + row.fused[0], row.fused[1]),
        depth=layer + 1,
    )


def _row(name: str, shape: tuple[int, ...]) -> TensorName:
    stored = dict.fromkeys(FORMATS, name)
    stored[TENSORFLOW] = name.removesuffix(".weight").replace(".", "/")
    return TensorName(name, shape, stored, depth=0)
