"""The training loop: which task, which rows, when to evaluate and when to save."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim import Optimizer

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.contracts.sampler import Sampler
from bertmod.contracts.schedule import Schedule
from bertmod.contracts.state import Stateful
from bertmod.contracts.tracker import Tracker
from bertmod.data.features import FeatureTable
from bertmod.engine.checkpoint import resume_newest, save_checkpoint
from bertmod.engine.counters import Counters
from bertmod.engine.data_parallel import home_device
from bertmod.engine.ema import WeightAverage
from bertmod.engine.evaluate import EvaluationSettings
from bertmod.engine.groups import IdleRule, build_groups, parameter_users
from bertmod.engine.head_infos import HeadInfos
from bertmod.engine.interrupt import Interrupted, SignalWatch
from bertmod.engine.keeper import StateWriter, build_keeper
from bertmod.engine.loss_scale import build_loss_scale
from bertmod.engine.offload import build_masters
from bertmod.engine.order import DrawnRows, PhasedRows
from bertmod.engine.out_of_memory import MemoryUse
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.precision import resolve_precision, warn_if_slow
from bertmod.engine.progress import Progress
from bertmod.engine.reports import Reports
from bertmod.engine.run_folder import RunFolder, unwritten
from bertmod.engine.run_state import RunState
from bertmod.engine.seeding import drawn
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.sharded_files import require_common_folder
from bertmod.engine.sharding import gathered, placed_model
from bertmod.engine.step import Stepper, StepResult
from bertmod.engine.stopping import EarlyStop, TimeLimit
from bertmod.engine.summary import TaskResult, task_result
from bertmod.engine.tasks import Evaluation, TrainingTask, evaluate_tasks, main_scores
from bertmod.engine.trackers import Trackers
from bertmod.errors import TrainingError
from bertmod.model.multitask import MultiTaskModel

LOG = logging.getLogger("bertmod")

OptimizerBuilder = Callable[[Sequence[ParameterGroup]], Optimizer]


class Trainer:
    """Trains one model on several tasks, one task per step.

    Args:
        model: Encoder, adapters and heads; frozen parameters have ``requires_grad`` off. With
            ``fsdp`` a copy trains, and the main process's ``model`` is what ``writer`` writes.
        tasks: Tasks that train, in the order that the sampler knows.
        sampler: Probability of each task.
        optimizer: Makes the optimizer from parameter groups.
        schedule: Learning-rate multiplier.
        settings: Everything that is a plain value.
        folder: Run folder, owned; None keeps nothing on disk.
        writer: Writes the model's parts into ``best/`` and ``final/``; needs ``folder``.
        trackers: Hear about steps and scores.
        ranks: The processes that make the run together; only the main one is given ``folder``,
            ``writer`` and ``trackers``, and all have the same model, tasks and settings.
        quiet: Whether to show nothing.

    Raises:
        RecipeError: If this machine lacks the device or the precision, or a parameter has no
            learning rate.
        ValueError: If a loss scale is stated for another precision than fp16, or is no such scale,
            or one device for ``data_parallel``.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[TrainingTask],
        *,
        sampler: Sampler,
        optimizer: OptimizerBuilder,
        schedule: Schedule,
        settings: TrainerSettings | None = None,
        folder: RunFolder | None = None,
        writer: StateWriter | None = None,
        trackers: Sequence[Tracker] = (),
        ranks: Ranks = ALONE,
        quiet: bool = False,
    ) -> None:
        settings = settings or TrainerSettings()
        self.device = home_device(settings.device, settings.parallel)
        precision = resolve_precision(settings.precision, self.device)
        self.settings = replace(settings, precision=precision, device=str(self.device))
        self._scale = build_loss_scale(settings.loss_scale, precision)
        warn_if_slow(precision, self.device)
        self._placed = placed_model(model, settings.parallel, ranks)
        model = self.model = self._placed.model.to(self.device).train()
        self._ranks = ranks
        ranks.take_from_main(self.model.state_dict().values())
        self._tasks = {task.id: task for task in tasks}
        self.sampler, self._folder = sampler, folder
        self._trackers, self._quiet = Trackers(trackers), quiet
        users = parameter_users(model, self._tasks)
        offload = self._placed.shard(self.device, settings.offload)
        groups = build_groups(model, users, self.settings)
        self._masters = build_masters(groups, offload=offload, device=self.device)
        self._groups = self._masters.groups
        self._idle = IdleRule(self._groups, users, self.settings.idle)
        self._average = WeightAverage(self._groups, settings.ema)
        kept = folder is not None or not ranks.is_main
        self._memory = MemoryUse(model, tuple(tasks), self.settings, ranks.size, kept=kept)
        self._early = EarlyStop({task.id: task.patience for task in tasks})
        self._limit = TimeLimit(settings.max_minutes)
        self._optimizer = optimizer(self._groups)
        self._stepper = Stepper(
            model,
            self._optimizer,
            self._masters,
            idle=self._idle,
            scale=self._scale,
            schedule=schedule,
            settings=self.settings,
            device=self.device,
            loss_weights={task.id: task.loss_weight for task in tasks},
            ranks=ranks,
        )
        self._orders = {task.id: PhasedRows(task, self.settings) for task in tasks}
        self._keeper = build_keeper(folder, writer, tasks, select=settings.select)
        self._counters = Counters(dict.fromkeys(self._tasks, 0))
        self._state = RunState(
            model, self._masters, self._optimizer, average=self._average, parts=self._stateful()
        )
        self._saved: tuple[int, int] | None = None
        self._evaluated: tuple[int, Evaluation] | None = None

    @property
    def step(self) -> int:
        """Optimizer steps finished."""
        return self._counters.step

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Ids of the tasks, in the order of the sampler's probabilities."""
        return tuple(self._tasks)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        if self.settings.steps_per_epoch is not None:
            return self.settings.steps_per_epoch
        features = sum(len(task.train) for task in self._tasks.values())
        return -(-features // self.settings.global_batch_size)

    @property
    def total_steps(self) -> int:
        """Length of the run in optimizer steps."""
        return self.settings.num_epochs * self.steps_per_epoch

    def fit(self, *, resume: bool = False) -> list[TaskResult]:
        """Train to the end.

        Args:
            resume: Whether to go on from the newest whole checkpoint of the run folder.

        Returns:
            One result per task.

        Raises:
            Interrupted: On SIGINT or SIGTERM, after the step at hand was finished and saved.
            StoppedAtOnce: On a second SIGINT.
            TrainingError: If a loss is not finite, or a checkpoint cannot be written.
            CheckpointError: If the run's checkpoints are damaged or belong to another model.
            RunFolderError: If a process that is to write its part does not see the run folder.
        """
        if self.settings.parallel == "fsdp":
            require_common_folder(self._checkpoints, self._ranks)
        if resume:
            try:
                self._resume()
            except OSError as error:
                raise self._unwritten(error) from error
        progress = Progress(self.total_steps, self.steps_per_epoch, quiet=self._quiet)
        progress.start(self.step)
        try:
            self._limit.start()
            watch = SignalWatch(tells=self._ranks.is_main)
            with watch as signals, self._memory.run(lambda: self.step), self._ranks.messages():
                self._loop(progress, signals)
            return self.results()
        except OSError as error:
            raise self._unwritten(error) from error
        finally:
            progress.close()
            self._trackers.close()

    def evaluate(self) -> Evaluation:
        """Answers and scores of every dev split of every task, as the model is now.

        Where weights are averaged, it answers with the averages.
        """
        own = self.settings
        settings = EvaluationSettings(
            own.evaluation_batch_size, own.precision, own.layout, fast=own.fast
        )
        with self._memory.evaluation(self.step), self._average.applied(self.model):
            tasks = list(self._tasks.values())
            return evaluate_tasks(self.model, tasks, settings, ranks=self._ranks)

    def last_evaluation(self) -> Evaluation:
        """The evaluation of the model as it is now; made only if none was since the last step."""
        if self._evaluated is None or self._evaluated[0] != self.step:
            self._evaluated = (self.step, self.evaluate())
        return self._evaluated[1]

    def results(self) -> list[TaskResult]:
        """How each task stands."""
        retries, stopped = self._scale.retries, self._early.stopped
        return [
            task_result(task, self._counters, model=self.model, retries=retries, stopped=stopped)
            for task in self._tasks.values()
        ]

    def train_step(self) -> tuple[str, StepResult]:
        """Make one optimizer step: draw the task, take its next rows, update.

        Returns:
            Id of the task, and what the step did.

        Raises:
            TrainingError: If a loss or gradient is not finite; nothing has changed.
        """
        task, result = self.start_step()
        return task, result()

    def start_step(self) -> tuple[str, Callable[[], StepResult]]:
        """Begin a ``train_step``: its task, and what to call to wait for what it did or raised."""
        counters, task = self._counters, self._draw_task()
        dropout_epochs = self.settings.dropout_epochs
        dropout = dropout_epochs is None or self._epoch < dropout_epochs
        if self.model.training != dropout:  # it goes through the modules of every task
            self.model.train(dropout)
        tables = self.rows(task, counters.batches[task], step=self.step).tables()
        result = self._start_on(task, tables)
        counters.step += 1
        counters.batches[task] += 1
        return task, result

    def step_on(self, task: str, micro_batches: Sequence[FeatureTable]) -> StepResult:
        """Make an optimizer step as ``train_step`` does; it is not counted as one of the run.

        Args:
            task: Id of the task.
            micro_batches: Its rows.
        """
        return self._start_on(task, micro_batches)()

    def rows(self, task: str, number: int, *, step: int) -> DrawnRows:
        """A batch of a task.

        Args:
            task: Id of the task.
            number: Its number among the task's batches, from 0.
            step: Steps of the run made before it.
        """
        return self._orders[task].batch(number, step=step, total=self.total_steps)

    @property
    def _checkpoints(self) -> Path | None:
        return None if self._folder is None else self._folder.checkpoints

    @property
    def _epoch(self) -> int:
        return self.step // self.steps_per_epoch

    @property
    def _progress(self) -> tuple[int, int]:
        """What tells one state of the run from another: steps made, and the newest evaluation."""
        return self.step, self._counters.evaluated_at

    def _start_on(self, task: str, tables: Sequence[FeatureTable]) -> Callable[[], StepResult]:
        with self._memory.step(self.step + 1, task, tables):
            result = self._stepper.start(self.step, task, tables, total=self.total_steps)
            self._average.update(self.step + 1)
        return result

    def _loop(self, progress: Progress, signals: SignalWatch) -> None:
        reports = Reports(progress, self._trackers, ahead=self._stepper.ahead)
        while True:
            end = self._end()
            finished = end is not None
            signal = signals.agreed(self._ranks)
            due = self._evaluation_due() or (finished and self.step > 0)
            unseen = self._counters.evaluated_at != self.step
            if due or signal is not None or self._save_due():
                reports.finish()  # before anything is made of them
            if due and unseen and (finished or signal is None):
                self._evaluate_and_keep(progress)
                continue  # it may have stopped the last task
            stopped = signal is not None and not finished
            if (stopped or finished or self._save_due()) and self._saved != self._progress:
                self._save()
            if stopped:
                self._ranks.wait()  # whoever ends first may take the others along
                raise Interrupted(str(signal), self.step)
            if finished:
                break
            reports.started(self.step + 1, *self.start_step())
        if end:
            progress.say(f"{end}: the run ends after step {self.step} of {self.total_steps}")
        with gathered(self._placed, self._average):
            if self._keeper is not None:
                self._keeper.finished(self.step, self._main_scores())
        if (spared := self._masters.report(self._optimizer)) is not None:
            progress.say(spared)

    def _end(self) -> str | None:
        """Why the run ends here, empty at its planned end; None if it goes on."""
        if self.step >= self.total_steps:
            return ""
        if self._early.over(self._probabilities):
            return "no task is left to train"
        if self._limit.used and self._ranks.largest(self._limit.up) and self.step > 0:
            return f"training.max_minutes {self._limit.minutes:g} are up"
        return None

    def _probabilities(self, running: frozenset[str]) -> np.ndarray:
        return self.sampler.probabilities(self.step, self._epoch, self.settings.num_epochs, running)

    def _draw_task(self) -> str:
        probabilities = self._probabilities(self._early.running)
        return self.task_ids[drawn(probabilities, seed=self.settings.seed, step=self.step)]

    def _evaluation_due(self) -> bool:
        every = self.settings.evaluate_every or self.steps_per_epoch
        return self.step > 0 and (self.step % every == 0 or self.step >= self.total_steps)

    def _save_due(self) -> bool:
        every = self.settings.save_every
        return self._evaluation_due() if every is None else self.step % every == 0 < self.step

    def _evaluate_and_keep(self, progress: Progress) -> None:
        scores = self.last_evaluation().scores
        main = main_scores(list(self._tasks.values()), scores)
        self._counters.record(list(self._tasks.values()), scores, main)
        self.sampler.observe(self.step, main)
        stops = self._early.evaluated(self._counters, main)
        if main and self.settings.keep_best:
            with gathered(self._placed, self._average):
                if self._keeper is not None:
                    self._keeper.evaluated(self.step, main)
        self._trackers.evaluated(self.step, scores)
        shown = "  ".join(f"{task} {score:.4f}" for task, score in main.items())
        for line in (f"step {self.step}: {shown or 'no task is scored'}", *stops):
            progress.say(line)

    def _main_scores(self) -> dict[str, float]:
        return main_scores(list(self._tasks.values()), self._counters.scores)

    def _stateful(self) -> dict[str, Stateful]:
        """Everything with a state beside model and optimizer."""
        parts: dict[str, Stateful] = {
            "counters": self._counters,
            "sampler": self.sampler,
            "clocks": self._idle,
            "heads": HeadInfos(self.model),
        }
        options: dict[str, Any] = {"loss_scale": self._scale, "early_stop": self._early}
        options["time"] = self._limit
        parts |= {name: part for name, part in options.items() if part.used}
        return parts if self._keeper is None else {**parts, "best": self._keeper}

    def _save(self) -> None:
        snapshot, keep = self._state.snapshot(self.step), self.settings.keep
        path = save_checkpoint(self._checkpoints, snapshot, keep=keep, ranks=self._ranks)
        self._saved = self._progress
        if path is not None:
            self._trackers.saved(self.step, path)
            LOG.info("saved %s", path)

    def _resume(self) -> None:
        like, keep = self.model.state_dict(), self.settings.keep
        snapshot = resume_newest(self._checkpoints, keep=keep, ranks=self._ranks, like=like)
        if snapshot is None:
            LOG.warning("no checkpoint to resume from: starting at step 0")
            self._trackers.resumed(0)
            return
        self._state.restore(snapshot)
        self._saved = self._progress
        LOG.info("resumed at step %d", self.step)
        self._trackers.resumed(self.step)

    def _unwritten(self, error: OSError) -> TrainingError:
        folder = self._folder.path if self._folder is not None else Path("the run folder")
        return unwritten(folder, error, step=self.step)
