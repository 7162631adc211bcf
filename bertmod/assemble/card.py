"""The READMEs of a run's states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertmod.assemble.data import PreparedTask, data_files, data_folder
from bertmod.model.card import ModelCard, TaskCard, render_card
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.resolved import ResolvedRecipe, ResolvedTask

WHOLE = """\
```python
from bertmod.inference import load_adapter, load_encoder, predict_mixed

encoder = load_encoder("{folder}")
task = load_adapter("{folder}/{task}", encoder)
```"""

ALONE = """\
Its encoder is the folder of that hash in `encoders/`, beside `tasks/`.

```python
from bertmod.inference import load_adapter, load_encoder, predict_mixed

encoder = load_encoder("best/encoders/{encoder_hash}")
task = load_adapter("best/tasks/{task}", encoder)
```"""


@dataclass(frozen=True)
class RunFacts:
    """What a run was made with, for its READMEs.

    Attributes:
        versions: Program or library to its version.
        data: Task id to its data files, each with the SHA-256 of its content; files inside the
            data folder are named from there.
        synthetic: Whether the data is the built-in sample.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    synthetic: bool = False


def run_facts(
    recipe: ResolvedRecipe, prepared: Iterable[PreparedTask], lock: Mapping[str, Any]
) -> RunFacts:
    """The facts of a run, its hashes taken from what ``lock.json`` has.

    Args:
        recipe: The recipe.
        prepared: Its tasks.
        lock: JSON values of ``lock.json``.
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
    use = ALONE if folder.startswith("best/tasks/") else WHOLE
    card = ModelCard(
        title=f"{', '.join(records)} ({folder})",
        made_from=f"Trained with bertmod by the recipe below; seed {recipe.seed}.",
        encoder=recipe.encoder.to_json(),
        tokenizer={**recipe.tokenizer.to_json(), **_file_name(recipe)},
        encoder_hash=hash_,
        num_parameters=_size(model.encoder),
        tasks=tuple(
            _task_card(recipe, slots[task], model, facts, record)
            for task, record in records.items()
        ),
        recipe=recipe.to_json(),
        recipe_hash=recipe_hash,
        versions=facts.versions,
        use=use.format(folder=folder, task=next(iter(records)), encoder_hash=hash_),
        synthetic=facts.synthetic,
    )
    return render_card(card)


def _task_card(
    recipe: ResolvedRecipe,
    task: ResolvedTask,
    model: MultiTaskModel,
    facts: RunFacts,
    record: Mapping[str, Any],
) -> TaskCard:
    adapters = model.task_adapters(task.id)
    head = model.head(task.id)
    return TaskCard(
        id=task.id,
        task=task.to_json(),
        head={} if task.head is None else task.head.to_json(),
        adapters=tuple(slot.to_json() for slot in recipe.adapters if slot.id in adapters),
        info=head.info,
        metric=record["metric"],
        score=record["score"],
        step=record["step"],
        num_parameters=_size(head) + sum(map(_size, adapters.values())),
        data=facts.data.get(task.id, {}),
    )


def _size(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _name(path: Path, folder: Path) -> str:
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return "/".join(path.parts[-2:])


def _file_name(recipe: ResolvedRecipe) -> dict[str, str]:
    """The vocabulary by its name alone: where it lay matters to nobody."""
    vocab = recipe.tokenizer.to_json().get("vocab")
    return {} if vocab is None else {"vocab": Path(vocab).name}
