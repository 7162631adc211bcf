"""The processes that make a run together, and what they tell each other.

The messages are ``torch.distributed``'s, over gloo between CPUs and NCCL between GPUs.
``DistributedDataParallel`` is not used: it must either look for idle parameters in the graph of
every step, or be told once and for all which they are, while here they change with the step's
task and are declared. A wrapper for each task would hold buckets as large as the model for each
one, and would hang over an active parameter that a loss does not reach. So the gradients of the
parameters that are declared active are summed after the last backward pass of a step, a bucket at
a time: losses are divided by the counts of the whole batch beforehand, so nothing is averaged.
Every process ends with the same sums, bit for bit: what is decided from them (whether a step is
finite, by how much it is clipped) needs no further message. Nor do the counts of targets: every
process reads the whole batch's, and computes its share of the rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, distributed

from bertmod.errors import Problem, RecipeError, TrainingError

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for another one that neither answers nor ends."""

BUCKET = 2**23
"""Gradient entries that are sent together: 32 MiB, enough to use a network to the full."""

_SOURCE_LINE = re.compile(r"\[\S+:\d+\] ")

T = TypeVar("T")


class LostProcessError(TrainingError):
    """Another process of the run ended, or did not answer in time."""

    exit_status: ClassVar[int] = 1


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them; by default it is alone.

    Every method is called by all of them in the same order.

    Attributes:
        rank: Number of this process, from 0; number 0 writes what is written.
        size: How many there are.
        local_rank: Number of this process on its machine, from 0, which is the number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes, scores and tells."""
        return self.rank == 0

    def share(self, lengths: np.ndarray) -> np.ndarray:
        """Which rows of a batch are this process's: as many, and as long, as everyone's.

        Args:
            lengths: Tokens of each row, (rows,), int64.

        Returns:
            Places in the batch, ascending, int64; with fewer rows than processes maybe none.
        """
        if self.size == 1:
            return np.arange(len(lengths))
        by_length = np.argsort(-np.asarray(lengths), kind="stable")
        return np.sort(by_length[self.rank :: self.size])

    @torch.no_grad()
    def sum_gradients(self, gradients: Sequence[Tensor]) -> None:
        """Replace gradients by their sums over all processes.

        Args:
            gradients: Of the same shapes and dtypes in every process, in the same order.
        """
        if self.size == 1:
            return
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            with _together():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def sums(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sum of each value over all processes, which know the same names."""
        if self.size == 1:
            return dict(values)
        names = sorted(values)
        total = torch.tensor([values[name] for name in names], dtype=torch.float64)
        with _together():
            distributed.all_reduce(total)
        found = dict(zip(names, total.tolist(), strict=True))
        return {name: found[name] for name in values}

    def largest(self, number: int) -> int:
        """The largest of a number over all processes."""
        if self.size == 1:
            return number
        found = torch.tensor(int(number))
        with _together():
            distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
        return int(found)

    def wait(self) -> None:
        """Wait until every process is here."""
        self.largest(0)

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block first, then all the others together."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def gathered(self, value: T) -> list[T]:
        """Every process's value, by rank; all of them get the list."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        with _together():
            distributed.all_gather_object(found, value)
        return found

    def collected(self, value: T) -> list[T] | None:
        """Every process's value, by rank, for the main process alone."""
        if self.size == 1:
            return [value]
        found: list[Any] | None = [None] * self.size if self.is_main else None
        with _together():
            distributed.gather_object(value, found)
        return found

    def from_main(self, value: T | None) -> T:
        """The main process's value; the others' is not looked at."""
        if self.size == 1:
            return cast(T, value)
        box = [value if self.is_main else None]
        with _together():
            distributed.broadcast_object_list(box)
        return cast(T, box[0])

    @torch.no_grad()
    def take_from_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, alike in every process, with the main process's values."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.contiguous()
            with _together():
                distributed.broadcast(sent, 0)
            if sent is not tensor:
                tensor.copy_(sent)

    def tensors_from_main(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The main process's tensors by name, on the CPU; the others give None."""
        if self.size == 1:
            return dict(tensors or {})
        own = dict(tensors or {})
        kinds = self.from_main({name: (value.shape, value.dtype) for name, value in own.items()})
        found = {
            name: own[name].cpu() if self.is_main else torch.empty(shape, dtype=dtype)
            for name, (shape, dtype) in kinds.items()
        }
        self.take_from_main(found.values())
        return found


ALONE = Ranks()


@contextmanager
def joined_ranks(size: int, *, gpu: bool) -> Iterator[Ranks]:
    """Join the other processes of the run, if there are any, while the block lasts.

    Args:
        size: How many there are, positive; more than one are found by torchrun's variables in the
            environment.
        gpu: Whether each process has a GPU of its own: that of its number on its machine.

    Raises:
        RecipeError: If the environment names some of what is needed and not the rest, or this
            machine has fewer GPUs than processes.
        LostProcessError: If the others are not there in time.
    """
    if size == 1:
        yield ALONE
        return
    ranks = _ranks_of_environment()
    if gpu:
        _take_gpu(ranks.local_rank)
    with _together():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=TIMEOUT)
    try:
        yield ranks
    except BaseException:
        if not gpu:  # NCCL might wait for who is not there
            _leave()
        raise
    _leave()


def _leave() -> None:
    """End gloo's threads: those that outlive the interpreter may abort the process."""
    distributed.destroy_process_group()


def _ranks_of_environment() -> Ranks:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if missing := [name for name in names if name not in os.environ]:
        what = f"it asks for several processes, but {', '.join(missing)} is not set"
        more = ("start them with torchrun, or with bertmod run --nproc N",)
        raise RecipeError("the environment", [Problem("WORLD_SIZE", what, more)])
    rank, size, local_rank = (int(os.environ[name]) for name in names[:3])
    return Ranks(rank, size, local_rank)


def _take_gpu(local_rank: int) -> None:
    count = torch.cuda.device_count()
    if local_rank >= count:
        what = f"process {local_rank} of this machine has no GPU: there are {count}"
        more = ("start as many processes as there are GPUs", 'or use training.device "cpu"')
        raise RecipeError("this machine", [Problem("training.device", what, more)])
    torch.cuda.set_device(local_rank)


@contextmanager
def _together() -> Iterator[None]:
    """What goes wrong in a message between processes is the other end's."""
    try:
        yield
    except RuntimeError as error:
        # gloo and NCCL begin with a line of their source, and go on with guesses
        cause = _SOURCE_LINE.sub("", str(error).strip()).partition("\n")[0].partition(". ")[0]
        raise LostProcessError(
            f"another process of this run ended or does not answer: {cause}\n"
            "  its own message says why; go on with --resume"
        ) from error


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one device and dtype, in order; ``BUCKET`` entries unless one has more."""
    bucket: list[Tensor] = []
    entries = 0
    for gradient in gradients:
        alike = bucket and (gradient.device, gradient.dtype) == (bucket[0].device, bucket[0].dtype)
        if bucket and (not alike or entries + gradient.numel() > BUCKET):
            yield bucket
            bucket, entries = [], 0
        bucket.append(gradient)
        entries += gradient.numel()
    if bucket:
        yield bucket
