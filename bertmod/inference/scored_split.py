"""A dev split with what a run answered to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bertmod.assemble.data import PreparedTask
from bertmod.contracts.task import Example, Prediction, ResampledTask, Task
from bertmod.engine.evaluate import EvaluationSettings, TaskSplit, decode, mean_loss
from bertmod.inference.progress import Progress, no_progress
from bertmod.metrics.intervals import Interval, bootstrap_intervals
from bertmod.model.multitask import MultiTaskModel


@dataclass(frozen=True)
class ScoredSplit:
    """The whole of a dev split, answered and scored.

    Attributes:
        task: The task.
        name: Name of the split.
        examples: Its examples.
        predictions: One per example, in order.
        scores: Metric to score, the main one first.
        losses: Named loss of the head that answered to its mean over the targets; empty if it was
            not asked for.
    """

    task: Task
    name: str
    examples: Sequence[Example]
    predictions: Sequence[Prediction]
    scores: Mapping[str, float]
    losses: Mapping[str, float] = field(default_factory=dict)

    def intervals(
        self, *, confidence: float = 0.95, num_resamples: int = 1000, seed: int = 42
    ) -> dict[str, Interval]:
        """Confidence intervals of the scores by bootstrap over the examples.

        Args:
            confidence: Share of the resamples inside the interval, in (0, 1).
            num_resamples: How often examples are drawn, at least 2.
            seed: Seed of the draws.

        Returns:
            Metric to (low, high).
        """
        return bootstrap_intervals(
            self._resampler(),
            len(self.examples),
            confidence=confidence,
            num_resamples=num_resamples,
            seed=seed,
        )

    def _resampler(self) -> Callable[[np.ndarray], Mapping[str, float]]:
        """From row numbers to the scores of these rows, by the task's own way if it has one."""
        if isinstance(self.task, ResampledTask):
            return self.task.resampler(self.name, self.examples, self.predictions)

        def scores(rows: np.ndarray) -> Mapping[str, float]:
            examples = [self.examples[row] for row in rows]
            predictions = [self.predictions[row] for row in rows]
            return self.task.score(self.name, examples, predictions)

        return scores


def scored_splits(
    model: MultiTaskModel,
    entry: PreparedTask,
    *,
    tests: Sequence[str] = (),
    settings: EvaluationSettings,
    with_loss: bool = False,
) -> Iterator[ScoredSplit]:
    """Every dev split of a task, answered and scored.

    Args:
        model: The model, with the task's adapters and head.
        entry: The task, bound to its data.
        tests: Test splits that are scored, too, if their examples have labels.
        settings: Batch size, precision and layout.
        with_loss: Whether the head's losses are measured, too, which takes another pass.

    Raises:
        DataError: If the data is malformed.
    """
    for split in labelled_splits(entry, tests=tests):
        losses: Mapping[str, float] = {}
        if with_loss:
            losses = mean_loss(model, entry.slot.id, split.features, settings=settings)
        yield replace(score_split(model, entry, split, settings=settings), losses=losses)


def labelled_splits(entry: PreparedTask, *, tests: Sequence[str] = ()) -> Iterator[TaskSplit]:
    """Every dev split of a task, read.

    Args:
        entry: The task, bound to its data.
        tests: Test splits that are wanted, too, if their examples have labels.

    Raises:
        DataError: If the data is malformed.
    """
    for name in (*entry.splits("dev"), *tests):
        examples = examples_of(entry.task, name)
        features = entry.make_features(examples)
        if name not in tests or features.targets or features.positions:
            yield TaskSplit(entry.task, name, examples, features, {})


def score_split(
    model: MultiTaskModel,
    entry: PreparedTask,
    split: TaskSplit,
    *,
    settings: EvaluationSettings,
    progress: Progress = no_progress,
) -> ScoredSplit:
    """A split, answered and scored.

    Args:
        model: The model, with the task's adapters and head.
        entry: The task.
        split: One of its splits.
        settings: Batch size, precision and layout.
        progress: Shows how far the answering is.
    """
    task, features = entry.slot.id, split.features
    with progress(len(split.examples), f"{task} {split.split}") as advance:
        decoded = decode(model, task, features, settings=settings, advance=advance)
    predictions = split.answers(decoded, entry.info)
    scores = {metric: float(score) for metric, score in split.score(predictions).items()}
    return ScoredSplit(entry.task, split.split, split.examples, predictions, scores)


def examples_of(task: Task, split: str) -> Sequence[Example]:
    """The examples of a split, in memory.

    Raises:
        DataError: If they cannot be read.
    """
    found = task.read(split)
    return found if isinstance(found, Sequence) else list(found)
