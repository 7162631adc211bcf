"""Everything that a checkpoint holds, out of the objects that have it and back into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from bertmod.contracts.state import Stateful
from bertmod.engine.checkpoint import Snapshot
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


def optimizer_state(
    optimizer: Optimizer, names: Mapping[int, str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Optimizer state by parameter name.

    Args:
        optimizer: Any optimizer that keeps its state in ``.state[parameter]``.
        names: ``id(parameter)`` to name.

    Returns:
        Tensors and plain values, both as ``parameter name/key``.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            target = tensors if isinstance(value, Tensor) else values
            target[f"{names[id(parameter)]}/{key}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: Optimizer, state: Mapping[str, Any], names: Mapping[int, str]
) -> None:
    """Put optimizer state back by parameter name.

    Args:
        optimizer: A fresh optimizer over the same parameters.
        state: Tensors and plain values, ``parameter name/key``.
        names: ``id(parameter)`` to name.

    Raises:
        CheckpointError: If it belongs to parameters that the optimizer does not have.
    """
    own = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    index = {name: place for place, name in enumerate(own)}
    entries: dict[int, dict[str, Any]] = {}
    for full_name, value in state.items():
        name, _, key = full_name.rpartition("/")
        if name not in index:
            raise CheckpointError(f"the checkpoint has optimizer state for {name}, unknown here")
        entries.setdefault(index[name], {})[key] = value
    # the optimizer's own loading knows which of its values belong on the parameter's device
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    _keep_dtypes(optimizer, {own[place]: entry for place, entry in entries.items()}, names)


def _keep_dtypes(
    optimizer: Optimizer, entries: Mapping[str, Mapping[str, Any]], names: Mapping[int, str]
) -> None:
    """Undo torch's cast of loaded state to the parameter's dtype: sums may be finer, counts int."""
    for parameter, state in optimizer.state.items():
        saved = entries.get(names[id(parameter)], {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.dtype != saved[key].dtype:
                state[key] = saved[key].to(value.device)


def restore_model(model: Module, tensors: Mapping[str, Tensor]) -> None:
    """Put every parameter and buffer back.

    Raises:
        CheckpointError: If names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint is of another model: {error}") from error
