"""A trained run, ready to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
from bertmod.engine.evaluate import EvaluationSettings, decode, outputs_by_example
from bertmod.engine.precision import answering_precision, resolve_device
from bertmod.errors import DataError
from bertmod.inference.adapter_files import fill_task
from bertmod.inference.answers import predict_mixed
from bertmod.inference.progress import Advance
from bertmod.inference.scored_split import ScoredSplit, examples_of, scored_splits
from bertmod.inference.states import (
    SavedState,
    Source,
    require_tasks,
    run_recipe,
    saved_states,
)
from bertmod.model.canonical import module_hash, require_hash
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import Registry, load_registry


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

    @property
    def kinds(self) -> dict[str, str]:
        """Registered name, with its provider, of each task that it can answer."""
        names = {_id(slot): str(slot["name"]) for slot in self._values["tasks"]}
        return {task: names[task] for task in self.tasks}

    def task(self, task: str) -> PreparedTask:
        """A task with its label names.

        Raises:
            DataError: If the run has no such task.
        """
        return self._load(task).prepared[task]

    def model(self, task: str) -> MultiTaskModel:
        """The model that answers a task, on its device; of other tasks it may be another.

        Raises:
            DataError: If the run has no such task.
        """
        return self._load(task).model

    def predict(
        self, task: str, examples: Sequence[Example], *, advance: Advance | None = None
    ) -> list[Prediction]:
        """One prediction per example, in order.

        Args:
            task: Id of the task.
            examples: Its examples; ``task(id).task.example(fields)`` makes one from named texts.
            advance: Called with the number of examples answered by each batch.

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
            advance: Called with the number of examples answered by each batch.

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
        """Every metric of every labelled dev and test split of a task, by ``split/metric``.

        Args:
            task: Id of the task.
            data: Data folder; None: the one that the run was trained on.

        Raises:
            DataError: If the data is missing, malformed, or has other labels than the head.
        """
        return {
            f"{split.name}/{metric}": score
            for split in self.scored_splits(task, data)
            for metric, score in split.scores.items()
        }

    def scored_splits(
        self, task: str, data: Path | None = None, *, with_loss: bool = False
    ) -> Iterator[ScoredSplit]:
        """Every dev split of a task with its predictions and their scores.

        Test splits follow whose files are there and have labels, where the task has metrics of
        them; training never looks at these.

        Args:
            task: Id of the task.
            data: Data folder; None: the one that the run was trained on.
            with_loss: Whether the head's losses are measured, too, which takes another pass.

        Raises:
            DataError: If the data is missing, malformed, or has other labels than the head.
        """
        loaded, entry = self._load(task), self.bound(task, data)
        metrics = entry.slot.spec.metrics(entry.slot.config)
        tests = [
            name
            for name in entry.splits("test")
            if name in metrics and all(path.is_file() for path in self.files(task, name, data))
        ]
        return scored_splits(
            loaded.model, entry, tests=tests, settings=loaded.settings, with_loss=with_loss
        )

    def examples(self, task: str, split: str, data: Path | None = None) -> Sequence[Example]:
        """Examples of a split.

        Args:
            task: Id of the task.
            split: Name of the split.
            data: Data folder; None: the one that the run was trained on.

        Raises:
            DataError: If the data is missing, malformed, or has other labels than the head.
        """
        return examples_of(self.bound(task, data).task, split)

    def files(self, task: str, split: str, data: Path | None = None) -> tuple[Path, ...]:
        """The files that a split is read from, whether they exist or not."""
        return self.task(task).task.files(self._data(data), split)

    def lend(self, lender: str, task: str, *, id: str) -> None:
        """Let a further task be answered by a task's adapters, head and label names.

        Args:
            lender: Id of a task of the run.
            task: Registered name of the further task, with its provider: ``bertmod/ax``.
            id: Its id, which is not one of the run's.
        """
        slots = list(self._values["tasks"])
        length = next(slot.get("max_length") for slot in slots if _id(slot) == lender)
        further = {"name": task, "id": id, "uses": lender, "max_length": length}
        self._values = {**self._values, "tasks": [*slots, further]}
        self._loaded = None

    def _data(self, data: Path | None) -> Path:
        if data is not None:
            return data
        return named_data_folder(str(self._values["data"]["dir"]))

    def bound(self, task: str, data: Path | None = None) -> PreparedTask:
        """A task bound to a data folder whose labels are those of its head.

        Args:
            task: Id of the task.
            data: Data folder; None: the one that the run was trained on.

        Raises:
            DataError: If the data is missing, malformed, or has other labels than the head.
        """
        entry = self.task(task)
        found = entry.task.setup(self._data(data))
        if found.labels not in (None, entry.info.labels):
            raise DataError(
                f"task {task}: the data's labels are {_names(found)}, the head's "
                f"{_names(entry.info)}"
            )
        return entry

    def step(self, task: str) -> int:
        """Optimizer steps after which the state that answers a task was saved.

        Raises:
            DataError: If the run has no such task.
        """
        state = self._state_of(task)
        uses = {_id(slot): slot["uses"] for slot in self._values["tasks"]}
        return state.records[uses[task] or task].step

    def main_metric(self, task: str) -> str:
        """``split/metric`` that the task is judged by."""
        return main_metric(self.task(task).slot)

    def _load(self, task: str) -> _Loaded:
        """The state that answers a task; the one in memory before is given up first."""
        if self._loaded is None or task not in self._loaded.prepared:
            state = self._state_of(task)
            self._loaded = None
            self._loaded = self._build(state)
        return self._loaded

    def _state_of(self, task: str) -> SavedState:
        found = next((s for s in self._states if task in self._answered_by(s)), None)
        if found is None:
            raise DataError(f'no task "{task}" in this run\n  it has: {", ".join(self.tasks)}')
        return found

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
            recipe.evaluation.batch_size, training.precision, training.layout, fast=training.fast
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
        precision = values["training"]["precision"]
        values["training"] = {
            **values["training"],
            "device": self._device,
            "precision": answering_precision(precision, resolve_device(self._device)),
            "loss_scale": "dynamic",  # nothing trains
            "parallel": "auto",
        }
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
    values = run_recipe(folder)
    if source != "best":
        require_tasks(folder, values["tasks"], states[0])
    return TrainedRun(
        values, registry or load_registry(), states, device=device, strict_data=strict_data
    )


def _check_encoder(recipe: ResolvedRecipe, model: MultiTaskModel, state: SavedState) -> None:
    """Refuse an encoder that is not the one its tasks were trained with."""
    found = module_hash(model.encoder, encoder_names(recipe), prefix="encoder.")
    require_hash(state.encoder, found=found, stored=state.encoder_hash)


def _id(slot: Mapping[str, Any]) -> str:
    return str(slot["id"])


def _names(info: TaskInfo) -> str:
    return json.dumps(info.labels)
