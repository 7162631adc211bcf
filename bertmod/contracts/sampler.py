"""What a sampler is: how probable each task is at a step."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bertmod.contracts.state import Stateful

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ScoreInfo:
    """What a task's dev score means.

    Attributes:
        metric: The metric that decides what is best, ``split/metric``.
        greater_is_better: Whether a higher score is better.
        baseline: Score of the answer that ignores the text (the majority class, the mean), which
            may not be finite; None if the task does not know it.
    """

    metric: str
    greater_is_better: bool = True
    baseline: float | None = None


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler's builder gets beside its options.

    Attributes:
        tasks: Ids of the tasks that train, in the recipe's order.
        sizes: Training features per task, (tasks,), float64, positive; measured, or the
            recipe's ``sizes``.
        scored: What the scores that ``observe`` hears mean, by task; tasks without a dev score
            are absent.
    """

    tasks: tuple[str, ...]
    sizes: np.ndarray
    scored: Mapping[str, ScoreInfo] = field(default_factory=dict)

    @classmethod
    def of(cls, features: Mapping[str, Sized]) -> SamplerContext:
        """Tasks and sizes of training features by task."""
        import numpy as np

        sizes = [float(len(table)) for table in features.values()]
        return cls(tuple(features), np.array(sizes))


class Sampler(Stateful, Protocol):
    """Probabilities of the tasks; the engine draws from them with (seed, step)."""

    def probabilities(
        self, step: int, epoch: int, num_epochs: int, running: frozenset[str]
    ) -> np.ndarray:
        """Probability of each task at a step.

        Args:
            step: Optimizer steps finished so far, from 0.
            epoch: Epochs finished so far, in [0, num_epochs).
            num_epochs: Length of the run in epochs.
            running: Tasks that still train; the others get probability 0.

        Returns:
            (tasks,), float64, sums to 1.

        Raises:
            TrainingError: If it would never draw any of ``running``; a run whose other tasks have
                stopped ends there, well.
        """
        ...

    def observe(self, step: int, scores: Mapping[str, float]) -> None:
        """Hear the dev scores of an evaluation; may change the sampler's state.

        Args:
            step: Optimizer steps finished so far.
            scores: Score of each task's main metric, by task, as ``SamplerContext.scored``
                explains it; not finite where it is not defined. Some tasks may be absent.
        """
        ...
