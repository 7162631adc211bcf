"""Adapters taken into the encoder's weights before a checkpoint is written."""

from __future__ import annotations

from typing import cast

import torch
from torch.nn import Module

from bertmod.convert.checkpoint_task import load_task
from bertmod.convert.source import Source
from bertmod.convert.tensors import Tensors
from bertmod.errors import CheckpointError
from bertmod.inference.resident import resident_encoder
from bertmod.model.canonical import canonical_tensors
from bertmod.model.merging import merged_encoder
from bertmod.wording import listed


def take_in_adapters(source: Source, tensors: Tensors) -> Tensors:
    """Tensors of a checkpoint whose encoder does by itself what it did with its task's adapters.

    Args:
        source: The checkpoint, opened for one task.
        tensors: Its tensors.

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
    with torch.random.fork_rng(devices=[]):  # fresh values are drawn, to be overwritten
        base, _ = resident_encoder(source.opened, device="cpu", want=source.want)
        built, _ = load_task(source, base.encoder, task.id)
    ids = [adapter.id for adapter in task.adapters]
    try:
        encoder = merged_encoder(base.encoder, dict(zip(ids, built.adapters, strict=True)))
    except CheckpointError as error:
        raise CheckpointError(
            f"{path}: task {task.id}: {error}\n"
            "  keep the adapters: --to bertmod\n  leave heads and adapters out: --encoder-only"
        ) from error
    whole = canonical_tensors(cast(Module, encoder), source.encoder_names)
    return {
        "encoder": {name: whole[name] for name in tensors["encoder"]},
        f"heads.{task.id}": tensors[f"heads.{task.id}"],
    }
