"""Everything that a checkpoint holds, out of the objects that have it and back into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from bertmod.contracts.state import Stateful
from bertmod.engine.checkpoint import Snapshot, optimizer_state, restore_model, restore_optimizer
from bertmod.engine.ema import WeightAverage
from bertmod.engine.offload import Masters
from bertmod.errors import CheckpointError
from bertmod.model.multitask import MultiTaskModel

_OPTIMIZER = "optimizer"
_MAY_DIFFER = {"time", "best"}
"""A limit of time may be set, changed or lifted on the way; only the main process keeps bests."""


class RunState:
    """The state of a run: the model, its optimizer, and the parts beside them.

    Args:
        model: The model that trains.
        masters: The parameters that the optimizer steps.
        optimizer: The optimizer over them.
        average: Averages of them.
        parts: Everything else with a state, by the name that it has in checkpoints.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        masters: Masters,
        optimizer: Optimizer,
        *,
        average: WeightAverage,
        parts: Mapping[str, Stateful],
    ) -> None:
        self._model, self._masters, self._optimizer = model, masters, optimizer
        self._average, self._parts = average, parts

    def snapshot(self, step: int) -> Snapshot:
        """The state as it is; its tensors are the run's own.

        Args:
            step: Optimizer steps finished.
        """
        tensors, values = optimizer_state(self._optimizer, self._names())
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        state[_OPTIMIZER] = values
        return Snapshot(step, self._model.state_dict(), tensors, state, self._average.values)

    def restore(self, snapshot: Snapshot) -> None:
        """Take a state back.

        Raises:
            CheckpointError: If it is of another model, or of a run with other parts.
        """
        state = dict(snapshot.state)
        values = state.pop(_OPTIMIZER)
        if unlike := (state.keys() ^ self._parts.keys()) - _MAY_DIFFER:
            raise CheckpointError(f"unknown checkpoint state: {sorted(unlike)}")
        restore_model(self._model, snapshot.model)
        self._masters.reload()
        self._average.load(snapshot.average)
        restore_optimizer(self._optimizer, {**snapshot.optimizer, **values}, self._names())
        for name in self._parts.keys() & state.keys():
            self._parts[name].load_state_dict(state[name])

    def _names(self) -> dict[int, str]:
        """Names of the parameters that the optimizer steps, by their identity."""
        groups = self._masters.groups
        return {id(master): name for group in groups for name, master in group.parameters}
