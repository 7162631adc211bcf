"""What a run's own records say of it: scores, seed and size, read without torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from bertmod.data.durable import existing_folder
from bertmod.engine.run_folder import LOCK_FILE, RECIPE_FILE
from bertmod.errors import CheckpointError, RunFolderError
from bertmod.inference.states import (
    SavedState,
    Source,
    keeps_best,
    require_run_recipe,
    saved_states,
)
from bertmod.model.record import TASK_FILE, TENSOR_FILE, read_json, read_task_record
from bertmod.recipe.identity import recipe_text

SEED_FOLDER = "seed-"
"""How the folders of a series of seeds begin; the seed follows."""


@dataclass(frozen=True)
class RunScores:
    """One run as its folder tells of it.

    Attributes:
        folder: The run folder, as it was named.
        recipe: JSON values of its resolved recipe.
        scores: Id of each task that is scored to its score; None where that is no finite number.
        metrics: The same tasks to ``split/metric``.
        names: The same tasks to their component, ``provider/name``.
        multiple: Parameters of encoder and adapters as a multiple of the encoder's.
        finished: Whether the run came to its end.
        data: Hashes of the data files that it read; none if the folder does not say.
    """

    folder: Path
    recipe: Mapping[str, Any]
    scores: Mapping[str, float | None]
    metrics: Mapping[str, str]
    names: Mapping[str, str]
    multiple: float
    finished: bool
    data: frozenset[str]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.recipe["seed"])

    @property
    def keeps_best(self) -> bool:
        """Whether it keeps best states."""
        return keeps_best(self.recipe)

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on the built-in sample."""
        trained = [slot for slot in self.recipe["tasks"] if not slot.get("uses")]
        states_files = all(slot.get("train") for slot in trained)
        return bool(self.recipe["data"]["dir"] == "sample" and not states_files)


def read_run(folder: Path, source: Source) -> RunScores:
    """The scores of one of a run's trained states.

    Args:
        folder: The run folder.
        source: Which state, as ``saved_states`` takes it.

    Raises:
        RunFolderError: If the folder is not a run's, the run has no such state yet, or its recipe
            is not one that a run wrote.
        CheckpointError: If a file in it is damaged.
    """
    states = saved_states(folder, source)
    recipe = read_json(folder / RECIPE_FILE)
    require_run_recipe(recipe, folder / RECIPE_FILE, has={"seed": int})
    records = {task: state.records[task] for state in states for task in state.tasks}
    order = [slot["id"] for slot in recipe["tasks"] if slot["id"] in records]
    scored = [task for task in order if records[task].metric]
    return RunScores(
        folder=folder,
        recipe=recipe,
        scores={task: _finite(records[task].score) for task in scored},
        metrics={task: records[task].metric for task in scored},
        names={task: str(records[task].task["name"]) for task in scored},
        multiple=_multiple(states),
        finished=is_finished(folder),
        data=_data_hashes(folder),
    )


def is_finished(run: Path) -> bool:
    """Whether a run's last state is that of the recipe in its folder.

    It is not while the run goes on, nor when it was interrupted, nor when it was made longer and
    has not come to its new end.

    Raises:
        CheckpointError: If a file is damaged.
    """
    final = existing_folder(run / "final")
    if final is None:
        return False
    text = recipe_text(read_json(run / RECIPE_FILE))
    expected = hashlib.sha256(text.encode("utf-8")).hexdigest()
    found = {read_task_record(file.parent).recipe_hash for file in final.glob(f"*/{TASK_FILE}")}
    return found == {expected}


def run_folders(path: Path) -> list[Path]:
    """The runs that a path names: itself, or the runs of the seeds in it, in order of the seeds.

    Raises:
        RunFolderError: If it is neither.
    """
    if (path / RECIPE_FILE).is_file():
        return [path]
    seeds = dict(_seed_folders(path)) if path.is_dir() else {}
    if not seeds:
        what = "not a run folder (it has no recipe.json)" if path.is_dir() else "no such folder"
        raise RunFolderError(
            f"{path}: {what}\n  accepted: a run folder, or a folder with runs in "
            f"{SEED_FOLDER}1, {SEED_FOLDER}2 ..., as run --seeds makes it"
        )
    return [seeds[seed] for seed in sorted(seeds)]


def _seed_folders(path: Path) -> Iterator[tuple[int, Path]]:
    for folder in path.glob(f"{SEED_FOLDER}*"):
        seed = folder.name.removeprefix(SEED_FOLDER)
        if seed.isdecimal() and (folder / RECIPE_FILE).is_file():
            yield int(seed), folder


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def _multiple(states: list[SavedState]) -> float:
    """Encoder and all tasks' adapters over the encoder, from the heads of the tensor files."""
    encoder = _count(states[0].encoder, "encoder.")
    adapters = sum(
        _count(folder, "adapters.") for state in states for folder in state.tasks.values()
    )
    return (encoder + adapters) / encoder


def _count(folder: Path, prefix: str) -> int:
    """Values in the tensors of a folder whose names begin so."""
    file = folder / TENSOR_FILE
    try:
        with safe_open(file, framework="numpy") as tensors:
            return sum(
                math.prod(tensors.get_slice(name).get_shape())
                for name in tensors.keys()  # noqa: SIM118  (no mapping: it has no __iter__)
                if name.startswith(prefix)
            )
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read: {error}") from error


def _data_hashes(run: Path) -> frozenset[str]:
    try:
        return frozenset(read_json(run / LOCK_FILE)["data"].values())
    except (CheckpointError, KeyError, AttributeError, TypeError):
        return frozenset()
