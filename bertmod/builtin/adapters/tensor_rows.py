"""Rows that name the tensors of an adapter, here and in Bert-n-Pals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bertmod import TensorName

FORMAT = "bert_n_pals"
"""The format of Bert-n-Pals' state dicts."""


def pair(
    canonical: str,
    shape: tuple[int, ...],
    stored: str | None,
    *,
    copies: Sequence[str] = (),
    fused: tuple[str, int] | None = None,
) -> Iterator[TensorName]:
    """Weight and bias of a linear layer, or gain and offset of a LayerNorm.

    Args:
        canonical: Name of the layer within the adapter.
        shape: Shape of its weight.
        stored: Name of the layer in Bert-n-Pals; None if that has no such layer.
        copies: Further names of the layer there.
        fused: The module's own layer and the place of this one in it.
    """
    for kind, lengths in (("weight", shape), ("bias", shape[:1])):
        yield TensorName(
            f"{canonical}.{kind}",
            lengths,
            {} if stored is None else {FORMAT: f"{stored}.{kind}"},
            copies={FORMAT: tuple(f"{name}.{kind}" for name in copies)} if copies else {},
            fused=None if fused is None else (f"{fused[0]}.{kind}", fused[1]),
            norm=len(shape) == 1,
        )


def qkv(prefix: str, suffix: str, size: int, stored: str | None) -> Iterator[TensorName]:
    """Query, key and value of a square attention, one matrix in the module.

    Args:
        prefix: What their canonical names begin with, its dot included; may be empty.
        suffix: What stands behind ``query``, ``key`` and ``value``, its dot included.
        size: Width of the attention, units.
        stored: What their names in Bert-n-Pals begin with, without dot; None if it has none.
    """
    for place, name in enumerate(("query", "key", "value")):
        yield from pair(
            f"{prefix}{name}{suffix}",
            (size, size),
            None if stored is None else f"{stored}.{name}",
            fused=(f"{prefix}qkv{suffix}", place),
        )
