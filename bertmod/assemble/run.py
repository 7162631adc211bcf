"""A run from a resolved recipe: assemble, own the folder, train, leave results."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.assemble.agreement import require_same_files, require_same_recipe
from bertmod.assemble.card import RunFacts, run_facts
from bertmod.assemble.changes import resumed_lock
from bertmod.assemble.components import build_model, build_tokenizer
from bertmod.assemble.data import (
    PreparedTask,
    data_files,
    found_labels,
    prepare_tasks,
    training_task,
)
from bertmod.assemble.lock import lock_values
from bertmod.assemble.writer import ModelWriter
from bertmod.contracts.checkpoint import LoadReport
from bertmod.contracts.sampler import SamplerContext
from bertmod.contracts.task import ReportingTask
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.contracts.tracker import TrackerContext
from bertmod.data.durable import write_file
from bertmod.data.tables import make_folder
from bertmod.engine.data_parallel import home_device
from bertmod.engine.evaluate import TaskSplit
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.precision import resolve_precision
from bertmod.engine.run_folder import LOCK_FILE, RECIPE_FILE, RunFolder, unwritable
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.summary import TaskResult, render_results
from bertmod.engine.tasks import Evaluation, TrainingTask
from bertmod.engine.trackers import build_tracker
from bertmod.engine.trainer import Trainer
from bertmod.errors import DataError, RunFolderError, TrainingError
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import Registry

LOG = logging.getLogger("bertmod")


@dataclass(frozen=True)
class Assembled:
    """Everything a recipe describes, built.

    Attributes:
        recipe: The recipe, ``auto`` settings replaced by what this machine gave.
        registry: What is installed.
        tokenizer: Tokenizer.
        prepared: Tasks bound to their data, by id.
        tasks: The tasks that train, as the trainer sees them.
        model: The model.
        report: What became of the checkpoint's tensors, if there is one.
    """

    recipe: ResolvedRecipe
    registry: Registry
    tokenizer: Tokenizer
    prepared: Mapping[str, PreparedTask]
    tasks: tuple[TrainingTask, ...]
    model: MultiTaskModel
    report: LoadReport | None

    def trainer(
        self,
        folder: RunFolder | None = None,
        *,
        facts: RunFacts | None = None,
        quiet: bool = False,
        ranks: Ranks = ALONE,
    ) -> Trainer:
        """A trainer of this model on these tasks.

        Args:
            folder: The run folder; None writes nothing.
            facts: What the run is made with, for its READMEs.
            quiet: Whether to show nothing.
            ranks: The processes that make the run together.
        """
        recipe = self.recipe
        sampler, optimizer, schedule = recipe.sampler, recipe.optimizer, recipe.schedule
        sizes = sampler.keys.sizes or {task.id: len(task.train) for task in self.tasks}
        ids = tuple(task.id for task in self.tasks)
        scored = {task.id: info for task in self.tasks if (info := task.score_info) is not None}
        context = SamplerContext(ids, np.array([float(sizes[task]) for task in ids]), scored)
        return Trainer(
            self.model,
            self.tasks,
            sampler=sampler.spec.build(sampler.config, context),
            optimizer=lambda groups: optimizer.spec.build(optimizer.config, groups),
            schedule=schedule.spec.build(schedule.config),
            settings=trainer_settings(recipe),
            folder=folder,
            writer=ModelWriter(recipe, self.model, self.tokenizer, facts=facts) if folder else None,
            trackers=self._trackers(folder) if folder else (),
            ranks=ranks,
            quiet=quiet,
        )

    def _trackers(self, folder: RunFolder) -> list[Any]:
        """The recipe's trackers; JSON lines are always written, listed or not."""
        context = TrackerContext(folder.path, self.recipe.to_json())
        built = [
            tracker
            for slot in self.recipe.trackers
            if (tracker := build_tracker(slot.spec, slot.config, context)) is not None
        ]
        if not any(slot.full_name == "bertmod/jsonl" for slot in self.recipe.trackers):
            spec = self.registry.get("tracker", "bertmod/jsonl").spec
            built.append(spec.build(spec.config(), context))  # type: ignore[attr-defined]
        return built


def assemble(
    recipe: ResolvedRecipe, registry: Registry, *, strict_data: bool = False, size: int = 1
) -> Assembled:
    """Build everything that a recipe describes; nothing is written but caches.

    Args:
        recipe: The recipe.
        registry: What is installed.
        strict_data: Whether a malformed train or dev row is an error.
        size: Processes that make the run together, each of which calls this.

    Raises:
        DataError: If data files are missing or malformed.
        CheckpointError: If the checkpoint cannot be read or does not fit.
        RecipeError: If this machine lacks the device.
    """
    recipe = settle(recipe, size=size)
    tokenizer = build_tokenizer(recipe)
    prepared = prepare_tasks(recipe, registry, tokenizer, strict_data=strict_data)
    trained = [each for each in prepared.values() if each.slot.trains]
    tasks = tuple(training_task(each) for each in trained)
    model, report = build_model(recipe, {each.slot.id: each.info for each in trained})
    return Assembled(recipe, registry, tokenizer, prepared, tasks, model, report)


def settle(recipe: ResolvedRecipe, *, size: int = 1) -> ResolvedRecipe:
    """The recipe with ``auto`` device, precision and parallelism replaced by this machine's.

    Args:
        recipe: The recipe.
        size: Processes that make the run together; ``cuda`` is then each one's own GPU, and with
            ``data_parallel`` all of them.

    Raises:
        RecipeError: If this machine lacks the device or the precision.
    """
    parallel = recipe.training.parallel
    device, spread = home_device(recipe.training.device, parallel), parallel == "data_parallel"
    settled = {
        "device": "cuda" if spread else device.type if size > 1 else str(device),
        "precision": resolve_precision(recipe.training.precision, device),
        "parallel": ("ddp" if size > 1 else "single") if parallel == "auto" else parallel,
    }
    return replace(recipe, training=recipe.training.model_copy(update=settled))


def trainer_settings(recipe: ResolvedRecipe) -> TrainerSettings:
    """The recipe's plain values, as the trainer takes them."""
    training, optimizer = recipe.training, recipe.optimizer.keys
    return TrainerSettings(
        seed=recipe.seed,
        num_epochs=training.num_epochs,
        steps_per_epoch=training.steps_per_epoch,
        max_minutes=training.max_minutes,
        global_batch_size=training.global_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        dropout_epochs=training.dropout_epochs,
        device=training.device,
        precision=training.precision,
        loss_scale=training.loss_scale,
        ema=training.ema,
        offload=training.offload,
        parallel="single" if training.parallel == "auto" else training.parallel,
        activation_checkpointing=training.activation_checkpointing,
        compile=training.compile,
        fast=training.fast,
        layout=training.layout,
        reshuffle=recipe.data.reshuffle,
        bucket_window=recipe.data.bucket_window,
        learning_rate=optimizer.learning_rate,
        layer_decay=optimizer.layer_decay,
        weight_decay=optimizer.weight_decay,
        clip=optimizer.clip,
        max_grad_norm=optimizer.max_grad_norm,
        idle=optimizer.idle,
        decay_vectors=optimizer.decay_vectors,
        first_step=recipe.schedule.keys.first_step,
        evaluate_every=recipe.evaluation.every_steps,
        evaluation_batch_size=recipe.evaluation.batch_size,
        select=recipe.evaluation.select,
        keep_best=recipe.saving.best,
        save_every=recipe.saving.every_steps,
        keep=recipe.saving.keep,
    )


def train(
    recipe: ResolvedRecipe,
    registry: Registry,
    output: Path,
    *,
    resume: bool = False,
    strict_data: bool = False,
    quiet: bool = False,
    preface: str = "",
    ranks: Ranks = ALONE,
) -> list[TaskResult]:
    """Make a run in a folder, or go on with one.

    Args:
        recipe: The resolved recipe; when resuming, as ``resumed_recipe`` gave it.
        registry: What is installed.
        output: The run folder.
        resume: Whether to go on from its newest whole checkpoint.
        strict_data: Whether a malformed train or dev row is an error.
        quiet: Whether to show nothing.
        preface: What the log begins with.
        ranks: The processes that make the run together; the main one alone writes.

    Returns:
        One result per task that trained.

    Raises:
        RunFolderError: If the folder cannot be used; nothing was trained.
        TrainingError: If the run failed; its checkpoints are intact.
        Interrupted: If it was asked to stop, after saving.
    """
    if not ranks.is_main:
        LOG.setLevel(logging.ERROR)  # the main process has the same warnings
        return _take_part(recipe, registry, resume=resume, strict_data=strict_data, ranks=ranks)
    with RunFolder(output, resume=resume) as folder:
        try:
            if preface:
                LOG.info("%s", preface)
            require_same_recipe(settle(recipe, size=ranks.size), ranks)
            with ranks.main_first():
                assembled = assemble(recipe, registry, strict_data=strict_data, size=ranks.size)
            trainer = _set_up(assembled, folder, resume=resume, quiet=quiet, ranks=ranks)
        except BaseException:
            folder.abandon()
            raise
        _tell_labels(assembled, quiet=quiet)
        results = trainer.fit(resume=resume)
        try:
            with _said_before():
                _write_predictions(assembled, trainer.last_evaluation(), folder)
                _write_reports(assembled, trainer, folder)
        except (OSError, DataError) as error:
            raise TrainingError(
                f"{error}\n  the run is complete but for its predictions"
            ) from error
        LOG.info("%s", render_results(results))
    return results


def _take_part(
    recipe: ResolvedRecipe, registry: Registry, *, resume: bool, strict_data: bool, ranks: Ranks
) -> list[TaskResult]:
    """Make a run as a process that is not the main one, and writes nothing."""
    require_same_recipe(settle(recipe, size=ranks.size), ranks)
    with ranks.main_first():
        assembled = assemble(recipe, registry, strict_data=strict_data, size=ranks.size)
    prepared = assembled.prepared.values()
    require_same_files(lock_values(assembled.recipe, registry, data_files(prepared)), ranks)
    trainer = assembled.trainer(quiet=True, ranks=ranks)
    results = trainer.fit(resume=resume)
    trainer.last_evaluation()
    return results


def _set_up(
    assembled: Assembled, folder: RunFolder, *, resume: bool, quiet: bool, ranks: Ranks
) -> Trainer:
    prepared = assembled.prepared.values()
    try:
        lock = lock_values(assembled.recipe, assembled.registry, data_files(prepared))
        require_same_files(lock, ranks)
        facts = run_facts(assembled.recipe, prepared, lock, registry=assembled.registry)
        trainer = assembled.trainer(folder, facts=facts, quiet=quiet, ranks=ranks)
        _write_facts(assembled, folder, {**lock, "processes": ranks.size}, resume=resume)
    except OSError as error:
        raise RunFolderError(unwritable(folder.path, error)) from error
    return trainer


def _tell_labels(assembled: Assembled, *, quiet: bool) -> None:
    """Say in the log and, unless ``quiet``, on the terminal which labels the data has."""
    for line in found_labels(assembled.prepared.values()):
        LOG.info("%s", line)
        if not quiet:
            print(line, file=sys.stderr)


@contextmanager
def _said_before() -> Iterator[None]:
    """Keep quiet what was said when the same files were read for the first time."""
    level = LOG.level
    LOG.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOG.setLevel(level)


def _write_facts(
    assembled: Assembled, folder: RunFolder, lock: Mapping[str, Any], *, resume: bool
) -> None:
    """Write what the run is made of; a run that goes on must be made of the same data."""
    if resume:
        lock = resumed_lock(folder.path / LOCK_FILE, lock)
    write_json(folder.path / LOCK_FILE, lock)
    write_json(folder.path / RECIPE_FILE, assembled.recipe.to_json())


def _write_predictions(assembled: Assembled, evaluation: Evaluation, folder: RunFolder) -> None:
    """Predictions of the final model for every dev split, in each benchmark's own form."""
    make_folder(folder.predictions)
    for task in assembled.tasks:
        for name, split in task.dev.items():
            if isinstance(split, TaskSplit):
                predictions = evaluation.answers[task.id, name]
                try:
                    split.task.write(name, split.examples, predictions, folder.predictions)
                except OSError as error:
                    place = error.filename or f"{folder.predictions}: task {task.id}, split {name}"
                    what = f"cannot be written: {error.strerror or error}"
                    raise DataError(f"{place}: {what}") from error


def _write_reports(assembled: Assembled, trainer: Trainer, folder: RunFolder) -> None:
    """The final model's scores, in the forms that tasks have for them."""
    found = trainer.last_evaluation().scores
    for task in assembled.tasks:
        split = task.dev.get(task.main_split)
        if isinstance(split, TaskSplit) and isinstance(split.task, ReportingTask):
            prefix = f"{task.id}/{task.main_split}/"
            own = {
                name.removeprefix(prefix): score
                for name, score in found.items()
                if name.startswith(prefix)
            }
            split.task.report(own, step=trainer.step, folder=folder.predictions)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Replace a JSON file in one instant."""
    write_file(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
