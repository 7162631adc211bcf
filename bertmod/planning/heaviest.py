"""The rows of a run that take most memory at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bertmod.data.collate import row_layout
from bertmod.data.features import FeatureTable
from bertmod.data.training_rows import TrainingRows
from bertmod.engine.batches import batches_by_length
from bertmod.engine.order import DrawnRows
from bertmod.engine.parallel import Ranks
from bertmod.engine.tasks import TrainingTask
from bertmod.engine.trainer import Trainer


@dataclass(frozen=True)
class Heaviest:
    """Features that a model has to hold at once.

    Attributes:
        task: The task that they belong to.
        table: Features that they are among.
        rows: Which of them, indices, int64.
        tokens: Tokens that are stored for them, padding included.
    """

    task: str
    table: TrainingRows
    rows: np.ndarray
    tokens: int


def heaviest_micro_batch(trainer: Trainer, task: TrainingTask, batches: int) -> Heaviest:
    """Of all micro-batches of a task in a run, the one with most tokens.

    Args:
        trainer: The run's trainer.
        task: One of its tasks.
        batches: Batches of the task in the run, positive; taken to be spread evenly over it.
    """
    steps = (number * trainer.total_steps // batches for number in range(batches))
    drawn = (trainer.rows(task.id, number, step=step) for number, step in enumerate(steps))
    found = ((batch.rows, part) for batch in drawn for part in batch.parts)
    return _heaviest(trainer, task.id, found)


def heaviest_evaluation(trainer: Trainer, tasks: Iterable[TrainingTask]) -> Heaviest | None:
    """Of all evaluation batches of the tasks, the one with most tokens; None without dev splits."""
    size = trainer.settings.evaluation_batch_size
    found = [
        _heaviest(trainer, task.id, [(split.features, next(batches_by_length(lengths, size)))])
        for task in tasks
        for split in task.dev.values()
        if len(lengths := split.features.lengths)
    ]
    return max(found, key=lambda each: each.tokens, default=None)


def shares_of(batch: DrawnRows, processes: int) -> list[FeatureTable]:
    """Of a batch's rows, those of the process that gets most tokens, by micro-batch.

    Args:
        batch: The batch.
        processes: How many share it.
    """
    return [share_of(batch.rows, part, processes) for part in batch.parts]


def share_of(rows: TrainingRows, indices: np.ndarray, processes: int) -> FeatureTable:
    """Of a micro-batch's rows, those of the process that gets most tokens.

    Args:
        rows: What they are among.
        indices: Which they are, int64.
        processes: How many share them.
    """
    return rows.take(indices[Ranks(size=processes).share(rows.lengths[indices])])


def _heaviest(
    trainer: Trainer, task: str, batches: Iterable[tuple[TrainingRows, np.ndarray]]
) -> Heaviest:
    layout = row_layout([trainer.model.head(task).layout], trainer.settings.layout)
    best: Heaviest | None = None
    for rows, indices in batches:
        own = rows.lengths[indices]
        tokens = int(own.sum()) if layout == "packed" else len(own) * int(own.max())
        if best is None or tokens > best.tokens:
            best = Heaviest(task, rows, indices, tokens)
    assert best is not None
    return best
