"""What the tensors of one BERT layer are called within the layer, here and in files."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import Part, TensorName

FORMATS = ("huggingface", "bert_n_pals")
"""Formats that use the names of the first PyTorch port, once prefixes and the old spelling of
LayerNorm parameters are taken off."""

TENSORFLOW = "tensorflow"
"""The format of Google's checkpoints, once the prefix ``bert/`` is taken off; kernels lie there
transposed."""


def layer_names(hidden: int, inner: int) -> tuple[TensorName, ...]:
    """A row for every tensor of a layer, relative to the layer.

    Args:
        hidden: Width of the hidden states, units.
        inner: Width between the two feed-forward layers, units.
    """
    return tuple(_rows(hidden, inner))


def pair(
    canonical: str,
    shape: tuple[int, ...],
    stored: str,
    *,
    depth: int | None = None,
    part: Part | None = None,
    fused: tuple[str, int] | None = None,
) -> Iterator[TensorName]:
    """Weight and bias of a linear layer, or gain and offset of a LayerNorm."""
    norm = len(shape) == 1
    google = ("gamma", "beta") if norm else ("kernel", "bias")
    kinds = (("weight", shape, google[0]), ("bias", shape[:1], google[1]))
    for kind, size, there in kinds:
        yield TensorName(
            f"{canonical}.{kind}",
            size,
            {
                **dict.fromkeys(FORMATS, f"{stored}.{kind}"),
                TENSORFLOW: f"{stored.replace('.', '/')}/{there}",
            },
            transposed=frozenset({TENSORFLOW} if there == "kernel" else ()),
            fused=None if fused is None else (f"{fused[0]}.{kind}", fused[1]),
            part=part,
            depth=depth,
            norm=norm,
        )


def _rows(hidden: int, inner: int) -> Iterator[TensorName]:
    for place, name in enumerate(("query", "key", "value")):
        yield from pair(
            f"attention.{name}",
            (hidden, hidden),
            f"attention.self.{name}",
            fused=("attention.qkv", place),
        )
    yield from pair("attention.dense", (hidden, hidden), "attention.output.dense")
    yield from pair("attention.norm", (hidden,), "attention.output.LayerNorm")
    yield from pair("ffn.up", (inner, hidden), "intermediate.dense")
    yield from pair("ffn.down", (hidden, inner), "output.dense")
    yield from pair("ffn.norm", (hidden,), "output.LayerNorm")
