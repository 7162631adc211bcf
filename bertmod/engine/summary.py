"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch.nn import Module

from bertmod.engine.counters import Counters
from bertmod.engine.tasks import TrainingTask
from bertmod.wording import table


@dataclass(frozen=True)
class TaskResult:
    """How one task ended.

    Attributes:
        task: Id of the task.
        metric: ``split/metric``.
        final: Score at the last step.
        best: Best score of the run.
        best_step: Step of the best score.
        baseline: Score of an answer that ignores the text; None if unknown.
        features: Training features.
        updates: Optimizer steps on this task.
        parameters: Parameters that belong to this task alone.
        retries: How often one of its steps was made again at half of the loss scale.
        stopped: Step after which it was stopped early; None if it was not.
    """

    task: str
    metric: str
    final: float | None
    best: float | None
    best_step: int | None
    baseline: float | None
    features: int
    updates: int
    parameters: int
    retries: int = 0
    stopped: int | None = None


def task_result(
    task: TrainingTask,
    counters: Counters,
    *,
    model: Module,
    retries: Mapping[str, int],
    stopped: Mapping[str, int],
) -> TaskResult:
    """How a task stands.

    Args:
        task: The task.
        counters: Scores and counts of the run.
        model: The model.
        retries: Task id to how often one of its steps was made again.
        stopped: Task id to the step after which it was stopped early.
    """
    best = counters.best.get(task.id)
    own = (f"adapters.{task.id}.", f"heads.{task.id}.")
    return TaskResult(
        task=task.id,
        metric=task.metric,
        final=counters.scores.get(f"{task.id}/{task.metric}"),
        best=None if best is None else best[0],
        best_step=None if best is None else best[1],
        baseline=task.baseline,
        features=len(task.train),
        updates=counters.batches[task.id],
        parameters=sum(p.numel() for name, p in model.named_parameters() if name.startswith(own)),
        retries=retries.get(task.id, 0),
        stopped=stopped.get(task.id),
    )


HEADINGS = (
    "task",
    "metric",
    "last",
    "best",
    "at step",
    "baseline",
    "rows",
    "updates",
    "own param.",
)


def render_results(results: Sequence[TaskResult], *, title: str = "") -> str:
    """A text table of all tasks and their mean; who stopped early, and who overflowed in fp16.

    Args:
        results: One entry per task.
        title: Lines above the table.
    """
    rows = [HEADINGS, *(_cells(result) for result in results)]
    if len(results) > 1:
        rows.append(_mean(results))
    lines = table(rows, right=range(2, len(HEADINGS)))
    lines.insert(1, "-" * max(len(line) for line in lines))
    lines += _stopped(results)
    lines += _retries(results)
    return "\n".join([title, *lines] if title else lines)


def _stopped(results: Sequence[TaskResult]) -> list[str]:
    steps = ", ".join(f"{r.task} after step {r.stopped:,}" for r in results if r.stopped)
    return [f"stopped early: {steps}"] if steps else []


def _retries(results: Sequence[TaskResult]) -> list[str]:
    counts = ", ".join(f"{each.task} {each.retries:,}" for each in results if each.retries)
    return [f"made again at half of the loss scale: {counts}"] if counts else []


def _cells(result: TaskResult) -> tuple[str, ...]:
    return (
        result.task,
        result.metric,
        _score(result.final),
        _score(result.best),
        "" if result.best_step is None else f"{result.best_step:,}",
        _score(result.baseline),
        f"{result.features:,}",
        f"{result.updates:,}",
        f"{result.parameters:,}",
    )


def _mean(results: Sequence[TaskResult]) -> tuple[str, ...]:
    finals = [result.final for result in results if result.final is not None]
    bests = [result.best for result in results if result.best is not None]
    last = _score(sum(finals) / len(finals)) if finals else ""
    best = _score(sum(bests) / len(bests)) if bests else ""
    return (f"plain mean of {len(results)}", "", last, best, "", "", "", "", "")


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
