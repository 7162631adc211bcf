"""The processes that make a run together, and what they tell each other.

The messages are ``torch.distributed``'s, over gloo between CPUs and NCCL between GPUs.
Messages about a step's gradients go out while its backward pass still runs: ``gradient_sums``.
Counts of targets are in none: every process reads the whole batch's, and computes its share of
the rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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

PATIENCE = timedelta(days=7)
"""The same while the main process prepares the data, which of millions of rows takes hours."""

_SOURCE_LINE = re.compile(r"\[\S+:\d+\] ")
_OF_GLOO = re.compile(r"\[(enforce fail at )?\S*gloo\S*:\d+\] ")
"""What gloo's errors begin with, which are not of torch's classes for them."""

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

    def start_sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to replace a tensor by its sum over all processes, of which there are several.

        Args:
            tensor: Of the same shape and dtype in every process; nobody else's until the end.

        Returns:
            What to call to wait for the sum.
        """
        with _together():
            work = distributed.all_reduce(tensor, async_op=True)

        def wait() -> None:
            with _together():
                work.wait()

        return wait

    @contextmanager
    def messages(self) -> Iterator[None]:
        """Around what makes torch send messages of its own."""
        with _together():
            yield

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
        """The main process goes through the block first, then all the others together.

        They wait as long as it lives: the end of a process breaks its connections at once.
        """
        if self.size == 1:
            yield
            return
        with _together():
            patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
        if not self.is_main:
            _meet(patient)
        yield
        if self.is_main:
            _meet(patient)

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
        if gpu:
            _abort()
        else:
            _leave()
        raise
    _leave()


def _abort() -> None:
    """Drop what is under way on the GPUs: ending it in order waits for who may not be there."""
    group = distributed.group.WORLD
    if group is not None and hasattr(
        group, "abort"
    ):  # since torch 2.7; before it, the end of the process does it
        group.abort()


def _meet(group: Any) -> None:
    """Wait until every process of a group is here."""
    with _together():
        distributed.all_reduce(torch.zeros(1), group=group)


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
    """What goes wrong in a message between processes is the other end's, if they say so."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not _OF_GLOO.match(str(error)):
            raise  # such as too little memory for what is received
        # gloo and NCCL begin with a line of their source, and go on with guesses
        cause = _SOURCE_LINE.sub("", str(error).strip()).partition("\n")[0].partition(". ")[0]
        raise LostProcessError(
            f"another process of this run ended or does not answer: {cause}\n"
            "  its own message says why; go on with --resume"
        ) from error
