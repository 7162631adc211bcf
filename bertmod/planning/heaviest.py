"""The rows of a run that take most memory at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bertmod.data.collate import row_layout
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import batches_by_length
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
    table: FeatureTable
    rows: np.ndarray
    tokens: int


def heaviest_micro_batch(trainer: Trainer, task: TrainingTask, batches: int) -> Heaviest:
    """Of all micro-batches of a task in a run, the one with most tokens.

    Args:
        trainer: The run's trainer.
        task: One of its tasks.
        batches: Batches of the task in the run, positive.
    """
    found = (rows for number in range(batches) for rows in trainer.micro_batches(task.id, number))
    return _heaviest(trainer, task.id, task.train, found)


def heaviest_evaluation(trainer: Trainer, tasks: Iterable[TrainingTask]) -> Heaviest | None:
    """Of all evaluation batches of the tasks, the one with most tokens; None without dev splits."""
    size = trainer.settings.evaluation_batch_size
    found = [
        _heaviest(trainer, task.id, split.features, [next(batches_by_length(lengths, size))])
        for task in tasks
        for split in task.dev.values()
        if len(lengths := split.features.lengths)
    ]
    return max(found, key=lambda each: each.tokens, default=None)


def share_of(lengths: np.ndarray, rows: np.ndarray, processes: int) -> np.ndarray:
    """Of a micro-batch's rows, those of the process that gets most tokens.

    Args:
        lengths: Tokens of each feature, (features,), int64.
        rows: Indices of the micro-batch's features, int64.
        processes: How many share it.
    """
    share: np.ndarray = rows[Ranks(size=processes).share(lengths[rows])]
    return share


def _heaviest(
    trainer: Trainer, task: str, table: FeatureTable, batches: Iterable[np.ndarray]
) -> Heaviest:
    layout = row_layout([trainer.model.head(task).layout], trainer.settings.layout)
    lengths, most, best = table.lengths, -1, np.empty(0, np.int64)
    for rows in batches:
        own = lengths[rows]
        tokens = int(own.sum()) if layout == "packed" else len(own) * int(own.max())
        if tokens > most:
            most, best = tokens, rows
    return Heaviest(task, table, best, most)
