"""Who computes a micro-batch: a process on one device, or on all GPUs that it sees.

For the latter torch's ``DataParallel`` does not serve: it cuts every tensor along its first axis,
while the rows of a packed batch lie one behind another in one, and counts of targets belong to
the whole batch. Its scheme is kept. The parameters lie on the first device; every micro-batch has
copies of them on the others, the rows are dealt as to so many processes, and their losses are
added at home, so that one backward pass brings all gradients there. The devices are asked to
compute one after another and do it at the same time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import Module

from bertmod.engine.parallel import Ranks
from bertmod.engine.precision import resolve_device
from bertmod.engine.settings import Parallel
from bertmod.errors import Problem, RecipeError
from bertmod.model.multitask import MultiTaskModel


class Share(NamedTuple):
    """What computes a part of a micro-batch's rows.

    Attributes:
        ranks: Which part.
        model: The model, or a copy with the same values.
        device: Where it is.
    """

    ranks: Ranks
    model: MultiTaskModel
    device: torch.device


def gpus() -> list[torch.device]:
    """All GPUs that this process sees."""
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]


def home_device(device: str, parallel: str) -> torch.device:
    """Where a process has its model.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; for ``data_parallel`` one of the GPUs
            would be too few.
        parallel: ``data_parallel`` for the first of several GPUs.

    Raises:
        RecipeError: If this machine lacks the device, or the GPUs.
        ValueError: If a device is named that is not all of the GPUs.
    """
    if parallel != "data_parallel":
        return resolve_device(device)
    if device not in ("auto", "cuda"):
        raise ValueError(f'"data_parallel" takes all GPUs, and the device is "{device}"')
    found = gpus()
    if len(found) < 2:
        what = (
            f'"data_parallel" is for two GPUs or more, and this machine has {len(found) or "none"}'
        )
        more = ('use "auto" or "single"',)
        raise RecipeError("this machine", [Problem("training.parallel", what, more)])
    return found[0]


class Shares:
    """Puts a model where the rows of a micro-batch are computed.

    Args:
        model: The model.
        device: Where it is.
        parallel: ``data_parallel`` spreads it over all GPUs; any other: this process computes
            its rows on ``device``.
        ranks: The processes that make the run together.
    """

    def __init__(
        self, model: MultiTaskModel, device: torch.device, *, parallel: Parallel, ranks: Ranks
    ) -> None:
        self._model, self._devices, self._shares = model, [device], [Share(ranks, model, device)]
        if parallel == "data_parallel":
            self._devices = gpus()
            self._shares = [
                Share(Ranks(number, len(self._devices)), _twin(model), each)
                for number, each in enumerate(self._devices)
            ]

    @contextmanager
    def spread(self, task: str) -> Iterator[Sequence[Share]]:
        """The model on every device while the block, with its backward pass, lasts.

        Args:
            task: Task whose adapters and head are needed.
        """
        if len(self._devices) == 1:
            yield self._shares
            return
        home = list(_modules(self._model, task))
        own = {value: None for module in home for value in module._parameters.values()}
        copies = {value: _copied(value, self._devices) for value in own if value is not None}
        twins = [list(_modules(share.model, task)) for share in self._shares]
        for number, device in enumerate(self._devices):
            for module, twin in zip(home, twins[number], strict=True):
                twin.training = module.training
                for name, value in module._parameters.items():
                    lent = None if value is None else copies[value][number]
                    twin._parameters[name] = lent  # type: ignore[assignment]
                for name, buffer in module._buffers.items():
                    twin._buffers[name] = None if buffer is None else buffer.to(device)
        try:
            yield self._shares
        finally:
            for each in twins:
                for module, twin in zip(home, each, strict=True):
                    twin._parameters.update(module._parameters)


def _twin(model: MultiTaskModel) -> MultiTaskModel:
    """A model of the same parameters: what is called is another module, what it holds the same.

    Modules are found where they lie, so that a task may be called like a method of a module, which
    ``torch.func.functional_call`` does not take; and what is computed again in a backward pass
    finds the parameters that its forward had.
    """
    return copy.deepcopy(model, {id(own): own for own in model.parameters()})


def _modules(model: MultiTaskModel, task: str) -> Iterator[Module]:
    """The modules that a batch of a task may go through, in the same order in every twin."""
    yield model
    parts = (model.encoder, *model.task_adapters(task).values(), model.head(task))
    for part in parts:
        yield from cast(Module, part).modules()


def _copied(own: Tensor, devices: Sequence[torch.device]) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = _Copies.apply(own, devices)  # type: ignore[no-untyped-call]
    return found


class _Copies(torch.autograd.Function):
    """A tensor on several devices, the first of which is its own.

    The gradients are added in the order of the devices, not as they come, so that they repeat to
    the last bit.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, devices: Sequence[torch.device]) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.home = own.device
        copies = (own.to(device, copy=True) for device in devices[1:])
        return own.view_as(own), *copies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        there = [gradient.to(ctx.home) for gradient in gradients if gradient is not None]
        return (sum(there[1:], there[0]) if there else None), None
