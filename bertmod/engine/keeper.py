"""The best and the last states of a run, as folders that prediction reads."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from bertmod.data.durable import discard_folder, existing_folder, remove_folder, write_folder
from bertmod.engine.counters import beats
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.tasks import TrainingTask
from bertmod.errors import CheckpointError
from bertmod.model.record import read_task_record


class StateWriter(Protocol):
    """Writes parts of a model in bertmod's own layout."""

    def encoder_hash(self) -> str:
        """Hash of the encoder's present values."""
        ...

    def write_encoder(self, folder: Path, hash_: str) -> None:
        """Fill an existing empty folder with the encoder, whose hash ``encoder_hash`` gave."""
        ...

    def write_task(self, folder: Path, task: str, record: Mapping[str, Any]) -> None:
        """Fill an existing empty folder with a task's adapters, head and record."""
        ...

    def write_card(
        self, folder: Path, place: str, records: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Put a README into a folder of tasks, which will be ``place`` in the run folder."""
        ...


class Keeper:
    """Keeps ``best/`` and ``final/`` of a run folder.

    ``best/mean`` holds encoder and all tasks at the step of the best mean score. When ``select``
    is ``mean``, ``best/tasks/TASK`` holds each task at its own best step, with the hash of the
    encoder it belongs to, which lies in ``best/encoders/HASH`` as long as a task names it.

    Args:
        folder: The run folder.
        writer: Writes the model's parts.
        metrics: Task id to its metric's name (empty if it is never scored) and whether greater is
            better, in task order.
        select: ``mean``, or ``sum`` for ``best/mean`` alone.
    """

    def __init__(
        self,
        folder: RunFolder,
        writer: StateWriter,
        *,
        metrics: Mapping[str, tuple[str, bool]],
        select: Literal["mean", "sum"],
    ) -> None:
        self._folder, self._writer = folder, writer
        self._metrics, self._select = metrics, select
        self._mean: dict[str, Any] | None = None
        self._tasks: dict[str, dict[str, Any]] = {}

    def evaluated(self, step: int, scores: Mapping[str, float]) -> tuple[str, ...]:
        """Hear the scores of an evaluation and write what is the best so far.

        Args:
            step: Optimizer steps finished.
            scores: Score of every task's metric, by task.

        Returns:
            Tasks whose score is their best so far.
        """
        improved = tuple(task for task in scores if self._improves(task, scores[task]))
        mean = self.mean(scores)
        new_mean = self._mean is None or beats(mean, self._mean["score"])
        if not improved and not new_mean:
            return ()
        encoder = self._writer.encoder_hash()
        for task in improved:
            self._tasks[task] = {"step": step, "score": scores[task], "encoder": encoder}
        if improved and self._select == "mean":
            self._write_tasks(improved, step, scores, encoder=encoder)
        if new_mean:
            self._mean = {"step": step, "score": mean, "encoder": encoder}
            self._write_all(self._folder.best / "mean", step, scores, encoder=encoder)
        return improved

    def finished(self, step: int, scores: Mapping[str, float]) -> None:
        """Write ``final/``."""
        self._write_all(self._folder.final, step, scores, encoder=self._writer.encoder_hash())

    def mean(self, scores: Mapping[str, float]) -> float:
        """Mean of the tasks' scores, those where less is better taken with a minus sign."""
        signed = [score if self._metrics[task][1] else -score for task, score in scores.items()]
        return sum(signed) / len(signed)

    def best(self, task: str) -> tuple[float, int] | None:
        """Best score of a task so far and its step."""
        entry = self._tasks.get(task)
        return None if entry is None else (entry["score"], entry["step"])

    def state_dict(self) -> dict[str, Any]:
        """What is the best so far."""
        return {"mean": self._mean, "tasks": self._tasks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back.

        Raises:
            CheckpointError: If the state's keys are not the expected ones.
        """
        if state.keys() != {"mean", "tasks"}:
            raise CheckpointError(f"unknown state of the best scores: {sorted(state)}")
        self._mean, self._tasks = state["mean"], dict(state["tasks"])

    def _improves(self, task: str, score: float) -> bool:
        if task not in self._tasks:
            return True
        best = float(self._tasks[task]["score"])
        return beats(score, best, greater_is_better=self._metrics[task][1])

    def _write_tasks(
        self, tasks: Sequence[str], step: int, scores: Mapping[str, float], *, encoder: str
    ) -> None:
        """Encoder first, then tasks, then prune: a reader always finds what a task names."""
        encoders, folder = self._folder.best / "encoders", self._folder.best / "tasks"
        encoders.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        if not (encoders / encoder).is_dir():
            with write_folder(encoders / encoder) as writing:
                self._writer.write_encoder(writing, encoder)
        for task in tasks:
            record = self._record(task, step, scores, encoder)
            with write_folder(folder / task) as writing:
                self._writer.write_task(writing, task, record)
                self._writer.write_card(writing, f"best/tasks/{task}", {task: record})
        self._prune(encoders, folder)

    def _prune(self, encoders: Path, tasks: Path) -> None:
        """Remove the encoders that neither this run's state nor a task on disk names.

        What lies on disk may be ahead of a resumed run; it stays whole until it is overtaken.
        """
        named = {entry["encoder"] for entry in self._tasks.values()}
        named |= {_encoder_of(path) for path in tasks.iterdir()}
        for path in encoders.iterdir():
            if path.name.startswith("."):
                remove_folder(path)
            elif path.name not in named:
                discard_folder(path)

    def _write_all(
        self, target: Path, step: int, scores: Mapping[str, float], *, encoder: str
    ) -> None:
        with write_folder(target) as writing:
            (writing / "encoder").mkdir()
            same = existing_folder(self._folder.best / "encoders" / encoder)
            if same is None:
                self._writer.write_encoder(writing / "encoder", encoder)
            else:
                link_files(same, writing / "encoder")
            records = {task: self._record(task, step, scores, encoder) for task in self._metrics}
            for task, record in records.items():
                (writing / task).mkdir()
                self._writer.write_task(writing / task, task, record)
            place = target.relative_to(self._folder.path).as_posix()
            self._writer.write_card(writing, place, records)

    def _record(
        self, task: str, step: int, scores: Mapping[str, float], encoder: str
    ) -> dict[str, Any]:
        score = scores.get(task)
        return {
            "step": step,
            "metric": self._metrics[task][0],
            "score": None if score is None or math.isnan(score) else score,
            "encoder_hash": encoder,
        }


def build_keeper(
    folder: RunFolder | None,
    writer: StateWriter | None,
    tasks: Sequence[TrainingTask],
    *,
    select: Literal["mean", "sum"],
) -> Keeper | None:
    """A keeper of these tasks' states; None where there is nowhere to write, or nobody who does."""
    if folder is None or writer is None:
        return None
    metrics = {task.id: (task.metric, task.greater_is_better) for task in tasks}
    return Keeper(folder, writer, metrics=metrics, select=select)


def _encoder_of(task: Path) -> str | None:
    """Hash of the encoder that a task's folder names; None if it cannot be read."""
    try:
        return read_task_record(task).encoder_hash
    except CheckpointError:
        return None


def link_files(source: Path, target: Path) -> None:
    """Hard links of a folder's files in another folder; copies where links are not possible."""
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:
            shutil.copy2(path, target / path.name)
