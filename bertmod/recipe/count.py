"""Parameter counts of a resolved recipe, from the specs alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bertmod.recipe.resolved import ResolvedRecipe


@dataclass(frozen=True)
class ParameterCounts:
    """How many parameters a recipe's model has.

    Attributes:
        encoder: Of the encoder.
        adapters: Task id to those of all its adapters.
        heads: Task id to those of its head; tasks whose labels only the data tells are absent.
    """

    encoder: int
    adapters: Mapping[str, int]
    heads: Mapping[str, int]

    @property
    def multiple(self) -> float:
        """Encoder and all adapters as a multiple of the encoder alone."""
        return (self.encoder + sum(self.adapters.values())) / self.encoder


def parameter_counts(recipe: ResolvedRecipe) -> ParameterCounts:
    """Count a recipe's parameters without building anything."""
    names = recipe.encoder.spec.names(recipe.encoder.config)
    own = [name.shape for name in names if name.tied is None]
    encoder = sum(math.prod(n or 0 for n in shape) for shape in own)
    adapters = {task.id: 0 for task in recipe.training_tasks}
    for adapter in recipe.adapters:
        count = adapter.spec.num_parameters(adapter.config, recipe.shape, adapter.layers)
        for name in adapter.tasks:
            adapters[name] += count
    heads = {}
    for task in recipe.training_tasks:
        labels = task.spec.num_labels(task.config)
        if task.head is not None and labels is not None:
            heads[task.id] = task.head.spec.num_parameters(task.head.config, recipe.shape, labels)
    return ParameterCounts(encoder, adapters, heads)
