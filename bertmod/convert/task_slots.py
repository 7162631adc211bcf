"""Tasks for heads of files that have none: what turns texts into features, outputs into answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from bertmod.contracts.head import TaskInfo
from bertmod.contracts.metric import Metric
from bertmod.contracts.task import Task, TaskContext
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.convert.source import SourceTask
from bertmod.convert.tensors import Order, task_labels
from bertmod.errors import CheckpointError, RecipeError
from bertmod.model.label_order import label_order
from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.resolve import Slot, slot_of
from bertmod.registry import Registry, UnknownNameError
from bertmod.wording import listed

NO_TABLE = "train.tsv"
"""What stands for the training table of a task that was not trained here; nobody opens it."""

LONGEST = {"start": 384}
"""Target of a head to the usual longest row, tokens; 128 for others."""


@dataclass(frozen=True)
class Answering:
    """How a head answers in bertmod.

    Attributes:
        slot: Slot of its task; empty if there is none: the head stands alone.
        info: Label names or value range, as that task has them.
        order: Index in the file of each label; None where the file has the same order.
        note: What the user should know; empty for nothing.
    """

    slot: Mapping[str, Any]
    info: TaskInfo
    order: Order | None = None
    note: str = ""


class TaskFinder:
    """Finds tasks for heads.

    Args:
        path: The checkpoint, for messages.
        registry: What is installed.
        tokenizer: The checkpoint's tokenizer.
        longest: Longest row that the encoder takes, tokens.
    """

    def __init__(
        self, path: str, registry: Registry, tokenizer: Tokenizer, *, longest: int
    ) -> None:
        self._path, self._registry = path, registry
        self._tokenizer, self._longest = tokenizer, longest

    def find(self, task: SourceTask) -> Answering:
        """The registered task of that id, else a task on tables of the kind that suits the head.

        Raises:
            CheckpointError: If the registered task of that id has other targets or other labels.
        """
        registered = self._registered(task)
        if registered is not None and (wrong := _unlike(task, registered)):
            raise CheckpointError(
                f"{self._path}: {wrong}\n  give the task another id: --task {task.id}_2"
            )
        info = replace(task.info, labels=task_labels(task))
        if "value" in _targets(task.head).values() and info.value_range is None:
            note = (
                f"{task.id}: the head is kept without a task that answers: bertmod trains on "
                "values scaled to 0 to 1, and the file does not say what its values are"
            )
            return Answering({}, info, note=note)
        if registered is not None:
            return self._as(task, registered, info)
        return self._on_tables(task, info)

    def _as(self, task: SourceTask, registered: Slot, info: TaskInfo) -> Answering:
        """A head that answers a registered task, whose own label names and order count."""
        own = self._own_info(registered)
        slot = self._stated(registered, task)
        if own.labels is None or info.labels is None:
            return Answering(slot, info)
        try:
            order = label_order(own.labels, info.labels, source=self._path)
        except CheckpointError:
            raise CheckpointError(
                f"{self._path}: task {task.id}: the labels of the head are {_quoted(info.labels)}, "
                f"those of the task {_quoted(own.labels)}\n"
                "  say what they are called there, in the order of the file: --labels A,B\n"
                "  or give the task an id of its own, so that it keeps these names: --task ID"
            ) from None
        return Answering(slot, replace(info, labels=own.labels), order)

    def _own_info(self, registered: Slot) -> TaskInfo:
        """Label names that a task fixes, whatever the data."""
        metrics = {
            entry.spec.name: cast(Metric, entry.spec.build(entry.spec.config()))  # type: ignore[attr-defined]
            for entry in self._registry.entries("metric")
        }
        context = TaskContext(
            registered.id, self._tokenizer, self._max_length(registered), metrics, trained=True
        )
        built = cast(Task, registered.spec.build(registered.config, context))
        return built.setup(Path(os.devnull))  # no data: what is missing is not needed

    def _registered(self, task: SourceTask) -> Slot | None:
        """The task of that name, if it needs no options."""
        try:
            entry = self._registry.get("task", task.id, near="bertmod")
        except UnknownNameError:
            return None
        try:
            return self._slot({"name": entry.full_name, "id": task.id})
        except RecipeError:
            return None

    def _on_tables(self, task: SourceTask, info: TaskInfo) -> Answering:
        """A head that answers rows of the user's own tables."""
        options = _table_options(_targets(task.head), info, longest=self._longest)
        if options is None:
            note = f"{task.id}: the head is kept without a task that answers: none is of its kind"
            return Answering({}, info, note=note)
        try:
            found = self._slot({**options, "train": NO_TABLE, "id": task.id})
        except RecipeError as error:
            raise CheckpointError(f"{self._path}: {error}") from error
        return Answering({**self._stated(found, task), "train": NO_TABLE}, info)

    def _slot(self, value: Mapping[str, Any]) -> Slot:
        draft = Draft(raw_recipe({}, title=f"task {value['id']}"), self._registry)
        half: Half = draft.full_slot("task", dict(value), ("tasks", 0))
        draft.raise_if_wrong()
        return slot_of(half)

    def _stated(self, found: Slot, task: SourceTask) -> dict[str, Any]:
        """A slot as a task's record has it."""
        return {**found.to_json(), "id": task.id, "max_length": self._max_length(found)}

    def _max_length(self, found: Slot) -> int:
        targets = found.spec.targets(found.config)
        usual = max((LONGEST.get(name, 128) for name in targets), default=128)
        return min(usual, self._longest)


def _targets(slot: Slot) -> Mapping[str, str]:
    found: Mapping[str, str] = slot.spec.targets(slot.config)
    return found


def _unlike(task: SourceTask, registered: Slot) -> str:
    """How a head differs from what a task's head is; empty if it does not."""
    own, wanted = _targets(task.head), _targets(registered)
    about = f'the task "{registered.spec.name}"'
    if any(wanted.get(name) != kind for name, kind in own.items()):
        usual = str(registered.spec.head(registered.config)["name"]).split("/")[-1]
        return f'a head "{task.head.spec.name}", but {about} has a head "{usual}"'
    number = registered.spec.num_labels(registered.config)
    if None not in (number, task.num_labels) and number != task.num_labels:
        return f"a head with {task.num_labels} labels, but {about} has {number}"
    return ""


def _table_options(
    targets: Mapping[str, str], info: TaskInfo, *, longest: int
) -> dict[str, Any] | None:
    """Options of the built-in task on tables that has such targets; None: there is none."""
    labels = None if info.labels is None else list(info.labels)
    kinds = dict(targets)
    if kinds == {"labels": "class"}:
        return {"name": "bertmod/table", "labels": labels}
    if kinds == {"labels": "flags"}:
        separator = _separator(info.labels or ())
        return {"name": "bertmod/table", "labels": labels, "label_separator": separator}
    if kinds == {"labels": "value"} and info.value_range is not None:
        return {"name": "bertmod/table", "value_range": list(info.value_range)}
    if kinds == {"labels": "choice"}:
        return {"name": "bertmod/choice_table"}
    if kinds == {"words": "positions", "labels": "classes"}:
        scheme = "auto" if all(map(_is_entity_tag, info.labels or ())) else "none"
        return {"name": "bertmod/tag_table", "labels": labels, "scheme": scheme}
    if kinds == {"start": "position", "end": "position"}:
        return {"name": "bertmod/span_table", "max_query_length": min(64, longest // 4)}
    return None


def _quoted(names: Sequence[str]) -> str:
    return listed(f'"{name}"' for name in names)


def _separator(labels: Sequence[str]) -> str:
    """A character between labels that stands in none of them."""
    whole = "".join(labels)
    return next((each for each in ",;|" if each not in whole), "\t")


def _is_entity_tag(label: str) -> bool:
    return label == "O" or (label[:2] in ("B-", "I-") and len(label) > 2)
