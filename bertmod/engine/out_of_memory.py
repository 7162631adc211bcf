"""Too little memory, told with the rows that asked for it and what would take less."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bertmod.data.features import FeatureTable
from bertmod.engine.batches import MOST_TOKENS
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.tasks import TrainingTask
from bertmod.errors import TrainingError
from bertmod.model.multitask import MultiTaskModel
from bertmod.wording import counted

_HOST = re.compile(
    "can't allocate memory|not enough memory|bad_alloc|could not create a primitive(?! descriptor)"
)
"""What PyTorch's allocator on a CPU, the C++ library below it, and oneDNN say; the last, which
makes code for every shape of a product, without an amount. Of a descriptor it speaks if it cannot
compute what it is asked for."""

_ASKED = re.compile(
    r"(?:tried to|Unable to) allocate ([\d.]+) ?(bytes|B|[KMGT]iB)\b", re.IGNORECASE
)
_UNITS = {
    "bytes": 2.0**-20,
    "b": 2.0**-20,
    "kib": 2.0**-10,
    "mib": 1,
    "gib": 2.0**10,
    "tib": 2.0**20,
}


class OutOfMemory(TrainingError):
    """A device, or the host, has too little memory for a step or an evaluation."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, on a GPU or on the host."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _HOST.search(str(error)) is not None


@dataclass(frozen=True)
class MemoryUse:
    """What decides how much memory a run takes, and what of it could be changed.

    Attributes:
        model: The model.
        tasks: The tasks that train.
        settings: The run's settings, device and precision resolved.
        processes: How many share each micro-batch.
        kept: Whether there are checkpoints to go on from; a plan makes none.
    """

    model: MultiTaskModel
    tasks: Sequence[TrainingTask]
    settings: TrainerSettings
    processes: int = 1
    kept: bool = True

    @contextmanager
    def step(self, step: int, task: str, micro_batches: Sequence[FeatureTable]) -> Iterator[None]:
        """Within the block an optimizer step is made.

        Args:
            step: Its number, from 1.
            task: Its task.
            micro_batches: Its rows.

        Raises:
            OutOfMemory: If there is too little memory for it.
        """

        def told(error: Exception) -> str:
            updating = _in_optimizer(error)
            largest = max(micro_batches, key=lambda table: int(table.token_bounds[-1]))
            what = "the optimizer's update" if updating else f"a micro-batch of {_rows(largest)}"
            if not updating and self.processes > 1:
                what += f", shared by {self.processes} processes"
            return (
                f"out of memory in step {step}, task {task}: {what}\n"
                f"  {self._room(error, 'the step was not finished, and ')}\n"
                f"{self._advice(*step_options(self, updating=updating))}"
            )

        with _telling(told):
            yield

    @contextmanager
    def evaluation(self, step: int) -> Iterator[None]:
        """Within the block the dev splits are answered.

        Args:
            step: Optimizer steps finished.

        Raises:
            OutOfMemory: If there is too little memory for it.
        """

        def told(error: Exception) -> str:
            size, longest = evaluated_rows(self)
            return (
                f"out of memory in the evaluation after step {step}: batches of "
                f"{counted(size, 'row')}, the longest of {counted(longest, 'token')}\n"
                f"  {self._room(error)}\n{self._advice(*evaluation_options(self))}"
            )

        with _telling(told):
            yield

    @contextmanager
    def run(self, step: Callable[[], int]) -> Iterator[None]:
        """Within the block are steps, evaluations and whatever keeps what they made.

        Args:
            step: Says how many optimizer steps are finished.

        Raises:
            OutOfMemory: If there is too little memory for the latter.
        """

        def told(error: Exception) -> str:
            return (
                f"out of memory after step {step()}, where the state of the run is kept\n"
                f"  {self._room(error)}\n{self._advice(*step_options(self, updating=True))}"
            )

        with _telling(told):
            yield

    def _room(self, error: BaseException, words: str = "") -> str:
        """How much was asked for, and what is left of the run."""
        kept = f"; {words}the checkpoints of earlier steps are kept" if self.kept else ""
        return f"{_asked(error)}{self.settings.device}{kept}"

    def _advice(self, resumed: Sequence[str], fresh: Sequence[str]) -> str:
        if not self.kept:
            options = (f"    {option}" for option in (*resumed, *fresh))
            return "\n".join(["  what takes less:", *options])
        lines = []
        if resumed:
            lines += ["  what takes less, and this run can go on with (--resume):"]
            lines += [f"    {option}" for option in resumed]
        if fresh:
            lines += ["  what takes less, in a new run:", *(f"    {option}" for option in fresh)]
        return "\n".join([*lines, "  bertmod plan says beforehand what a recipe takes"])


@contextmanager
def _telling(told: Callable[[Exception], str]) -> Iterator[None]:
    """Within the block too little memory becomes an ``OutOfMemory`` in these words."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(told(error)) from error


def step_options(use: MemoryUse, *, updating: bool = False) -> tuple[list[str], list[str]]:
    """What would make a step take less and is not in use yet, the cheapest first.

    Args:
        use: The run.
        updating: Whether it is the optimizer's update that failed, which no smaller micro-batch
            helps.

    Returns:
        What a run may go on with, and what only a new one may have.
    """
    settings = use.settings
    gpu = settings.device.startswith("cuda")
    resumed, fresh = [], []
    if not updating:
        if (number := _more_micro_steps(use)) is not None:
            micro = settings.global_batch_size // number
            resumed.append(
                f"training.gradient_accumulation_steps {number}: micro-batches of "
                f"{counted(micro, 'row')}, the same step up to rounding and dropout"
            )
        if not settings.activation_checkpointing:
            resumed.append(
                "training.activation_checkpointing true: the same steps, about a third more time"
            )
        if settings.precision == "fp32":
            fresh.append('training.precision "bf16": activations of half the size')
    if gpu and settings.offload is None:
        resumed.append('training.offload "cpu": the same steps, the optimizer in host memory')
    if gpu and settings.parallel != "fsdp":
        resumed.append('training.parallel "fsdp" with --nproc N: each GPU has a part of the model')
    if not updating:
        fresh.append(_SHORTER)
    if any(weight.requires_grad for weight in use.model.encoder.parameters()):
        fresh.append('freeze "encoder", with adapters: no gradients and optimizer state for it')
    return resumed, fresh


def evaluated_rows(use: MemoryUse) -> tuple[int, int]:
    """Rows of the batch with the longest row of an evaluation, and tokens of that row."""
    settings = use.settings
    splits = (split for task in use.tasks for split in task.dev.values())
    longest = max((int(split.features.row_lengths.max(initial=0)) for split in splits), default=0)
    size = settings.evaluation_batch_size
    if settings.fast and torch.device(settings.device).type == "cpu":
        size = min(size, max(1, MOST_TOKENS // max(1, longest)))
    return size, longest


def evaluation_options(use: MemoryUse) -> tuple[list[str], list[str]]:
    """What would make an evaluation take less; as ``step_options`` gives it."""
    size, _ = evaluated_rows(use)
    smaller = [f"evaluation.batch_size {size // 2}: the same scores"] if size > 1 else []
    half = ['training.precision "bf16": activations of half the size']
    return smaller, [*(half if use.settings.precision == "fp32" else []), _SHORTER]


_SHORTER = "a smaller data.max_length: longer rows are cut"


def _more_micro_steps(use: MemoryUse) -> int | None:
    """The next number of micro-steps that every batch can be cut into; None: there is none."""
    settings = use.settings
    sizes = {task.batch_size or settings.global_batch_size for task in use.tasks}
    sizes.add(settings.global_batch_size)
    for number in range(settings.gradient_accumulation_steps + 1, min(sizes) + 1):
        if all(size % (number * use.processes) == 0 for size in sizes):
            return number
    return None


def _rows(table: FeatureTable) -> str:
    lengths = table.row_lengths
    return f"{counted(len(lengths), 'row')}, the longest of {counted(int(lengths.max()), 'token')}"


def _asked(error: BaseException) -> str:
    """How much was asked for, as far as the error says so, up to the device's name."""
    found = _ASKED.search(str(error))
    if found is None:
        return "no memory left on "
    return f"no room for {float(found[1]) * _UNITS[found[2].lower()]:,.1f} MiB more on "


def _in_optimizer(error: BaseException) -> bool:
    """Whether an error came out of an optimizer's step."""
    trace = error.__traceback__
    while trace is not None:
        if isinstance(trace.tb_frame.f_locals.get("self"), torch.optim.Optimizer):
            return True
        trace = trace.tb_next
    return False
