"""What a run would do: parameters, steps, truncation, memory and time."""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bertmod.assemble.run import Assembled
from bertmod.engine.groups import COMPONENTS
from bertmod.engine.offload import settled_offload
from bertmod.engine.seeding import drawn
from bertmod.engine.tasks import TrainingTask
from bertmod.engine.trainer import Trainer
from bertmod.planning.heaviest import shares_of
from bertmod.planning.memory import Memory, peak_on, rehearse
from bertmod.planning.process import process_peak
from bertmod.planning.shares import of_one_process
from bertmod.wording import counted, table

TIMED_STEPS, WARM_UP_STEPS = 12, 3

_MAY_DIFFER = (
    "layers are compiled: after a resume the last bits may differ, if the compiler makes other code"
)


@dataclass(frozen=True)
class TaskPlan:
    """What a run would do with one task.

    Attributes:
        task: Id of the task.
        features: Training features.
        own_parameters: Parameters of its adapters and head.
        updates: Expected optimizer steps on it.
        truncated: Training features that ``max_length`` cuts; None where the task does not say.
        max_length: Longest row, tokens.
    """

    task: str
    features: int
    own_parameters: int
    updates: float
    truncated: int | None
    max_length: int


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        tasks: Every task that trains.
        encoder_parameters: Parameters of the encoder.
        adapter_parameters: Parameters of all adapters.
        trained: ``encoder``, ``adapters`` and ``heads`` to (parameters that the run trains, all):
            what is frozen or used by no task is not trained.
        total_steps: Length of the run in optimizer steps.
        steps_per_epoch: Optimizer steps in an epoch.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        loss_scale: Loss scale of fp16: ``dynamic``, or where it starts.
        offload: Where the optimizer's state is: ``cpu``, or None for the device.
        device: Device.
        processes: How many share every step.
        timed_steps: Steps that were measured.
        seconds_per_step: Their median time.
        memory: The most memory that it will hold.
        compiled: Whether the encoder's layers are compiled.
    """

    tasks: tuple[TaskPlan, ...]
    encoder_parameters: int
    adapter_parameters: int
    trained: Mapping[str, tuple[int, int]]
    total_steps: int
    steps_per_epoch: int
    precision: str
    loss_scale: float | str
    offload: str | None
    device: str
    processes: int
    timed_steps: int
    seconds_per_step: float
    memory: Memory
    compiled: bool = False

    @property
    def multiple(self) -> float:
        """Encoder and adapters as a multiple of the encoder."""
        return (self.encoder_parameters + self.adapter_parameters) / self.encoder_parameters

    @property
    def arithmetic(self) -> str:
        """Precision, device and offloading in words."""
        scale = f" (loss scale {_scale(self.loss_scale)})" if self.precision == "fp16" else ""
        where = "" if self.offload is None else ", optimizer offloaded to host memory"
        return f"{self.precision}{scale} on {self.device}{where}"


def make_plan(assembled: Assembled, *, libraries: int = 0, processes: int = 1) -> Plan:
    """Plan a run; steps are made on the assembled model, which is then used up.

    Args:
        assembled: Everything that the recipe describes.
        libraries: Memory of the process before that was built, bytes.
        processes: How many will share every step; this one makes what one of them would.
    """
    parallel = assembled.recipe.training.parallel
    if processes > 1:
        assembled = _made_alone(assembled)
    recipe, model = assembled.recipe, assembled.model
    trainer = assembled.trainer(quiet=True)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    used = [model.active(task.id) & trainable for task in assembled.tasks]
    trained = {name: sizes[name] for name in frozenset[str]().union(*used)}
    updates, batches = expected_updates(trainer)
    times = step_times(trainer, processes=processes)
    done = len(times) >= trainer.total_steps
    heaviest = rehearse(assembled, trainer, {} if done else batches, processes=processes)
    on_cpu = trainer.device.type == "cpu"
    offload = settled_offload(recipe.training.offload, trainer.device)
    average = 0 if recipe.training.ema is None else 4
    state = recipe.optimizer.spec.state_per_parameter + average
    memory = Memory(
        peak=peak_on(trainer.device),
        at=heaviest,
        libraries=libraries if on_cpu else 0,
        weights=4 * sum(sizes.values()),
        gradients=4 * max(sum(sizes[name] for name in names) for names in used),
        optimizer=0 if offload else state * sum(trained.values()),
        host=None if on_cpu else process_peak(),
    )
    if processes > 1:
        memory = of_one_process(memory, model, processes=processes, parallel=parallel)
    timed = times[WARM_UP_STEPS:] or times[-1:]
    return Plan(
        tasks=tuple(_task_plan(assembled, task, sizes, updates) for task in assembled.tasks),
        encoder_parameters=_total(sizes, "encoder."),
        adapter_parameters=_total(sizes, "adapters."),
        trained={
            part: (_total(trained, f"{part}."), _total(sizes, f"{part}.")) for part in COMPONENTS
        },
        total_steps=trainer.total_steps,
        steps_per_epoch=trainer.steps_per_epoch,
        precision=recipe.training.precision,
        loss_scale=recipe.training.loss_scale,
        offload=offload,
        device=recipe.training.device,
        processes=processes,
        timed_steps=len(timed),
        seconds_per_step=statistics.median(timed),
        memory=memory,
        compiled=recipe.training.compile,
    )


def draws(trainer: Trainer) -> Iterator[tuple[int, np.ndarray]]:
    """The task that each step of a run will train, and the probabilities that it is drawn from.

    A sampler that learns from scores may draw others as the run goes on.

    Yields:
        Place of the task among ``task_ids``; (tasks,), float64.
    """
    tasks, seed = frozenset(trainer.task_ids), trainer.settings.seed
    for step in range(trainer.total_steps):
        epoch = step // trainer.steps_per_epoch
        found = trainer.sampler.probabilities(step, epoch, trainer.settings.num_epochs, tasks)
        yield drawn(found, seed=seed, step=step), found


def expected_updates(trainer: Trainer) -> tuple[dict[str, float], dict[str, int]]:
    """Optimizer steps per task: the sampler's probabilities summed over the run, and its draws."""
    total, batches = np.zeros(len(trainer.task_ids)), Counter[int]()
    for place, probabilities in draws(trainer):
        total += probabilities
        batches[place] += 1
    updates = dict(zip(trainer.task_ids, total.tolist(), strict=True))
    return updates, {task: batches[place] for place, task in enumerate(trainer.task_ids)}


def step_times(trainer: Trainer, *, processes: int = 1) -> list[float]:
    """Times of the run's first optimizer steps, seconds, of which some are to warm up.

    Args:
        trainer: The run's trainer; its counters stay where they are.
        processes: How many share every step: this one computes the share of one of them.
    """
    trainer.model.train()
    times, batches = [], Counter[str]()
    first = itertools.islice(draws(trainer), WARM_UP_STEPS + TIMED_STEPS)
    for step, (place, _) in enumerate(first):
        task = trainer.task_ids[place]
        share = shares_of(trainer.rows(task, batches[task], step=step), processes)
        began = time.perf_counter()
        trainer.step_on(task, share)
        times.append(time.perf_counter() - began)
        batches[task] += 1
    return times


def _made_alone(assembled: Assembled) -> Assembled:
    """The same run, in which a process asks nothing of the others."""
    training = assembled.recipe.training.model_copy(update={"parallel": "single"})
    return replace(assembled, recipe=replace(assembled.recipe, training=training))


def _task_plan(
    assembled: Assembled,
    task: TrainingTask,
    sizes: Mapping[str, int],
    updates: Mapping[str, float],
) -> TaskPlan:
    own = _total(sizes, f"adapters.{task.id}.") + _total(sizes, f"heads.{task.id}.")
    return TaskPlan(
        task=task.id,
        features=len(task.train),
        own_parameters=own,
        updates=updates[task.id],
        truncated=task.train.num_truncated,
        max_length=assembled.prepared[task.id].slot.max_length,
    )


def _total(sizes: Mapping[str, int], prefix: str) -> int:
    return sum(size for name, size in sizes.items() if name.startswith(prefix))


def render_plan(plan: Plan) -> str:
    """A plan as text: totals, a line per task, memory and time."""
    rows = [("task", "rows", "own param.", "expected updates", "rows cut", "max. length")]
    for task in plan.tasks:
        rows.append(
            (
                task.task,
                f"{task.features:,}",
                f"{task.own_parameters:,}",
                f"{task.updates:,.0f}",
                _share(task.truncated, task.features),
                f"{task.max_length}",
            )
        )
    hours = plan.seconds_per_step * plan.total_steps / 3600
    lines = [
        f"encoder {plan.encoder_parameters:,} parameters, adapters {plan.adapter_parameters:,}: "
        f"{plan.multiple:.4f} times the encoder",
        f"trained: {', '.join(_trained(part, *plan.trained[part]) for part in plan.trained)}",
        f"{plan.total_steps:,} steps, {plan.steps_per_epoch:,} an epoch, {plan.arithmetic}",
        *table(rows, right=range(1, 6)),
        *_memory(plan),
        f"time, measured over {counted(plan.timed_steps, 'step')}{_alone(plan)}: "
        f"{plan.seconds_per_step:.3f} s a step, {hours:.2f} hours of training in all",
        *([_MAY_DIFFER] if plan.compiled else []),
    ]
    return "\n".join(lines)


def _share(count: int | None, total: int) -> str:
    return "unknown" if count is None else f"{count:,} ({count / total:.1%})"


def _trained(part: str, trained: int, total: int) -> str:
    return f"{part} {trained:,} of {total:,}" if total else f"no {part}"


def _memory(plan: Plan) -> list[str]:
    """The device's memory, and on a GPU the host's."""
    memory = plan.memory
    if not memory.peak:
        return ["memory: not predicted, since this system does not tell what a process holds"]
    each = "" if plan.processes == 1 else f" of each of {plan.processes} processes"
    of = (each or " of the process") if memory.host is None else f" on {plan.device}{each}"
    parts = {
        "libraries": memory.libraries,
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "activations, buffers and data": memory.rest,
    }
    lines = [
        f"peak memory{of}, predicted: {_mib(memory.peak)}, in {memory.at}",
        "  " + ", ".join(f"{name} {_mib(size)}" for name, size in parts.items() if size > 0),
    ]
    if memory.host:
        lines.append(f"peak memory of the process beside it, predicted: {_mib(memory.host)}")
    return lines


def _alone(plan: Plan) -> str:
    return "" if plan.processes == 1 else " without what the processes tell each other"


def _scale(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
