"""An exponential moving average of what trains, for evaluation and the states that are kept.

torch's ``swa_utils.AveragedModel`` is not used. It copies the whole model, frozen parameters
included, where this engine averages what the optimizer steps; it would average on the device what
offloading keeps in host memory; a copy of a sharded or wrapped model is no model of its own; and
its decay is the same from the first step on, so that a short run's average is the untrained start.
What both have in common is the one fused call of an update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Module

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.errors import CheckpointError


class WeightAverage:
    """The average of the parameters that an optimizer steps, over the steps of a run.

    Every step counts for every parameter, also for those that it did not move: what is averaged
    is the run's course in time, so that an encoder and the heads on it are of the same moments.

    Args:
        groups: What the optimizer steps, fp32; the averages lie beside it, in host memory where
            the optimizer is offloaded.
        decay: Share of the old average in the new one, in (0, 1); None: nothing is averaged.

    Source: TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``: the decay of step n,
        from 1, is at most (1 + n) / (10 + n).
    """

    def __init__(self, groups: Sequence[ParameterGroup], decay: float | None) -> None:
        self._decay = decay
        used = () if decay is None else groups
        self._sources = {name: each for group in used for name, each in group.parameters}
        self.values = {name: each.detach().clone() for name, each in self._sources.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters as they are after a step.

        Args:
            step: Optimizer steps finished, from 1.
        """
        if self._decay is None or not self.values:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        sources = [each.detach() for each in self._sources.values()]
        torch._foreach_lerp_(list(self.values.values()), sources, 1 - decay)

    @contextmanager
    def applied(self, model: Module) -> Iterator[None]:
        """Within the block the model has the averages; after it, its own values bit for bit.

        Args:
            model: The model whose parameters are stepped.
        """
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the averages of a checkpoint.

        Args:
            tensors: Averages by parameter name; none where nothing is averaged.

        Raises:
            CheckpointError: If they are not of the parameters that are averaged here.
        """
        if unlike := tensors.keys() ^ self.values.keys():
            raise CheckpointError(
                f"the checkpoint's weight averages are of other parameters: {sorted(unlike)[:5]}"
            )
        for name, value in self.values.items():
            value.copy_(tensors[name])

    @torch.no_grad()
    def _swap(self, model: Module) -> None:
        """Exchange parameters and averages one by one: only the largest is ever there twice."""
        own = dict(model.named_parameters()) if self.values else {}
        for name, value in self.values.items():
            kept = own[name].clone()
            own[name].copy_(value)
            value.copy_(kept)
