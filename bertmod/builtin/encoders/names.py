"""What the tensors of the BERT encoder are called, here and in files."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import Part, TensorName
from bertmod.builtin.encoders.config import BertConfig, dimensions

FORMATS = ("huggingface", "bert_n_pals")
"""Formats that use the names of the first PyTorch port, once prefixes and the old spelling of
LayerNorm parameters are taken off."""


def names(config: BertConfig) -> tuple[TensorName, ...]:
    """A row for every tensor of the encoder."""
    sizes = dimensions(config)
    hidden = sizes.hidden_size
    rows = [
        _row("embeddings.word_embeddings.weight", (sizes.vocab_size, hidden)),
        _row("embeddings.position_embeddings.weight", (sizes.max_position_embeddings, hidden)),
        _row("embeddings.token_type_embeddings.weight", (sizes.type_vocab_size, hidden)),
        *_pair("embeddings.norm", (hidden,), "embeddings.LayerNorm"),
    ]
    for layer in range(sizes.num_hidden_layers):
        rows.extend(_layer(layer, hidden, sizes.intermediate_size))
    rows.extend(_pair("pooler.dense", (hidden, hidden), "pooler.dense", part="pooled"))
    return tuple(rows)


def _layer(layer: int, hidden: int, inner: int) -> Iterator[TensorName]:
    here, there = f"layer.{layer}", f"encoder.layer.{layer}"
    for place, name in enumerate(("query", "key", "value")):
        yield from _pair(
            f"{here}.attention.{name}",
            (hidden, hidden),
            f"{there}.attention.self.{name}",
            fused=(f"{here}.attention.qkv", place),
        )
    dense = f"{there}.attention.output"
    yield from _pair(f"{here}.attention.dense", (hidden, hidden), f"{dense}.dense")
    yield from _pair(f"{here}.attention.norm", (hidden,), f"{dense}.LayerNorm")
    yield from _pair(f"{here}.ffn.up", (inner, hidden), f"{there}.intermediate.dense")
    yield from _pair(f"{here}.ffn.down", (hidden, inner), f"{there}.output.dense")
    yield from _pair(f"{here}.ffn.norm", (hidden,), f"{there}.output.LayerNorm")


def _pair(
    canonical: str,
    shape: tuple[int, ...],
    stored: str,
    *,
    part: Part | None = None,
    fused: tuple[str, int] | None = None,
) -> Iterator[TensorName]:
    """Weight and bias of a linear layer, or gain and offset of a LayerNorm."""
    for kind, size in (("weight", shape), ("bias", shape[:1])):
        yield TensorName(
            f"{canonical}.{kind}",
            size,
            dict.fromkeys(FORMATS, f"{stored}.{kind}"),
            fused=None if fused is None else (f"{fused[0]}.{kind}", fused[1]),
            part=part,
        )


def _row(name: str, shape: tuple[int, ...]) -> TensorName:
    return TensorName(name, shape, dict.fromkeys(FORMATS, name))
