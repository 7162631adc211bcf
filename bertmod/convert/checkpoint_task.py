"""One task of any checkpoint, built: its head, and its adapters where it has some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch.nn import Module

from bertmod.contracts.adapter import Adapter, AdapterContext
from bertmod.contracts.checkpoint import LoadReport, TensorName
from bertmod.contracts.encoder import Encoder
from bertmod.contracts.head import Head, HeadContext
from bertmod.convert.source import Source, SourceAdapter, SourceTask
from bertmod.errors import CheckpointError
from bertmod.model.loading import Component, load_tensors
from bertmod.model.sites import site_weights
from bertmod.nn.initialisation import initialise
from bertmod.wording import listed


@dataclass(frozen=True)
class CheckpointTask:
    """What a checkpoint has of a task beside the encoder, in evaluation mode.

    Attributes:
        head: The head.
        adapters: Its adapters, in the order in which they act.
        labels: Label names in the order of the logits; None if the checkpoint does not say.
    """

    head: Head
    adapters: tuple[Adapter, ...]
    labels: tuple[str, ...] | None


def load_task(source: Source, encoder: Encoder, task: str) -> tuple[CheckpointTask, LoadReport]:
    """The head and the adapters of a checkpoint's task, on the encoder's device.

    Args:
        source: The checkpoint, with all of its tasks.
        encoder: Its encoder, loaded.
        task: Id of the task, or its number in the file. Where the file does not say what its
            tasks are called, the name of a head that it has once; any name, if it has one task.

    Raises:
        CheckpointError: If the checkpoint has no such task, or a tensor is missing, damaged or
            does not fit.
    """
    found = _find(source, task)
    with torch.random.fork_rng(devices=[]):  # fresh values are drawn, to be overwritten
        adapters = {slot.id: _adapter(slot, encoder, found.key) for slot in found.adapters}
        head = _head(found, encoder)
    owners: Mapping[str, tuple[Sequence[TensorName], object]] = {
        f"heads.{found.key}": (found.names, head),
        **{
            f"adapters.{found.key}.{slot.id}": (slot.names, adapters[slot.id])
            for slot in found.adapters
        },
    }
    components = [Component("encoder", source.encoder_names)]
    for prefix, (names, module) in owners.items():
        components.append(
            Component(prefix, names, cast(Module, module), index=found.index, required=True)
        )
    report = load_tensors(
        source.stored, source.opened.description, components, source=source.opened.path
    )
    device = next(cast(Module, encoder).parameters()).device
    for _, module in owners.values():
        cast(Module, module).to(device).eval()
    return CheckpointTask(head, tuple(adapters.values()), found.info.labels), report


def _find(source: Source, task: str) -> SourceTask:
    for each in source.tasks:
        if task in (each.id, each.key):
            return each
    if not source.opened.description.tasks:
        alike = [each for each in source.tasks if each.head.spec.name == task] or source.tasks
        if len(alike) == 1:
            return alike[0]
    known = listed(each.key for each in source.tasks)
    raise CheckpointError(f'{source.opened.path}: no task "{task}" there\n  there: {known}')


def _adapter(slot: SourceAdapter, encoder: Encoder, task: str) -> Adapter:
    context = AdapterContext(
        task=task,
        shape=encoder.shape,
        layers=slot.layers,
        new_layer=encoder.new_layer,
        weights=partial(site_weights, encoder),
        init=initialise,
    )
    return cast(Adapter, slot.slot.spec.build(slot.slot.config, context))


def _head(task: SourceTask, encoder: Encoder) -> Head:
    """The task's head; one without label names gets numbers for them."""
    info = task.info
    if info.labels is None and task.num_labels is not None:
        info = replace(info, labels=tuple(map(str, range(task.num_labels))))
    longest = encoder.shape.max_length
    context = HeadContext(task.key, encoder.shape, info, initialise, longest)
    return cast(Head, task.head.spec.build(task.head.config, context))
