"""Where the parameters lie that an optimizer steps: on the device, or as copies on the host.

The copies are this module's own, since no library offers them for any optimizer. torchao's
``CPUOffloadOptimizer`` (0.18) makes one optimizer for each parameter and steps it as its gradient
comes in, so that gradients can be neither clipped together nor tested before the first parameter
has moved, which the retry of an overflowed fp16 step needs; it also keeps its state by place
rather than by name, and asks for CUDA or XPU, so that no test without a GPU reaches it.
DeepSpeed's ``DeepSpeedCPUAdam`` is an optimizer, not a way to offload one: it is compiled on the
machine of the user, is Adam alone, and lives in ZeRO's engine. PyTorch's own one-pass Adam on the
CPU, which the built-in optimizers use, is vectorised like it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.errors import TrainingError

LOG = logging.getLogger("bertmod")
Offload = Literal["cpu"]

BLOCK = 2**23
"""Gradient entries that are copied together: 32 MiB, enough to use a bus to the full."""


class Masters(Protocol):
    """The parameters that an optimizer steps, and their way from and to the model's own.

    Attributes:
        groups: What the optimizer, clipping and the idle rule work on.
    """

    groups: tuple[ParameterGroup, ...]

    def clear(self) -> None:
        """Drop every gradient."""
        ...

    def backward(self, *, last: bool) -> AbstractContextManager[object]:
        """Around the backward pass of a micro-batch.

        Args:
            last: Whether it is the step's last one: after it, ``groups`` have the gradients.
        """
        ...

    def publish(self) -> None:
        """After the optimizer's step: the model gets the new values."""
        ...

    def reload(self) -> None:
        """After the model was loaded: its values are taken over."""
        ...

    def report(self, optimizer: Optimizer) -> str | None:
        """What it spared the device so far, a line; None if there is nothing to tell."""
        ...


def build_masters(
    groups: Sequence[ParameterGroup], *, offload: Offload | None, device: torch.device
) -> Masters:
    """The parameters that the optimizer is to step.

    Args:
        groups: Groups of the model's own parameters, on ``device``.
        offload: ``cpu`` for copies in host memory, unless the model is there itself; None for
            the parameters themselves.
        device: Where the model is.
    """
    if settled_offload(offload, device) is not None:
        return HostCopies(groups, device)
    if offload is not None:
        LOG.warning('offload "cpu" changes nothing here: the model is in host memory already')
    return OwnParameters(groups)


def settled_offload(offload: Offload | None, device: torch.device) -> Offload | None:
    """What comes of ``offload`` on a device: nothing on a CPU, which would copy in vain."""
    return None if device.type == "cpu" else offload


class OwnParameters:
    """The model's own parameters.

    Args:
        groups: Their groups.
    """

    def __init__(self, groups: Sequence[ParameterGroup]) -> None:
        self.groups = tuple(groups)

    def clear(self) -> None:
        """Drop every gradient."""
        for group in self.groups:
            for _, parameter in group.parameters:
                parameter.grad = None

    def backward(self, *, last: bool) -> AbstractContextManager[object]:
        """Nothing: gradients are where they belong."""
        del last
        return nullcontext()

    def publish(self) -> None:
        """Nothing: the model has the new values."""

    def reload(self) -> None:
        """Nothing: the values are the model's."""

    def report(self, optimizer: Optimizer) -> None:
        """Nothing was spared."""
        del optimizer


class HostCopies:
    """fp32 copies of the parameters in host memory, where gradients go and weights come from.

    In the last backward pass of a step gradients leave the device as they become final, several
    small ones together, and their memory there is free again; on a GPU the copies run beside the
    backward pass, in a stream of their own from and to page-locked memory. The new weights follow
    in that stream, and only what reads them waits.

    Args:
        groups: Groups of the model's own parameters, fp32, on ``device``.
        device: Where the model is; on a CPU all of this happens within one memory, for tests.
    """

    def __init__(self, groups: Sequence[ParameterGroup], device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._names = {own: name for group in groups for name, own in group.parameters}
        self._copies = {own: self._copy(own) for own in self._names}
        self.groups = tuple(
            replace(
                group,
                parameters=tuple((name, self._copies[own]) for name, own in group.parameters),
            )
            for group in groups
        )
        entries = sum(own.numel() for own in self._copies)
        self._gradients = torch.empty(entries, pin_memory=self._stream is not None)
        self._filled = 0
        self._queue: list[Parameter] = []
        self._gone: set[Parameter] = set()
        self.reload()

    def clear(self) -> None:
        """Drop every gradient, on both sides."""
        for own, copy in self._copies.items():
            own.grad = copy.grad = None
        self._queue, self._gone, self._filled = [], set(), 0

    @contextmanager
    def backward(self, *, last: bool) -> Iterator[None]:
        """Around a backward pass; the last one sends every gradient of the step."""
        with ExitStack() as hooks:  # a model outlives its trainer, which these would keep alive
            for own in self._copies if last else ():
                hook = own.register_post_accumulate_grad_hook(self._enqueue)  # type: ignore[no-untyped-call]
                hooks.callback(hook.remove)
            yield
        if last:
            self._send_rest()

    @torch.no_grad()
    def publish(self) -> None:
        """Send the weights that had a gradient back to the model."""
        with self._beside():
            for own, copy in self._copies.items():
                if copy.grad is not None:
                    own.copy_(copy, non_blocking=True)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

    @torch.no_grad()
    def reload(self) -> None:
        """Take the model's values over; they are here when this returns."""
        for own, copy in self._copies.items():
            copy.copy_(own)

    def report(self, optimizer: Optimizer) -> str | None:
        """Optimizer state outside a GPU, as it is, and that GPU's peak, as it was measured."""
        if self._stream is None:
            return None
        state = sum(
            value.nbytes
            for values in optimizer.state.values()
            for value in values.values()
            if isinstance(value, Tensor) and value.device.type == "cpu"
        )
        peak = torch.cuda.max_memory_allocated(self._device)
        return (
            f"offload: {state / 2**20:,.0f} MiB of optimizer state are in host memory instead of "
            f"on {self._device}, whose peak was {peak / 2**20:,.0f} MiB"
        )

    def _copy(self, own: Parameter) -> Parameter:
        pinned = self._stream is not None
        value = torch.empty_like(own, device="cpu", dtype=torch.float32, pin_memory=pinned)
        return Parameter(value.detach())

    def _enqueue(self, own: Parameter) -> None:
        """Called by autograd when a parameter has a gradient of the last micro-batch."""
        if own in self._gone:
            return
        self._gone.add(own)
        if sum(waiting.numel() for waiting in self._queue) + own.numel() > BLOCK:
            self._send()
        self._queue.append(own)

    @torch.no_grad()
    def _send_rest(self) -> None:
        """Send what autograd did not report: gradients of earlier micro-batches alone.

        A backward pass within the backward pass, as of torch's reentrant checkpoints, reaches
        parameters again whose gradients are gone: what it adds is added on the host.
        """
        for own in self._copies:
            if own.grad is not None:
                self._enqueue(own)
        self._send()
        if self._stream is not None:
            self._stream.synchronize()
        for own, copy in self._copies.items():
            if own.grad is not None:
                assert copy.grad is not None
                copy.grad += own.grad.cpu()
                own.grad = None

    @torch.no_grad()
    def _send(self) -> None:
        """Copy the gradients in the queue to the host as one block, and free them here."""
        queue, self._queue = self._queue, []
        if not queue:
            return
        with self._beside():
            parts = [self._flat_gradient(own) for own in queue]
            block = parts[0] if len(parts) == 1 else torch.cat(parts)
            place = self._gradients[self._filled : self._filled + block.numel()]
            place.copy_(block, non_blocking=True)
        self._filled += block.numel()
        for own, part in zip(
            queue, torch.split(place, [own.numel() for own in queue]), strict=True
        ):
            self._copies[own].grad = part.view(own.shape)
            own.grad = None

    def _flat_gradient(self, own: Parameter) -> Tensor:
        gradient = own.grad
        assert gradient is not None
        if gradient.layout != torch.strided:
            raise TrainingError(
                f"offload cannot copy the sparse gradient of {self._names[own]}: build its "
                "embedding with sparse=False"
            )
        if self._stream is not None:
            gradient.record_stream(self._stream)  # its memory is in use until the copy is done
        return gradient.reshape(-1)

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """What follows runs in the stream of the copies, after what was asked of the device."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield
