"""The most memory that a run will hold, measured on the heaviest of what it will do.

Counting tensors is not enough: backward passes, kernels and the C library's allocator hold more
than what autograd keeps. So the steps are made whose rows weigh most, by the trainer that would
make them, and the system is asked what they took. Whatever the recipe does to a step (its
precision, adapters, recomputed activations, an optimizer of a plugin) is in the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from bertmod.assemble.components import encoder_names
from bertmod.assemble.run import Assembled
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.engine.out_of_memory import MemoryUse
from bertmod.engine.trainer import Trainer
from bertmod.model.canonical import canonical_tensors
from bertmod.planning.heaviest import (
    Heaviest,
    heaviest_evaluation,
    heaviest_micro_batch,
    share_of,
)
from bertmod.planning.process import process_peak
from bertmod.wording import counted


@dataclass(frozen=True)
class Memory:
    """The most memory that a run will hold on its device; sizes in bytes.

    On a CPU this is the process with all that it has loaded; on a GPU what PyTorch has allocated
    there, which the driver's own few hundred MiB are not part of.

    Attributes:
        peak: All of it.
        at: What takes it, in words.
        libraries: Of ``peak``, what the process held before anything was built; 0 on a GPU.
        weights: Parameters.
        gradients: Gradients of the largest step.
        optimizer: Optimizer state of what trains, and its moving average; 0 if not on the device.
        host: On a GPU, the most that the process holds beside it.
    """

    peak: int
    at: str
    libraries: int
    weights: int
    gradients: int
    optimizer: int
    host: int | None = None

    @property
    def rest(self) -> int:
        """What activations, buffers and data take."""
        return self.peak - self.libraries - self.weights - self.gradients - self.optimizer


def rehearse(
    assembled: Assembled, trainer: Trainer, batches: Mapping[str, int], *, processes: int = 1
) -> str:
    """Do once what a run does that takes most memory: the peak is then the run's.

    A few steps of the run should have been made before, of many lengths as its rows come: the C
    library's allocator needs them to reach what it holds for good. If those were all of its steps,
    no other is made.

    Args:
        assembled: What the recipe describes; used up.
        trainer: Its trainer, without a run folder.
        batches: Task to the number of its batches in the run; none at all: all were made.
        processes: Processes that will share each micro-batch.

    Returns:
        What took most, in words.
    """
    seen = [(peak_on(trainer.device), "one of its first steps")]
    for name, act in _acts(assembled, trainer, batches, processes):
        act()
        seen.append((peak_on(trainer.device), name))
    highest = max(found for found, _ in seen)
    return next(name for found, name in seen if found >= 0.98 * highest)


def peak_on(device: torch.device) -> int:
    """The most memory held so far, bytes: by this process, or on a GPU by PyTorch.

    0 where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return process_peak() or 0


def _acts(
    assembled: Assembled, trainer: Trainer, batches: Mapping[str, int], processes: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What to do, by name: steps from light to heavy, an evaluation, what saving copies."""
    trainer.model.train()
    steps = [
        heaviest_micro_batch(trainer, task, batches[task.id])
        for task in assembled.tasks
        if batches.get(task.id)
    ]
    for step in sorted(steps, key=lambda each: each.tokens):
        share = share_of(step.table, step.rows, processes)
        # of several micro-batches the second one finds the gradients of the first
        times = min(2, trainer.settings.gradient_accumulation_steps)
        yield (
            f"a step of {step.task} with {_words(step)}",
            partial(trainer.step_on, step.task, [share] * times),
        )
    evaluation = heaviest_evaluation(trainer, assembled.tasks)
    if evaluation is not None:
        features = evaluation.table.take(evaluation.rows)
        settings = EvaluationSettings(
            trainer.settings.evaluation_batch_size,
            trainer.settings.precision,
            trainer.settings.layout,
            fast=trainer.settings.fast,
        )
        use = MemoryUse(trainer.model, assembled.tasks, trainer.settings, kept=False)
        answer = partial(decode, trainer.model, evaluation.task, features=features)
        yield (
            f"an evaluation of {evaluation.task} with {_words(evaluation)}",
            use.evaluation(trainer.step)(partial(answer, settings=settings)),
        )
    names = encoder_names(assembled.recipe)
    yield "keeping the encoder", partial(canonical_tensors, trainer.model.encoder, names)


def _words(heaviest: Heaviest) -> str:
    lengths = heaviest.table.take(heaviest.rows).row_lengths
    return f"{counted(len(lengths), 'row')} of up to {counted(int(lengths.max()), 'token')}"
