"""Adapters taken into the encoder's weights before a checkpoint is written."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch.nn import Module

from bertmod.convert.built import build_encoder, build_task
from bertmod.convert.source import Source
from bertmod.convert.tensors import Tensors
from bertmod.errors import CheckpointError
from bertmod.model.canonical import canonical_tensors
from bertmod.model.merging import merged_encoder
from bertmod.wording import listed


def take_in_adapters(source: Source, tensors: Tensors) -> tuple[Source, Tensors]:
    """A checkpoint whose encoder does by itself what it did with its task's adapters.

    Args:
        source: The checkpoint, opened for one task.
        tensors: Its tensors.

    Returns:
        The checkpoint without adapters, and its tensors.

    Raises:
        CheckpointError: If it has several tasks, no adapters, or some that cannot be merged.
    """
    path = source.opened.path
    if not any(task.adapters for task in source.tasks):
        raise CheckpointError(f"{path}: no adapters there to merge\n  leave --merge out")
    if len(source.tasks) > 1:
        known = listed(task.id for task in source.tasks)
        raise CheckpointError(
            f"{path}: the adapters of each task make another encoder of it ({known})\n"
            "  choose one: --task ID"
        )
    (task,) = source.tasks
    base = build_encoder(source, tensors)
    built = build_task(source, task, encoder=base, tensors=tensors)
    try:
        encoder = merged_encoder(base, built.adapters)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: task {task.id}: {error}\n"
            "  keep the adapters: --to bertmod\n  leave heads and adapters out: --encoder-only"
        ) from error
    whole = canonical_tensors(cast(Module, encoder), source.encoder_names)
    head = f"heads.{task.id}"
    return (
        replace(source, tasks=(replace(task, adapters=()),)),
        {"encoder": {name: whole[name] for name in tensors["encoder"]}, head: tensors[head]},
    )
