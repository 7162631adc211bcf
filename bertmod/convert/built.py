"""A checkpoint's encoder, and a task's head and adapters, as modules with its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch.nn import Module

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.checkpoint import CheckpointDescription, TensorName
from bertmod.contracts.encoder import Encoder, EncoderContext
from bertmod.contracts.head import Head, HeadContext
from bertmod.convert.source import Source, SourceAdapter, SourceTask
from bertmod.convert.tensors import Tensors, task_labels
from bertmod.inference.resident import in_memory
from bertmod.model.canonical import own_names
from bertmod.model.loading import OWN_FORMAT, Component, load_tensors
from bertmod.model.sites import adapter_context
from bertmod.nn.initialisation import initialise
from bertmod.recipe.resolve import Slot


@dataclass(frozen=True)
class BuiltTask:
    """What a checkpoint has of a task beside the encoder, in evaluation mode, on the CPU.

    Attributes:
        head: The head.
        adapters: Its adapters by id, in the order in which they act.
    """

    head: Head
    adapters: Mapping[str, Adapter]


def build_encoder(source: Source, tensors: Tensors) -> Encoder:
    """The encoder, in evaluation mode, on the CPU.

    Args:
        source: The checkpoint.
        tensors: What was read of it; parts that it lacks, such as the pooler, get fresh values.
    """
    slot = source.opened.encoder
    with torch.random.fork_rng(devices=[]):  # fresh values are drawn, to be overwritten
        encoder = cast(Encoder, slot.spec.build(slot.config, EncoderContext(init=initialise)))
    part = Component("encoder", source.encoder_names, cast(Module, encoder), want=frozenset())
    _fill([part], tensors, path=source.opened.path)
    return encoder


def build_task(
    source: Source, task: SourceTask, *, encoder: Encoder, tensors: Tensors
) -> BuiltTask:
    """A task's head and adapters.

    Args:
        source: The checkpoint.
        task: One of its tasks.
        encoder: Its encoder, with its values.
        tensors: What was read of it.

    Raises:
        CheckpointError: If a component has other tensors than the file.
    """
    with torch.random.fork_rng(devices=[]):
        adapters = {each.id: _adapter(each, encoder, task.id) for each in task.adapters}
        head = _head(task, encoder)
    parts = [_part(f"heads.{task.id}", task.head, task.names, head)]
    for each in task.adapters:
        prefix = f"adapters.{task.id}.{each.id}"
        parts.append(_part(prefix, each.slot, each.names, adapters[each.id]))
    _fill(parts, tensors, path=source.opened.path)
    return BuiltTask(head, adapters)


def _part(prefix: str, slot: Slot, names: Sequence[TensorName], module: object) -> Component:
    """A component to be filled; one that declares no names has those of its module."""
    found = cast(Module, module)
    if slot.spec.names is None:
        names = own_names(found)
    return Component(prefix, names, found, required=True)


def _fill(parts: Sequence[Component], tensors: Tensors, *, path: str) -> None:
    """Put what was read into modules."""
    stored = {
        f"{part.prefix}.{name}": tensor
        for part in parts
        for name, tensor in tensors[part.prefix].items()
    }
    load_tensors(in_memory(stored), CheckpointDescription(OWN_FORMAT), parts, source=path)
    for part in parts:
        assert part.module is not None
        part.module.eval()


def _adapter(adapter: SourceAdapter, encoder: Encoder, task: str) -> Adapter:
    context = adapter_context(encoder, task, layers=adapter.layers, init=initialise)
    return cast(Adapter, adapter.slot.spec.build(adapter.slot.config, context))


def _head(task: SourceTask, encoder: Encoder) -> Head:
    """The task's head; one without label names gets those that a copy of it would have."""
    info = replace(task.info, labels=task_labels(task))
    longest = encoder.shape.max_length
    context = HeadContext(task.id, encoder.shape, info, initialise, longest)
    return cast(Head, task.head.spec.build(task.head.config, context))
