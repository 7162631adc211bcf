"""Recipe as written to recipe as proved, with every problem found in one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from bertmod.recipe.adapters import chosen_layers, chosen_tasks
from bertmod.recipe.checks import check_all, scored
from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.foundation import COMMAND_LINE, lay_foundation
from bertmod.recipe.load import Origin, RawRecipe, raw_recipe
from bertmod.recipe.resolved import ResolvedAdapter, ResolvedRecipe, ResolvedSlot, ResolvedTask
from bertmod.recipe.schema import AUTO, SAMPLE, SLOT_KINDS, RecipeKeys
from bertmod.recipe.training_checks import check_what_trains
from bertmod.recipe.validate import validate
from bertmod.registry import Registry
from bertmod.wording import shown

Slot = ResolvedSlot[Any, Any]


def resolve(
    raw: RawRecipe | Mapping[str, Any],
    registry: Registry,
    *,
    data: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> ResolvedRecipe:
    """Prove a recipe: find every name, check every option and everything between them.

    Args:
        raw: The recipe as loaded, or its values.
        registry: What is installed.
        data: Data folder in place of the recipe's; ``"sample"`` is the built-in sample.
        checkpoint: Checkpoint in place of the recipe's; it also replaces what the recipe states
            of the encoder's structure and of the vocabulary.

    Raises:
        RecipeError: With all problems, in the order of the file.
    """
    if not isinstance(raw, RawRecipe):
        raw = raw_recipe(raw)
    draft = Draft(_with_command_line(raw, data, checkpoint), registry)
    _envelope(draft)
    lay_foundation(draft)
    _tasks(draft)
    draft.adapters = _list(draft, "adapters")
    draft.sampler = _single(draft, "sampler", check=False)
    draft.optimizer = _single(draft, "optimizer")
    draft.schedule = _single(draft, "schedule")
    draft.trackers = _list(draft, "trackers")
    check_all(draft)
    check_what_trains(draft)
    draft.raise_if_wrong()
    return _result(draft)


def _with_command_line(
    raw: RawRecipe,
    data: str | os.PathLike[str] | None,
    checkpoint: str | os.PathLike[str] | None,
) -> RawRecipe:
    here = FilePath.cwd()
    if data is not None:
        if not isinstance(raw.values.get("data", {}), dict):
            raw = raw.having(("data",), {}, Origin("", here))
        elif "data" not in raw.values:
            raw = raw.having(("data",), {}, Origin("--data", here))
        raw = raw.having(("data", "dir"), os.fspath(data), Origin("--data", here))
    if checkpoint is not None:
        origin = Origin(COMMAND_LINE, here)
        if not isinstance(raw.values.get("checkpoint"), dict):
            raw = raw.having(("checkpoint",), {"name": AUTO}, origin)
        raw = raw.having(("checkpoint", "path"), os.fspath(checkpoint), origin)
    return raw


def _envelope(draft: Draft) -> None:
    own = {
        key: value
        for key, value in draft.raw.values.items()
        if key not in SLOT_KINDS and key != "$schema"
    }
    checked = validate(RecipeKeys, own, owner="a recipe", also=["extends", *SLOT_KINDS])
    for finding in checked.findings:
        draft.add(finding.path, finding.what, *finding.more)
    draft.keys, draft.wrong = checked.value or RecipeKeys(), checked.wrong
    data = draft.keys.data
    if data.dir is None and "data" not in draft.wrong:
        draft.add(
            ("data", "dir"),
            "null: the recipe does not say where the data is",
            "give --data FOLDER, or write the folder here",
        )
    elif data.dir is not None and data.dir != SAMPLE:
        folder = draft.raw.absolute(("data", "dir"), data.dir)
        data = data.model_copy(update={"dir": folder})
        draft.keys = draft.keys.model_copy(update={"data": data})


def _entries(draft: Draft, key: str) -> list[Any]:
    value = draft.value(key)
    if isinstance(value, list):
        return value
    draft.add((key,), f"expected a list of objects, not {shown(value)}")
    return []


def _list(draft: Draft, key: str) -> list[Half]:
    kind = SLOT_KINDS[key]
    return [
        draft.full_slot(kind, value, (key, index), check=kind != "adapter")
        for index, value in enumerate(_entries(draft, key))
    ]


def _single(draft: Draft, key: str, *, check: bool = True) -> Half:
    return draft.full_slot(SLOT_KINDS[key], draft.value(key), (key,), check=check)


def _tasks(draft: Draft) -> None:
    if "tasks" not in draft.raw.values:
        example = '"tasks": [{"name": "cola"}]'
        draft.add(("tasks",), "missing: a recipe names at least one task", f"for example {example}")
        return
    entries = _entries(draft, "tasks")
    if entries == [] and draft.raw.values["tasks"] == []:
        draft.add(("tasks",), "empty: a recipe names at least one task")
    for index, value in enumerate(entries):
        task = draft.full_slot("task", value, ("tasks", index))
        draft.tasks.append(task)
        draft.heads.append(_head(draft, task))


def _head(draft: Draft, task: Half) -> Half | None:
    """The head that a task states, else its own; none for a task that borrows one."""
    if task.keys.uses is not None or "head" in task.wrong:
        return None
    path = (*task.path, "head")
    if task.keys.head is not None:
        return draft.full_slot("head", task.keys.head, path)
    if not task.ready() or task.entry is None:
        return None
    own = dict(task.ask(task.spec.head, task.config))
    return draft.full_slot("head", own, path, near=task.entry.provider)


def _result(draft: Draft) -> ResolvedRecipe:
    keys = draft.keys
    assert draft.shape is not None
    return ResolvedRecipe(
        title=draft.raw.title,
        seed=keys.seed,
        data=keys.data,
        init=keys.init,
        freeze=keys.freeze,
        training=keys.training,
        evaluation=keys.evaluation,
        saving=keys.saving,
        encoder=slot_of(draft.encoder),
        tokenizer=slot_of(draft.tokenizer),
        checkpoint=slot_of(draft.checkpoint) if draft.checkpoint else None,
        description=draft.description,
        tasks=tuple(
            _task(draft, task, head) for task, head in zip(draft.tasks, draft.heads, strict=True)
        ),
        adapters=tuple(_adapter(draft, half) for half in draft.adapters),
        sampler=slot_of(draft.sampler),
        optimizer=slot_of(draft.optimizer),
        schedule=slot_of(draft.schedule),
        trackers=tuple(slot_of(half) for half in draft.trackers),
        shape=draft.shape,
        notes=tuple(draft.notes),
    )


def _parts(half: Half) -> dict[str, Any]:
    assert half.entry is not None
    entry = half.entry
    return {
        "id": half.id,
        "provider": entry.provider,
        "version": entry.version,
        "spec": entry.spec,
        "config": half.config,
        "keys": half.keys,
    }


def slot_of(half: Half) -> Slot:
    """A half that is ready, as part of a resolved recipe."""
    return ResolvedSlot(**_parts(half))


def _task(draft: Draft, half: Half, head: Half | None) -> ResolvedTask:
    resolved_head = slot_of(head) if head else None
    metric = half.keys.metric or next(iter(scored(half)), None)
    own = {
        "id": half.id,
        "metric": metric,
        "head": resolved_head.to_json() if resolved_head else None,
    }
    parts = {**_parts(half), "keys": half.keys.model_copy(update=own)}
    return ResolvedTask(
        **parts,
        head=resolved_head,
        max_length=half.keys.max_length or draft.keys.data.max_length,
        batch_size=half.keys.batch_size or draft.keys.training.global_batch_size,
        patience=half.keys.patience or draft.keys.evaluation.patience,
    )


def _adapter(draft: Draft, half: Half) -> ResolvedAdapter:
    assert draft.shape is not None
    parts = {**_parts(half), "keys": half.keys.model_copy(update={"id": half.id})}
    return ResolvedAdapter(
        **parts,
        layers=chosen_layers(half, draft.shape.num_hidden_layers),
        tasks=chosen_tasks(draft, half),
    )
