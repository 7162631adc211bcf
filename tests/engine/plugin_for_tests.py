"""A stranger's plugin: a sampler with a state, and an optimizer that does nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bertmod import EmptyConfig, OptimizerSpec, SamplerSpec, hookimpl

BERTMOD_CONTRACT = 1


class Listener:
    """Draws the tasks by weights that every evaluation changes."""

    def __init__(self, tasks: tuple[str, ...]) -> None:
        self.tasks, self.weights = tasks, [1.0] * len(tasks)

    def probabilities(self, step, epoch, num_epochs, running):
        return np.array(self.weights) / sum(self.weights)

    def observe(self, step: int, scores: Mapping[str, float]) -> None:
        self.weights = [
            weight * 0.5 + 1.0 + abs(scores[task])
            for task, weight in zip(self.tasks, self.weights, strict=True)
        ]

    def state_dict(self) -> Mapping[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weights = list(state["weights"])


def build_still(config, groups):
    from torch.optim import SGD

    class Still(SGD):
        def step(self, closure=None):
            return None

    return Still([{"params": [p for _, p in group.parameters]} for group in groups], lr=0.0)


@hookimpl
def bertmod_samplers() -> Iterator[SamplerSpec]:
    yield SamplerSpec(
        name="listener",
        config=EmptyConfig,
        build=lambda _, context: Listener(context.tasks),
        summary="Tasks by weights that evaluations change.",
    )


@hookimpl
def bertmod_optimizers() -> Iterator[OptimizerSpec]:
    yield OptimizerSpec(
        name="still", config=EmptyConfig, build=build_still, summary="Moves nothing."
    )
