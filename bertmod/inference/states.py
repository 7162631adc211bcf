"""Where a run folder keeps its trained states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bertmod.data.durable import OLD, existing_folder
from bertmod.engine.run_folder import RECIPE_FILE
from bertmod.errors import CheckpointError, DataError, RunFolderError
from bertmod.model.record import TASK_FILE, TaskRecord, read_encoder_record, read_task_record
from bertmod.recipe.load import load_recipe

Source = Literal["mean", "best", "final"]


@dataclass(frozen=True)
class SavedState:
    """An encoder and tasks that were trained with it.

    Attributes:
        encoder: Folder of the encoder.
        encoder_hash: Hash that the encoder's values must have.
        tasks: Task id to its folder.
        records: Task id to what its folder says.
    """

    encoder: Path
    encoder_hash: str
    tasks: Mapping[str, Path]
    records: Mapping[str, TaskRecord]


def saved_states(run: Path, source: Source) -> list[SavedState]:
    """The states of a run: one for ``mean`` and ``final``, one per encoder for ``best``.

    Args:
        run: The run folder.
        source: ``mean``: the best mean over tasks, or the last step where no task is scored or no
            best state is kept; ``final``: the last step; ``best``: each task at its own best step.

    Raises:
        RunFolderError: If the folder is not a run's, or the run has no such state yet.
        CheckpointError: If a file is damaged, or a task belongs to another encoder.
    """
    if not (run / RECIPE_FILE).is_file():
        raise RunFolderError(f"{run}: not a run folder (it has no recipe.json)")
    if source == "best":
        return _by_encoder(run / "best")
    is_last = source == "final" or _has_no_best(run)
    folder = existing_folder(run / "final" if is_last else run / "best" / "mean")
    if folder is None:
        raise RunFolderError(_nothing_yet(run, source))
    return [_state(folder / "encoder", _task_folders(folder))]


def require_run_recipe(values: Mapping[str, Any], path: Path, *, has: Mapping[str, type]) -> None:
    """Refuse a recipe in which slots or defaults are not stated: no run wrote it.

    Args:
        values: Its JSON values.
        path: Its file, for the message.
        has: Further keys that must be there, with the type of their values.

    Raises:
        RunFolderError: If something is not there.
    """
    for key, kind in {"tasks": list, "training": dict, "data": dict, **has}.items():
        if not isinstance(values.get(key), kind):
            raise RunFolderError(f'{path}: not a recipe that a run wrote (no "{key}")')
    if not all(isinstance(slot, dict) and "id" in slot for slot in values["tasks"]):
        raise RunFolderError(f"{path}: not a recipe that a run wrote (a task without id)")


def run_recipe(run: Path) -> Mapping[str, Any]:
    """The recipe that a run wrote, in which every slot and every default is there.

    Args:
        run: The run folder.

    Raises:
        RecipeError: If it cannot be read.
        RunFolderError: If no run wrote it.
    """
    path = run / RECIPE_FILE
    values = load_recipe(str(path)).values
    require_run_recipe(values, path, has={"adapters": list, "tokenizer": dict})
    if not all("uses" in slot for slot in values["tasks"]):
        raise RunFolderError(f'{path}: not a recipe that a run wrote (a task without "uses")')
    return values


def keeps_best(recipe: Mapping[str, Any]) -> bool:
    """Whether a run keeps best states, by the recipe that it wrote."""
    saving = recipe.get("saving")
    return not isinstance(saving, dict) or saving.get("best", True) is not False


def require_tasks(run: Path, slots: Sequence[Mapping[str, Any]], state: SavedState) -> None:
    """Refuse a state that lacks a task of the run: it would go unanswered in silence.

    Args:
        run: The run folder.
        slots: The task slots of the recipe that the run wrote.
        state: One of its states.

    Raises:
        CheckpointError: If it lacks one.
    """
    for slot in slots:
        if slot["uses"] is None and slot.get("metric") and slot["id"] not in state.tasks:
            place = state.encoder.parent / str(slot["id"])
            raise CheckpointError(f"{place}: damaged: task {slot['id']} of {run} is not there")


def choose_tasks(known: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The tasks that ``--task`` names, in the run's order.

    Args:
        known: Tasks of the run.
        asked: Ids, or ``all``; nothing means all.

    Raises:
        DataError: If the run has no such task.
    """
    for task in asked:
        if task not in known and task != "all":
            raise DataError(f'no task "{task}" in this run\n  it has: {", ".join(known)}')
    if not asked or "all" in asked:
        return tuple(known)
    return tuple(task for task in known if task in asked)


def _by_encoder(best: Path) -> list[SavedState]:
    folders = _task_folders(best / "tasks")
    if not folders:
        raise RunFolderError(_nothing_yet(best.parent, "best"))
    groups: dict[str, dict[str, Path]] = {}
    for task, folder in folders.items():
        groups.setdefault(read_task_record(folder).encoder_hash, {})[task] = folder
    return [_state(best / "encoders" / name, tasks) for name, tasks in groups.items()]


def _state(encoder: Path, tasks: Mapping[str, Path]) -> SavedState:
    records = {task: read_task_record(folder) for task, folder in tasks.items()}
    folder = existing_folder(encoder) or encoder
    found = str(read_encoder_record(folder)["encoder_hash"])
    for task, record in records.items():
        if record.encoder_hash != found:
            raise RunFolderError(
                f"{tasks[task]}: trained with another encoder than {encoder}\n"
                "  the run was perhaps still writing: try again, or use --from final"
            )
    return SavedState(folder, found, tasks, records)


def _task_folders(folder: Path) -> dict[str, Path]:
    """Folders of tasks by id; one that a kill left moved aside counts if nothing replaced it."""
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(file.parent for file in folder.glob(f"*/{TASK_FILE}")):
        if path.name.startswith(OLD):
            found.setdefault(path.name.removeprefix(OLD), path)
        elif not path.name.startswith("."):
            found[path.name] = path
    return dict(sorted(found.items()))


def _has_no_best(run: Path) -> bool:
    """Whether a run came to its end and kept nothing as the best: unscored, or not asked to."""
    best = run / "best"
    return (run / "final").is_dir() and best.is_dir() and not any(best.iterdir())


def _nothing_yet(run: Path, source: str) -> str:
    there = [
        name
        for name, path in (
            ("mean", run / "best" / "mean"),
            ("best", run / "best" / "tasks"),
            ("final", run / "final"),
        )
        if path.is_dir()
    ]
    unkept = not keeps_best(load_recipe(str(run / RECIPE_FILE)).values)
    if there:
        remedy = f"use --from {there[0]}"
    else:
        remedy = f"let the run go on until its {'end' if unkept else 'first evaluation'}"
    if unkept and source != "final":
        return f"{run}: it keeps no best states (saving.best is false)\n  {remedy}"
    return f"{run}: no trained state of the kind {source} yet\n  {remedy}"
