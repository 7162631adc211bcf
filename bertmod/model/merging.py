"""An encoder whose weights have taken in a task's adapters."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch

from bertmod.contracts.adapter import Adapter, MergeableAdapter
from bertmod.contracts.encoder import Encoder, EncoderShape
from bertmod.errors import CheckpointError


def merged_encoder(encoder: Encoder, adapters: Mapping[str, Adapter]) -> Encoder:
    """A copy of an encoder that gives by itself what it gives with one task's adapters.

    Sites are merged from the last to the first of a layer, and adapters at a site in the order in
    which they act: a scale before a projection must find the weights that act behind it.

    Args:
        encoder: The encoder; it is not changed.
        adapters: The task's adapters by id, in the order in which they act, as
            ``MultiTaskModel.task_adapters`` gives them.

    Returns:
        The copy, with weights of the same dtype. Its hidden states are the encoder's with the
        adapters in evaluation mode, up to rounding.

    Raises:
        CheckpointError: If one of the adapters cannot be merged; the message says which, and why.
    """
    if stuck := [name for name, each in adapters.items() if not isinstance(each, MergeableAdapter)]:
        raise CheckpointError(
            f"{_quoted(stuck)} cannot be merged into the encoder's weights: no change of them does "
            "the same (adapters that can have a method `merge`)"
        )
    for name, adapter in adapters.items():
        if absent := [site for site in adapter.sites if site not in encoder.shape.sites]:
            raise CheckpointError(f'"{name}" acts at {_quoted(absent)}, which this encoder lacks')
    merged = copy.deepcopy(encoder)
    with torch.no_grad():
        for site, layer, name in _order(encoder.shape, adapters):
            _merge(adapters[name], name, site=site, layer=layer, into=merged)
    return merged


def _order(shape: EncoderShape, adapters: Mapping[str, Adapter]) -> Iterator[tuple[str, int, str]]:
    """Where each adapter is merged: site, layer, id."""
    for site in reversed(tuple(shape.sites)):
        for name, adapter in adapters.items():
            for layer in adapter.sites.get(site, ()):
                yield site, layer, name


def _merge(adapter: Adapter, name: str, *, site: str, layer: int, into: Encoder) -> None:
    assert isinstance(adapter, MergeableAdapter)
    try:
        adapter.merge(site, layer, into.projection)
    except ValueError as error:
        raise CheckpointError(
            f'"{name}" cannot be merged at "{site}" in layer {layer}: {error}'
        ) from error


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
