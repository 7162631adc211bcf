"""The READMEs of a run's states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertmod.assemble.data import PreparedTask, data_files, data_folder
from bertmod.model.card import (
    ModelCard,
    TaskCard,
    code,
    loading_code,
    num_parameters,
    render_card,
)
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.bare_paths import bare_path, bare_paths
from bertmod.recipe.resolved import ResolvedRecipe, ResolvedTask
from bertmod.registry import Registry

ALONE = "Its encoder is the folder of that hash in `encoders/`, beside `tasks/`."


@dataclass(frozen=True)
class RunFacts:
    """What a run was made with, for its READMEs.

    Attributes:
        versions: Program or library to its version.
        data: Task id to its data files, each with the SHA-256 of its content; files inside the
            data folder are named from there.
        synthetic: Whether the data is the built-in sample.
        recipe: The resolved recipe's JSON values, without where files lay; None: nobody knows.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    synthetic: bool = False
    recipe: Mapping[str, Any] | None = None


def run_facts(
    recipe: ResolvedRecipe,
    prepared: Iterable[PreparedTask],
    lock: Mapping[str, Any],
    *,
    registry: Registry,
) -> RunFacts:
    """The facts of a run, its hashes taken from what ``lock.json`` has.

    Args:
        recipe: The recipe.
        prepared: Its tasks.
        lock: JSON values of ``lock.json``.
        registry: What is installed.
    """
    folder = data_folder(recipe)
    libraries = {name: found for name, found in lock["libraries"].items() if found}
    return RunFacts(
        versions={**lock["plugins"], "python": lock["python"], **libraries},
        data={
            each.slot.id: {
                _name(path, folder): lock["data"][str(path)] for path in data_files([each])
            }
            for each in prepared
        },
        synthetic=lock["synthetic_sample"],
        recipe=bare_paths(recipe.to_json(), registry),
    )


def state_card(
    recipe: ResolvedRecipe,
    model: MultiTaskModel,
    facts: RunFacts,
    *,
    recipe_hash: str,
    folder: str,
    records: Mapping[str, Mapping[str, Any]],
) -> str:
    """The README of one of a run's states.

    Args:
        recipe: The recipe.
        model: The model as it is now.
        facts: What the run was made with.
        recipe_hash: Hash of the recipe.
        folder: The state's place in the run folder: ``best/mean``, ``final``, ``best/tasks/cola``.
        records: Task id to its ``step``, ``metric``, ``score`` and ``encoder_hash``.
    """
    slots = {task.id: task for task in recipe.tasks}
    hash_ = next(record["encoder_hash"] for record in records.values())
    card = ModelCard(
        title=f"{', '.join(records)} ({folder})",
        made_from=_made_from(recipe, facts),
        encoder=recipe.encoder.to_json(),
        tokenizer=_tokenizer(recipe),
        encoder_hash=hash_,
        num_parameters=num_parameters(model.encoder),
        tasks=tuple(
            _task_card(recipe, slots[task], model, facts, record)
            for task, record in records.items()
        ),
        recipe=facts.recipe,
        recipe_hash=recipe_hash,
        versions=facts.versions,
        use=_use(folder, next(iter(records)), hash_),
        synthetic=facts.synthetic,
        checkpoint=_checkpoint(recipe),
    )
    return render_card(card)


def _made_from(recipe: ResolvedRecipe, facts: RunFacts) -> str:
    start = _checkpoint(recipe)
    origin = f"from the checkpoint {code(start)}" if start else "from scratch"
    by = "" if facts.recipe is None else " by the recipe below"
    return f"Trained with bertmod{by}, {origin}; seed {recipe.seed}."


def _checkpoint(recipe: ResolvedRecipe) -> str:
    """What training started from: a name on the hub, or that of a file or folder."""
    path = recipe.checkpoint.keys.path if recipe.checkpoint else None
    return "" if path is None else bare_path(path)


def _use(folder: str, task: str, encoder_hash: str) -> str:
    """How to load a state, from its run folder."""
    if folder.startswith("best/tasks/"):
        return f"{ALONE}\n\n{loading_code(f'best/encoders/{encoder_hash}', folder)}"
    return loading_code(folder, f"{folder}/{task}")


def _task_card(
    recipe: ResolvedRecipe,
    task: ResolvedTask,
    model: MultiTaskModel,
    facts: RunFacts,
    record: Mapping[str, Any],
) -> TaskCard:
    adapters, head = model.task_adapters(task.id), model.head(task.id)
    return TaskCard(
        id=task.id,
        task=task.to_json(),
        head={} if task.head is None else task.head.to_json(),
        adapters=tuple(slot.to_json() for slot in recipe.adapters if slot.id in adapters),
        info=head.info,
        metric=record["metric"],
        score=record["score"],
        step=record["step"],
        num_parameters=num_parameters(head, *adapters.values()),
        data=facts.data.get(task.id, {}),
    )


def _name(path: Path, folder: Path) -> str:
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return "/".join(path.parts[-2:])


def _tokenizer(recipe: ResolvedRecipe) -> dict[str, Any]:
    """The tokenizer slot; its vocabulary lies beside the encoder."""
    slot = recipe.tokenizer.to_json()
    return slot if slot.get("vocab") is None else {**slot, "vocab": bare_path(slot["vocab"])}
