"""What a checkpoint has, component by component."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bertmod.contracts.checkpoint import StoredTensor, TensorName
from bertmod.contracts.encoder import Part
from bertmod.contracts.head import TaskInfo
from bertmod.errors import CheckpointError, DataError, RecipeError
from bertmod.inference.resident import EVERYTHING, absent_parts
from bertmod.model.loading import OWN_FORMAT, Component, stored_names
from bertmod.recipe.adapters import check_adapters, chosen_layers
from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint
from bertmod.recipe.resolve import Slot, slot_of
from bertmod.recipe.schema import AUTO
from bertmod.registry import Registry, UnknownNameError
from bertmod.wording import counted, listed

TASK_ID = re.compile(r"[a-z][a-z0-9_]*")
NUMBER = re.compile(r"[0-9]+")
"""What the tasks of a file are called that does not name them."""


@dataclass(frozen=True)
class SourceAdapter:
    """An adapter of one task.

    Attributes:
        slot: Its component.
        layers: Encoder layers that it acts in.
        names: Names of its tensors.
    """

    slot: Slot
    layers: tuple[int, ...]
    names: Sequence[TensorName]

    @property
    def id(self) -> str:
        """Its id in the checkpoint."""
        return str(self.slot.keys.id)


@dataclass(frozen=True)
class SourceTask:
    """A task of a checkpoint.

    Attributes:
        id: Id that it has in the copy.
        key: What the checkpoint calls it: its id, or its number in the file.
        index: Its place in the file, from 0.
        head: Its head.
        names: Names of the head's tensors.
        adapters: Its adapters, in the order in which they act.
        num_labels: Labels that the head's tensors have rows for; None for a head without any.
        info: Label names or value range, as far as the file says.
        facts: What bertmod's own record says beside; empty for other formats.
    """

    id: str
    key: str
    index: int
    head: Slot
    names: Sequence[TensorName]
    adapters: tuple[SourceAdapter, ...]
    num_labels: int | None
    info: TaskInfo
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def want(self) -> frozenset[Part]:
        """Parts of the encoder's output that its head reads."""
        found: frozenset[Part] = self.head.spec.want(self.head.config)
        return found


@dataclass(frozen=True)
class Source:
    """A checkpoint with its components, as far as they are wanted.

    Attributes:
        opened: The checkpoint.
        tasks: Its tasks that are wanted, in their order.
        stored: Its tensors by their names in the file.
    """

    opened: OpenedCheckpoint
    tasks: tuple[SourceTask, ...]
    stored: Mapping[str, StoredTensor]

    @property
    def format(self) -> str:
        """Name of its naming format."""
        return self.opened.description.format

    @property
    def encoder_names(self) -> Sequence[TensorName]:
        """Names of the encoder's tensors."""
        names: Sequence[TensorName] = self.opened.encoder.spec.names(self.opened.encoder.config)
        return names

    @property
    def want(self) -> frozenset[Part]:
        """Parts of the encoder's output that must be whole: a file may have no pooler at all."""
        found = EVERYTHING - absent_parts(self.opened)
        return found.union(*(task.want for task in self.tasks))


def open_source(
    path: str,
    *,
    registry: Registry,
    loader: str = AUTO,
    tasks: Sequence[str] = (),
    head: str | None = None,
    encoder_only: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Source:
    """Open a checkpoint and find every component of it that is wanted.

    Args:
        path: What ``--checkpoint`` takes.
        registry: What is installed.
        loader: Which loader reads it; ``auto`` takes the one that knows it.
        tasks: Which of its tasks are wanted; for formats that do not say their ids, the ids.
        head: Head that the file's classifier belongs to, where the file does not tell.
        encoder_only: Whether heads and adapters are left.
        options: ``encoder`` and ``tokenizer`` to options stated in place of null ones.

    Raises:
        CheckpointError: If it cannot be read, or has something that is not understood.
        DataError: If one head is to be several tasks', or there is no head of that name.
    """
    asked = () if encoder_only else tuple(tasks) or None
    opened = open_checkpoint(path, registry=registry, loader=loader, tasks=asked, options=options)
    heads = {} if encoder_only else _heads(opened, tasks, head)
    source = Source(opened, (), opened.tensors())
    raw = raw_recipe({}, title=opened.path)
    draft = Draft(raw, registry, shape=opened.shape, encoder=_half(opened))
    try:
        found = [
            _task(source, draft, key, index, slot)
            for index, (key, slot) in enumerate(heads.items())
        ]
    except RecipeError as error:
        raise CheckpointError(str(error)) from error
    return replace(source, tasks=tuple(found))


def _heads(
    opened: OpenedCheckpoint, tasks: Sequence[str], head: str | None
) -> Mapping[str, Mapping[str, Any]]:
    """Key to head slot, of the file or as the user says."""
    path, heads = opened.path, opened.description.heads
    if head is not None and heads:
        known = listed(f"{key}: {slot['name']}" for key, slot in heads.items())
        raise CheckpointError(
            f"{path}: the file tells which head it has ({known})\n  leave --head {head} out"
        )
    if head is not None:
        _require_one(opened.registry, head, tasks)
        return {tasks[0] if tasks else "0": {"name": head}}
    if tasks and not heads:
        raise CheckpointError(
            f'{path}: no head there for task "{tasks[0]}"\n'
            "  where the file has a classifier, say which head it is: --head NAME"
        )
    return heads


def _require_one(registry: Registry, head: str, tasks: Sequence[str]) -> None:
    """Refuse a head that is not installed, or that several tasks should have."""
    if len(tasks) > 1:
        raise DataError(f"--head {head} is of one task, but {counted(len(tasks), 'task')} given")
    try:
        registry.get("head", head)
    except UnknownNameError as error:
        raise DataError(f"--head: {error}") from None


def _id(path: str, key: str) -> str:
    """The id in the copy of what the checkpoint calls a task."""
    if TASK_ID.fullmatch(key):
        return key
    if NUMBER.fullmatch(key):
        return f"task_{key}"
    raise CheckpointError(
        f'{path}: "{key}" cannot be a task\'s id\n'
        "  accepted: lower-case letters, digits and _, a letter first: --task ID"
    )


def _half(opened: OpenedCheckpoint) -> Half:
    """The encoder as messages about adapters name it."""
    entry = opened.registry.get("encoder", opened.encoder.full_name)
    return Half("encoder", ("encoder",), entry=entry, config=opened.encoder.config)


def _task(
    source: Source, draft: Draft, key: str, index: int, slot: Mapping[str, Any]
) -> SourceTask:
    opened, near = source.opened, source.opened.loader.provider
    half = draft.full_slot("head", _as_encoder(opened, slot), ("heads", key), near=near)
    draft.raise_if_wrong()
    head, declared = slot_of(half), half.spec.names
    prefix = f"heads.{key}"
    names = _own(source, prefix) if declared is None else declared(half.config, opened.shape)
    component = Component(prefix, names, index=index)
    return SourceTask(
        id=_id(opened.path, key),
        key=key,
        index=index,
        head=head,
        names=names,
        adapters=tuple(_adapters(source, draft, key)),
        num_labels=_num_labels(source, component),
        info=opened.description.infos.get(key, TaskInfo()),
        facts=opened.description.facts.get(key, {}),
    )


def _as_encoder(opened: OpenedCheckpoint, slot: Mapping[str, Any]) -> dict[str, Any]:
    """A head's slot with the encoder's activation, where the file has one name for both."""
    values, act = as_json(slot), "hidden_act"
    there = (opened.description.encoder or {}).get(act)
    if there is not None and values.get(act) == there:
        values[act] = getattr(opened.encoder.config, act)
    return values


def _adapters(source: Source, draft: Draft, key: str) -> Iterator[SourceAdapter]:
    shape, near = source.opened.shape, source.opened.loader.provider
    draft.adapters = []
    for slot in source.opened.description.adapters:
        if slot.get("tasks", "all") == "all" or key in slot["tasks"]:
            values = {**as_json(slot), "tasks": "all"}
            place = ("adapters", len(draft.adapters))
            draft.adapters.append(draft.full_slot("adapter", values, place, near=near, check=False))
    check_adapters(draft)
    draft.raise_if_wrong()
    for half in draft.adapters:
        half.keys = half.keys.model_copy(update={"id": half.id})
        layers = chosen_layers(half, shape.num_hidden_layers)
        declared, prefix = half.spec.names, f"adapters.{key}.{half.id}"
        names = _own(source, prefix) if declared is None else declared(half.config, shape, layers)
        yield SourceAdapter(slot_of(half), layers, names)


def _own(source: Source, prefix: str) -> tuple[TensorName, ...]:
    """Names of a component that declares none: those that the file has, in bertmod's format."""
    if source.format != OWN_FORMAT:
        return ()
    start = f"{prefix}."
    return tuple(
        TensorName(tensor.name.removeprefix(start), tensor.shape, {})
        for tensor in source.stored.values()
        if tensor.name.startswith(start)
    )


def _num_labels(source: Source, component: Component) -> int | None:
    """Rows of the first tensor of a head that has one per label."""
    shapes = {tensor.name: tensor.shape for tensor in source.stored.values()}
    for row in component.names:
        if row.shape[:1] == (None,):
            for name in stored_names(component, row, source.format):
                if name in shapes:
                    return shapes[name][-1 if source.format in row.transposed else 0]
    return None


def as_json(slot: Mapping[str, Any]) -> dict[str, Any]:
    """A slot as a recipe would have it: lists in place of tuples."""
    values: dict[str, Any] = json.loads(json.dumps(dict(slot), default=list))
    return values
