"""Which rows are in the k-th batch of a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bertmod.data.features import FeatureTable
from bertmod.data.training_rows import TrainingRows
from bertmod.engine.seeding import generator
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.tasks import TrainingTask


class RowOrder:
    """Batches of one task as a function of (seed, task, k), whatever came before.

    A pass over the task's features visits each once, in batches of ``batch_size`` (the last may be
    smaller). Features are shuffled anew for each pass; then windows of ``bucket_window`` batches
    are sorted by length before they are cut, so that a batch's rows are of similar length, and the
    batches of the pass are shuffled.

    Args:
        lengths: Tokens of each feature, (features,), int64, at least one feature.
        batch_size: Features per batch, positive.
        seed: The run's seed.
        task: Id of the task.
        reshuffle: Whether each pass has its own order; else every pass repeats the first.
        bucket_window: Batches sorted by length together, from 1; 1 means no sorting.

    Raises:
        ValueError: If there are no features.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        *,
        seed: int,
        task: str,
        reshuffle: bool = True,
        bucket_window: int = 1,
    ) -> None:
        if not len(lengths):
            raise ValueError(f"task {task} has no training features")
        self._lengths = np.asarray(lengths)
        self._batch_size, self._seed, self._task = batch_size, seed, task
        self._reshuffle, self._window = reshuffle, bucket_window
        self._pass_number = -1
        self._pass: list[np.ndarray] = []

    @property
    def batches_per_pass(self) -> int:
        """Batches in one pass over the features."""
        return -(-len(self._lengths) // self._batch_size)

    def pass_of(self, k: int) -> int:
        """How many passes over the features were made before batch ``k``."""
        return k // self.batches_per_pass

    def batch(self, k: int) -> np.ndarray:
        """Indices of the features in batch ``k``, counted from 0 over the whole run, int64."""
        number, place = divmod(k, self.batches_per_pass)
        number = number if self._reshuffle else 0
        if number != self._pass_number:
            self._pass, self._pass_number = self._make_pass(number), number
        return self._pass[place]

    def cut(self, k: int, parts: int) -> list[np.ndarray]:
        """Batch ``k`` as micro-batches: equal parts of a whole batch, fewer of a smaller one."""
        indices, size = self.batch(k), -(-self._batch_size // parts)
        return [indices[start : start + size] for start in range(0, len(indices), size)]

    def _make_pass(self, number: int) -> list[np.ndarray]:
        draw = generator(self._seed, "rows", self._task, number)
        order = draw.permutation(len(self._lengths))
        if self._window == 1:
            return self._cut(order)
        size = self._window * self._batch_size
        windows = [order[start : start + size] for start in range(0, len(order), size)]
        batches = [
            batch
            for window in windows
            for batch in self._cut(window[np.argsort(self._lengths[window], kind="stable")])
        ]
        return [batches[i] for i in draw.permutation(len(batches))]

    def _cut(self, indices: np.ndarray) -> list[np.ndarray]:
        size = self._batch_size
        return [indices[start : start + size] for start in range(0, len(indices), size)]


@dataclass(frozen=True)
class DrawnRows:
    """The rows of one batch, none of them in memory yet.

    Attributes:
        rows: What they are among, as it is in their pass.
        parts: Indices of each micro-batch's rows, int64.
    """

    rows: TrainingRows
    parts: tuple[np.ndarray, ...]

    def tables(self) -> list[FeatureTable]:
        """The rows of each micro-batch."""
        return [self.rows.take(part) for part in self.parts]


class PhasedRows:
    """The rows of every batch of a task: those of the phase that the run is in.

    A batch is a function of (seed, task, k, phase), so that nothing is to be kept of it.

    Args:
        task: The task.
        settings: The run's seed, batch size, accumulation and order.

    Raises:
        ValueError: If the task has no features.
    """

    def __init__(self, task: TrainingTask, settings: TrainerSettings) -> None:
        self._rows = [phase.rows for phase in task.phases]
        self._ends = np.cumsum([phase.share for phase in task.phases])[:-1]
        self._parts = settings.gradient_accumulation_steps
        self._orders = [
            RowOrder(
                rows.lengths,
                task.batch_size or settings.global_batch_size,
                seed=settings.seed,
                task=task.id,
                reshuffle=settings.reshuffle,
                bucket_window=settings.bucket_window,
            )
            for rows in self._rows
        ]

    def batch(self, k: int, *, step: int, total: int) -> DrawnRows:
        """The rows of batch ``k`` of the task.

        Args:
            k: Batches of the task made before, over the whole run.
            step: Steps of the run made before.
            total: Steps of the run.
        """
        phase = int(np.searchsorted(np.rint(self._ends * total), step, side="right"))
        order = self._orders[phase]
        rows = self._rows[phase].in_pass(order.pass_of(k))
        return DrawnRows(rows, tuple(order.cut(k, self._parts)))
