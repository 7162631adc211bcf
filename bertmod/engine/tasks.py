"""A task as the trainer sees it, and the scores of all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertmod.contracts.sampler import ScoreInfo
from bertmod.data.training_rows import Phase, TrainingRows
from bertmod.engine.evaluate import DevSplit, EvaluationSettings, decode
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.model.multitask import MultiTaskModel


@dataclass(frozen=True)
class TrainingTask:
    """A task as the trainer sees it.

    Attributes:
        id: Id of the task; the model has a head of that name.
        train: Its training features; those of the first phase where there are several.
        dev: Splits to score, by name.
        metric: ``split/metric`` that decides what is best; empty if it is never scored.
        greater_is_better: Whether a higher score of that metric is better.
        loss_weight: Factor of its losses, positive.
        batch_size: Features per step if not the run's.
        patience: Evaluations without a better score of that metric after which it trains no more,
            positive; None: it trains to the end.
        later: What it trains on after ``train``, whose share is what these leave of the run.
    """

    id: str
    train: TrainingRows
    dev: Mapping[str, DevSplit] = field(default_factory=dict)
    metric: str = ""
    greater_is_better: bool = True
    loss_weight: float = 1.0
    batch_size: int | None = None
    patience: int | None = None
    later: Sequence[Phase] = ()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What it trains on, one phase after another."""
        share = 1.0 - sum(phase.share for phase in self.later)
        return (Phase(self.train, share), *self.later)

    @property
    def main_split(self) -> str:
        """Name of the split that the metric is of."""
        return self.metric.partition("/")[0]

    @property
    def baseline(self) -> float | None:
        """The metric of an answer that ignores the text; None if unknown."""
        split, _, metric = self.metric.partition("/")
        return self.dev[split].baseline.get(metric) if split in self.dev else None

    @property
    def score_info(self) -> ScoreInfo | None:
        """What its main score means; None if it is never scored."""
        if self.main_split not in self.dev:
            return None
        return ScoreInfo(self.metric, self.greater_is_better, self.baseline)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation of every dev split gave.

    Attributes:
        scores: Every metric, by ``task/split/metric``.
        answers: (task, split) to what was scored: of a ``TaskSplit`` a prediction per example.
    """

    scores: Mapping[str, float]
    answers: Mapping[tuple[str, str], Sequence[Any]]


def evaluate_tasks(
    model: MultiTaskModel,
    tasks: Sequence[TrainingTask],
    settings: EvaluationSettings,
    *,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Answers and scores of every dev split of every task.

    A task's head is calibrated first, on the split of the task's metric.

    Args:
        model: The model.
        tasks: All tasks.
        settings: Batch size, precision and layout.
        ranks: The processes that share the batches. The main one scores, every one gets the scores
            and the calibrations; the answers are the main one's alone.
    """
    scores: dict[str, float] = {}
    answers: dict[tuple[str, str], Sequence[Any]] = {}
    for task in tasks:
        head = model.head(task.id)
        for name in sorted(task.dev, key=lambda split: split != task.main_split):
            split = task.dev[name]
            decoded = decode(model, task.id, split.features, settings=settings, ranks=ranks)
            if not ranks.is_main:
                continue
            if name == task.main_split:
                head.info = split.calibrate(decoded, head.info)
            answers[task.id, name] = split.answers(decoded, head.info)
            for metric, score in split.score(answers[task.id, name]).items():
                scores[f"{task.id}/{name}/{metric}"] = float(score)
    infos = {task.id: model.head(task.id).info for task in tasks}
    scores, infos = ranks.from_main((scores, infos))
    for name, info in infos.items():
        model.head(name).info = info
    return Evaluation(scores, answers)


def main_scores(tasks: Sequence[TrainingTask], scores: Mapping[str, float]) -> dict[str, float]:
    """Of all scores, each task's metric, by task."""
    return {
        task.id: scores[f"{task.id}/{task.metric}"]
        for task in tasks
        if f"{task.id}/{task.metric}" in scores
    }
