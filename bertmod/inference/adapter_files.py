"""Adapter files: one task's adapters and head, for an encoder that is in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bertmod.assemble.components import build_task, task_components
from bertmod.assemble.data import PreparedTask, prepare_tasks
from bertmod.contracts.adapter import Adapter
from bertmod.contracts.checkpoint import CheckpointDescription
from bertmod.contracts.head import Head, TaskInfo
from bertmod.errors import CheckpointError
from bertmod.inference.resident import ResidentEncoder, in_memory
from bertmod.model.folder import read_task
from bertmod.model.loading import OWN_FORMAT, load_tensors
from bertmod.model.record import TASK_FILE, TENSOR_FILE, TaskRecord, read_task_record
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe, ResolvedTask

HASH_DIGITS = 12
"""Digits of an encoder's hash that messages show."""


@dataclass(frozen=True)
class LoadedTask:
    """What an adapter file holds, built.

    ``model.attach(task.id, task.adapters, task.head)`` puts it to work.

    Attributes:
        id: Id of the task.
        adapters: Its adapters by id, in the order in which they act, on the CPU.
        head: Its head, on the CPU.
        prepared: The task itself, which makes features of texts and answers of outputs.
        record: What the file says of itself.
    """

    id: str
    adapters: Mapping[str, Adapter]
    head: Head
    prepared: PreparedTask
    record: TaskRecord

    @property
    def info(self) -> TaskInfo:
        """Label names or value range."""
        return self.record.info


def load_adapter(
    folder: Path | str,
    base: ResidentEncoder,
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
) -> LoadedTask:
    """A task's adapters and head from its folder, for an encoder that is in memory.

    Args:
        folder: The folder of the task, such as ``RUN/best/tasks/cola``: ``task.json`` and
            ``model.safetensors``.
        base: The encoder.
        task: Id that the task shall have here; None: its own.
        labels: Label names that are expected, in order; None takes whatever the file has.

    Raises:
        CheckpointError: If the file is damaged, incomplete, has more than it should or values
            that are not finite, is of a newer format, or is for another encoder or other labels
            than asked for.
        RecipeError: If an adapter, the head or the task comes from a plugin that is not
            installed, or the installed one takes other options.
    """
    folder = Path(folder)
    require_adapter_file(folder)
    record = read_task_record(folder)
    if not record.task:
        raise CheckpointError(
            f"{folder}: a head without a task, so it answers nothing\n"
            "  it can be trained from, as a checkpoint, and converted"
        )
    _check_base(folder, record, base.hash)
    if labels is not None and record.info.labels != tuple(labels):
        raise CheckpointError(
            f"{folder}: its label names are {_shown(record.info.labels)}, those asked for "
            f"{_shown(labels)}"
        )
    recipe = task_recipe(record, base, task or record.id, title=str(folder / TASK_FILE))
    (slot,) = recipe.tasks
    with torch.random.fork_rng(devices=[]):  # fresh values are drawn, to be overwritten
        adapters, head = build_task(recipe, slot, base.encoder, record.info)
    fill_task(recipe, slot, adapters, head, folder=folder)
    infos = {slot.id: record.info}
    prepared = prepare_tasks(recipe, base.registry, base.tokenizer, infos=infos)[slot.id]
    return LoadedTask(slot.id, adapters, head, prepared, record)


def require_adapter_file(folder: Path) -> None:
    """Refuse a folder that has nothing of a task, such as that of a whole run.

    Raises:
        CheckpointError: If it is one, or not there.
    """
    if not any((folder / name).exists() for name in (TASK_FILE, TENSOR_FILE)):
        what = f"no adapter file (it has no {TASK_FILE})" if folder.is_dir() else "no such folder"
        raise CheckpointError(
            f"{folder}: {what}\n  accepted: the folder of one task, such as RUN/best/tasks/cola"
        )


def task_recipe(
    record: TaskRecord, base: ResidentEncoder, task: str, *, title: str
) -> ResolvedRecipe:
    """A recipe of one trained task on an encoder, from which its parts are built.

    Args:
        record: What the task's folder says.
        base: The encoder.
        task: Id that the task shall have.
        title: What messages call the recipe.

    Raises:
        RecipeError: If a component is not installed or takes other options.
    """
    longest = base.encoder.shape.max_length
    values: dict[str, Any] = {
        **base.slots,
        "init": dict(record.init),
        "data": {"dir": "sample", "max_length": min(longest, 128)},
        "tasks": [{**record.task, "id": task, "uses": None, "head": dict(record.head)}],
        "adapters": [{**slot, "tasks": "all"} for slot in record.adapters],
        "sampler": {"name": "bertmod/proportional"},
        "trackers": [],
    }
    return resolve(raw_recipe(values, title=title), base.registry)


def fill_task(
    recipe: ResolvedRecipe,
    slot: ResolvedTask,
    adapters: Mapping[str, Adapter],
    head: Head,
    *,
    folder: Path,
) -> None:
    """Put the tensors of a task's folder into its adapters and head.

    Raises:
        CheckpointError: If the file is damaged, has values that are not finite, or has not
            exactly the tensors that they have.
    """
    _, tensors = read_task(folder)
    require_finite(folder, tensors)
    components = task_components(recipe, slot, adapters, head)
    description = CheckpointDescription(OWN_FORMAT)
    load_tensors(in_memory(tensors), description, components, source=str(folder))


def require_finite(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors with NaN or infinite values: every answer would be one.

    Raises:
        CheckpointError: If there are such.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{folder / TENSOR_FILE}: {name} has values that are not finite\n"
                "  they were damaged, or training went astray"
            )


def _check_base(folder: Path, record: TaskRecord, found: str) -> None:
    if record.encoder_hash != found:
        raise CheckpointError(
            f"{folder}: trained with another encoder than the one in memory\n"
            f"  expected: {short(record.encoder_hash)}, which it was trained with\n"
            f"  in memory: {short(found)}"
        )


def short(hash_: str) -> str:
    """The first digits of a hash, for messages."""
    return f"{hash_[:HASH_DIGITS]}..."


def _shown(labels: Sequence[str] | None) -> str:
    return "none" if labels is None else json.dumps(list(labels), ensure_ascii=False)
