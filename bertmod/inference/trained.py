"""A trained run, ready to answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod.assemble.components import build_model, build_tokenizer, encoder_names
from bertmod.assemble.data import (
    PreparedTask,
    main_metric,
    named_data_folder,
    prepare_tasks,
)
from bertmod.assemble.run import settle
from bertmod.contracts.head import TaskInfo
from bertmod.contracts.task import Example, Prediction
from bertmod.engine.evaluate import EvaluationSettings, TaskSplit, decode, outputs_by_example
from bertmod.engine.run_folder import RECIPE_FILE
from bertmod.errors import CheckpointError, DataError, RunFolderError
from bertmod.inference.adapter_files import fill_task
from bertmod.inference.answers import predict_mixed
from bertmod.inference.resident import require_hash
from bertmod.inference.states import SavedState, Source, require_run_recipe, saved_states
from bertmod.model.canonical import module_hash
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.load import load_recipe, raw_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import Registry, load_registry

Advance = Callable[[int], object]


@dataclass(frozen=True)
class _Loaded:
    model: MultiTaskModel
    prepared: Mapping[str, PreparedTask]
    settings: EvaluationSettings


class TrainedRun:
    """The tasks of a run folder and the states they are answered with.

    One encoder is in memory at a time.

    Args:
        recipe: The run's recipe.
        registry: What is installed.
        states: Its saved states.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        strict_data: Whether a malformed dev row is an error.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        registry: Registry,
        states: Sequence[SavedState],
        *,
        device: str = "auto",
        strict_data: bool = False,
    ) -> None:
        self._values, self._registry, self._states = recipe, registry, states
        self._device, self._strict_data = device, strict_data
        self._loaded: _Loaded | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that it can answer, those that borrow a head included."""
        return tuple(
            _id(slot)
            for slot in self._values["tasks"]
            if any((slot["uses"] or _id(slot)) in state.tasks for state in self._states)
        )

    def task(self, task: str) -> PreparedTask:
        """A task with its label names.

        Raises:
            DataError: If the run has no such task.
        """
        return self._load(task).prepared[task]

    def predict(
        self, task: str, examples: Sequence[Example], *, advance: Advance | None = None
    ) -> list[Prediction]:
        """One prediction per example, in order.

        Args:
            task: Id of the task.
            examples: Its examples; ``task(id).task.example(fields)`` makes one from named texts.
            advance: Called with the number of features answered after each batch.

        Raises:
            DataError: If the run has no such task.
        """
        loaded = self._load(task)
        entry = loaded.prepared[task]
        table = entry.make_features(examples)
        decoded = decode(loaded.model, task, table, settings=loaded.settings, advance=advance)
        outputs = outputs_by_example(len(examples), table, decoded)
        return entry.task.predict(examples, outputs, entry.info)

    def predict_all(
        self, examples: Mapping[str, Sequence[Example]], *, advance: Advance | None = None
    ) -> dict[str, list[Prediction]]:
        """Predictions of several tasks, in one pass of batches whose rows are of any of them.

        Tasks whose states have different encoders (``best``) are answered encoder by encoder.

        Args:
            examples: Task id to its examples; ``task(id).task.example(fields)`` makes one.
            advance: Called with the number of features answered after each batch.

        Returns:
            Task id to one prediction per example, in order.

        Raises:
            DataError: If the run has no such task.
        """
        found: dict[str, list[Prediction]] = {}
        for task in examples:
            if task in found:
                continue
            loaded = self._load(task)
            together = {each: examples[each] for each in examples if each in loaded.prepared}
            found |= predict_mixed(
                loaded.model,
                loaded.prepared,
                together,
                settings=loaded.settings,
                advance=advance,
            )
        return {task: found[task] for task in examples}

    def together(self, tasks: Sequence[str]) -> list[tuple[str, ...]]:
        """The tasks in groups that one encoder answers, each task once.

        Args:
            tasks: Ids of tasks of the run.
        """
        groups = []
        left = list(dict.fromkeys(tasks))
        for state in self._states:
            group = tuple(task for task in left if task in self._answered_by(state))
            left = [task for task in left if task not in group]
            groups += [group] if group else []
        return groups

    def evaluate(self, task: str, data: Path | None = None) -> dict[str, float]:
        """Every metric of every dev split of a task, by ``split/metric``, main one first.

        Args:
            task: Id of the task.
            data: Data folder; None: the one that the run was trained on.

        Raises:
            DataError: If the data is missing, malformed, or has other labels than the head.
        """
        loaded = self._load(task)
        entry = self._bound(task, data)
        scores: dict[str, float] = {}
        for name in entry.splits("dev"):
            read = entry.task.read(name)
            examples = read if isinstance(read, Sequence) else list(read)
            features = entry.make_features(examples)
            split = TaskSplit(entry.task, name, examples, features, {})
            decoded = decode(loaded.model, task, features, settings=loaded.settings)
            for metric, value in split.score(decoded, entry.info).items():
                scores[f"{name}/{metric}"] = float(value)
        return scores

    def submit(
        self, task: str, folder: Path, data: Path | None = None, *, advance: Advance | None = None
    ) -> list[Path]:
        """Answer every test split of a task and write the benchmark's own files.

        Args:
            task: Id of the task.
            folder: Where the files go; made if it is not there.
            data: Data folder; None: the one that the run was trained on.
            advance: Called with the number of features answered after each batch.

        Returns:
            The files written; none if the task has no test split.

        Raises:
            DataError: If the data is missing or malformed, or a file cannot be written.
        """
        entry = self._bound(task, data)
        written: list[Path] = []
        for name in entry.splits("test"):
            read = entry.task.read(name)
            examples = read if isinstance(read, Sequence) else list(read)
            predictions = self.predict(task, examples, advance=advance)
            written += entry.task.write(name, examples, predictions, folder)
        return written

    def test_files(self, task: str, data: Path | None = None) -> tuple[Path, ...]:
        """The files of a task's test splits, whether they exist or not."""
        entry = self.task(task)
        folder = self._data(data)
        return tuple(
            path for name in entry.splits("test") for path in entry.task.files(folder, name)
        )

    def _data(self, data: Path | None) -> Path:
        if data is not None:
            return data
        return named_data_folder(str(self._values["data"]["dir"]))

    def _bound(self, task: str, data: Path | None) -> PreparedTask:
        """A task bound to a data folder whose labels are those of its head."""
        entry = self.task(task)
        found = entry.task.setup(self._data(data))
        if found.labels != entry.info.labels:
            raise DataError(
                f"task {task}: the data's labels are {_names(found)}, the head's "
                f"{_names(entry.info)}"
            )
        return entry

    def main_metric(self, task: str) -> str:
        """``split/metric`` that the task is judged by."""
        return main_metric(self.task(task).slot)

    def _load(self, task: str) -> _Loaded:
        """The state that answers a task; the one in memory before is given up first."""
        if self._loaded is None or task not in self._loaded.prepared:
            state = next((s for s in self._states if task in self._answered_by(s)), None)
            if state is None:
                raise DataError(f'no task "{task}" in this run\n  it has: {", ".join(self.tasks)}')
            self._loaded = None
            self._loaded = self._build(state)
        return self._loaded

    def _answered_by(self, state: SavedState) -> tuple[str, ...]:
        slots = self._values["tasks"]
        return tuple(_id(slot) for slot in slots if (slot["uses"] or _id(slot)) in state.tasks)

    def _build(self, state: SavedState) -> _Loaded:
        recipe = settle(self._recipe_of(state))
        infos = {task: record.info for task, record in state.records.items()}
        model, _ = build_model(recipe, infos)
        _check_encoder(recipe, model, state)
        for slot in recipe.training_tasks:
            adapters, head = model.task_adapters(slot.id), model.head(slot.id)
            fill_task(recipe, slot, adapters, head, folder=state.tasks[slot.id])
        model.to(recipe.training.device).eval()
        prepared = prepare_tasks(
            recipe,
            self._registry,
            build_tokenizer(recipe),
            strict_data=self._strict_data,
            infos=infos,
        )
        training = recipe.training
        settings = EvaluationSettings(
            recipe.evaluation.batch_size, training.precision, training.layout
        )
        return _Loaded(model, prepared, settings)

    def _recipe_of(self, state: SavedState) -> ResolvedRecipe:
        """The run's recipe for the tasks of one state, starting from its saved encoder."""
        answered = set(self._answered_by(state))
        values = dict(self._values)
        values["tasks"] = [slot for slot in values["tasks"] if _id(slot) in answered]
        values["adapters"] = [
            {**slot, "tasks": [task for task in slot["tasks"] if task in answered]}
            if isinstance(slot["tasks"], list)
            else slot
            for slot in values["adapters"]
        ]
        values["adapters"] = [slot for slot in values["adapters"] if slot["tasks"]]
        values["sampler"] = {"name": "bertmod/proportional"}
        values["optimizer"] = {"name": "bertmod/adamw"}  # theirs may name tasks that are not here
        values["freeze"] = "none"
        values["checkpoint"] = {"name": "bertmod/bertmod", "path": str(state.encoder.absolute())}
        values["tokenizer"] = {**values["tokenizer"], "vocab": None}
        values["training"] = {**values["training"], "device": self._device}
        return resolve(raw_recipe(values, title=str(state.encoder)), self._registry)


def load_run(
    run: Path | str,
    *,
    source: Source = "mean",
    registry: Registry | None = None,
    device: str = "auto",
    strict_data: bool = False,
) -> TrainedRun:
    """A run folder as something that predicts.

    Args:
        run: The run folder.
        source: ``mean``: the state of the best mean; ``best``: each task's own best state;
            ``final``: the last one.
        registry: What is installed; None looks.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        strict_data: Whether a malformed dev row is an error.

    Raises:
        RunFolderError: If it is no run folder, or the run has no such state yet.
        CheckpointError: If the state is damaged.
    """
    folder = Path(run)
    states = saved_states(folder, source)
    values = _run_recipe(folder / RECIPE_FILE)
    if source != "best":
        _check_complete(folder, values, states[0])
    return TrainedRun(
        values, registry or load_registry(), states, device=device, strict_data=strict_data
    )


def _run_recipe(path: Path) -> Mapping[str, Any]:
    """The recipe that a run wrote, in which every slot and every default is there."""
    values = load_recipe(str(path)).values
    require_run_recipe(values, path, has={"adapters": list, "tokenizer": dict})
    if not all("uses" in slot for slot in values["tasks"]):
        raise RunFolderError(f'{path}: not a recipe that a run wrote (a task without "uses")')
    return values


def _check_complete(run: Path, values: Mapping[str, Any], state: SavedState) -> None:
    """Refuse a state that lacks a task of the run: it would go unanswered in silence."""
    for slot in values["tasks"]:
        if slot["uses"] is None and slot.get("metric") and _id(slot) not in state.tasks:
            place = state.encoder.parent / _id(slot)
            raise CheckpointError(f"{place}: damaged: task {_id(slot)} of {run} is not there")


def _check_encoder(recipe: ResolvedRecipe, model: MultiTaskModel, state: SavedState) -> None:
    """Refuse an encoder that is not the one its tasks were trained with."""
    found = module_hash(model.encoder, encoder_names(recipe), prefix="encoder.")
    require_hash(state.encoder, found=found, stored=state.encoder_hash)


def _id(slot: Mapping[str, Any]) -> str:
    return str(slot["id"])


def _names(info: TaskInfo) -> str:
    return json.dumps(info.labels)
