"""Gradients summed over the processes of a run while the backward pass still goes on.

``DistributedDataParallel`` is not used: it must either look for idle parameters in the graph of
every step, or be told once and for all which they are, while here they change with the step's
task and are declared. A wrapper for each task would hold buckets as large as the model for each
one, and would hang over an active parameter that a loss does not reach. So the gradients of the
parameters that are declared active are sent from here, and nothing else is: in buckets that are
the same in every process, fixed for each task, and sent strictly in their order as the last
backward pass of a step fills them. Losses are divided by the counts of the whole batch
beforehand, so nothing is averaged. Every process ends with the same sums, bit for bit: what is
decided from them (whether a step is finite, by how much it is clipped) needs no further message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.engine.parallel import Ranks
from bertmod.model.multitask import MultiTaskModel

BUCKET = 2**22
"""Gradient entries that are sent together: 16 MiB, enough to use a network to the full, and little
enough that the first ones are on their way early."""

_SENT = ("heads", "encoder", "adapters")
"""Components in the order in which they are sent. Adapters are small, and those that all layers
share are final as late as the embeddings: before the encoder they would hold it up."""

Bucket = tuple[Parameter, ...]


class GradientSums:
    """Replaces the gradients of a step by their sums over all processes.

    Args:
        model: The model, which declares what is active; all processes have the same.
        groups: The parameters that the optimizer steps. Copies of the model's, which autograd
            does not reach, are summed after the backward pass: their gradients are still on
            their way to the host while it goes on.
        ranks: The processes.
    """

    def __init__(
        self, model: MultiTaskModel, groups: Sequence[ParameterGroup], ranks: Ranks
    ) -> None:
        self._model, self._ranks = model, ranks
        self._parameters = {name: own for group in groups for name, own in group.parameters}
        self._buckets: dict[str, list[Bucket]] = {}

    @contextmanager
    def backward(self, task: str, *, last: bool) -> Iterator[None]:
        """Around the backward pass of a micro-batch.

        Args:
            task: Task of the step.
            last: Whether it is the step's last one: after it, every active parameter has the sum
                of its gradients in all processes, zeros where no process has one.

        Raises:
            LostProcessError: If another process is not there any more.
        """
        if not last or self._ranks.size == 1:
            yield
            return
        sending = _Sending(self._buckets_of(task), self._ranks)
        with ExitStack() as hooks:  # a model outlives its trainer, which these would keep alive
            for own in sending.parameters:
                hook = own.register_post_accumulate_grad_hook(sending.arrived)  # type: ignore[no-untyped-call]
                hooks.callback(hook.remove)
            yield
        sending.finish()

    def _buckets_of(self, task: str) -> list[Bucket]:
        if task not in self._buckets:
            active = self._model.active(task)
            names = [name for name, _ in self._model.named_parameters() if name in active]
            found = [self._parameters[n] for n in sending_order(names) if n in self._parameters]
            self._buckets[task] = list(_buckets(found))
        return self._buckets[task]


class _Sending:
    """The buckets of one backward pass, on their way one after another.

    A bucket leaves when its gradients are there and those before it have left, so that all
    processes send them in the same order, in whatever order gradients come and whichever never
    come. What was sent is no gradient any more until its sum is back.

    Args:
        buckets: The same in all processes.
        ranks: The processes.
    """

    def __init__(self, buckets: Sequence[Bucket], ranks: Ranks) -> None:
        self._buckets, self._ranks = buckets, ranks
        self._place = {own: place for place, bucket in enumerate(buckets) for own in bucket}
        self._missing = [set(bucket) for bucket in buckets]
        self._sent: list[Tensor] = []
        self._waits: list[Callable[[], None]] = []

    @property
    def parameters(self) -> Iterable[Parameter]:
        """All parameters whose gradients are sent."""
        return self._place

    def arrived(self, own: Parameter) -> None:
        """Called by autograd when a parameter has its gradient of the last micro-batch."""
        self._missing[self._place[own]].discard(own)
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send_next()

    @torch.no_grad()
    def finish(self) -> None:
        """Send the rest, zeros where a gradient never came, and wait for all sums.

        A backward pass within the backward pass, as of torch's reentrant checkpoints, reaches
        parameters again whose gradients have left: what it adds, in any process, is sent after.
        """
        while len(self._sent) < len(self._buckets):
            self._send_next()
        for wait in self._waits:
            wait()
        if self._ranks.largest(any(own.grad is not None for own in self._place)):
            self._add_late()
        for bucket, sums in zip(self._buckets, self._sent, strict=True):
            parts = torch.split(sums, [own.numel() for own in bucket])
            for own, part in zip(bucket, parts, strict=True):
                own.grad = part.view_as(own)

    def _add_late(self) -> None:
        for bucket, sums in zip(self._buckets, self._sent, strict=True):
            late = _flat(bucket)
            self._ranks.start_sum(late)()
            sums += late

    @torch.no_grad()
    def _send_next(self) -> None:
        bucket = self._buckets[len(self._sent)]
        flat = _flat(bucket)
        for own in bucket:
            own.grad = None  # its memory is free again
        self._sent.append(flat)
        self._waits.append(self._ranks.start_sum(flat))


def sending_order(names: Sequence[str]) -> list[str]:
    """Parameters in about the order in which a backward pass has their gradients.

    Args:
        names: Names in the model, in its order: what is used first comes first.
    """
    backwards = names[::-1]
    return [name for part in _SENT for name in backwards if name.partition(".")[0] == part]


def _flat(bucket: Bucket) -> Tensor:
    """The gradients of a bucket one behind another; of one alone, its own memory."""
    parts = [
        own.new_zeros(own.numel()) if own.grad is None else own.grad.reshape(-1) for own in bucket
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _buckets(parameters: Iterable[Parameter]) -> Iterator[Bucket]:
    """Parameters of one device and dtype, in order; ``BUCKET`` entries unless one has more."""
    bucket: list[Parameter] = []
    entries = 0
    for own in parameters:
        alike = bucket and (own.device, own.dtype) == (bucket[0].device, bucket[0].dtype)
        if bucket and (not alike or entries + own.numel() > BUCKET):
            yield tuple(bucket)
            bucket, entries = [], 0
        bucket.append(own)
        entries += own.numel()
    if bucket:
        yield tuple(bucket)
