"""What a run would do: parameters, steps, truncation, memory and time, before it is started."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertmod.assemble.run import Assembled
from bertmod.contracts.sampler import Sampler
from bertmod.data.collate import collate, row_layout
from bertmod.engine.groups import COMPONENTS
from bertmod.engine.offload import settled_offload
from bertmod.engine.precision import autocast
from bertmod.engine.tasks import TrainingTask
from bertmod.engine.trainer import Trainer
from bertmod.wording import counted, table

TIMED_STEPS, WARM_UP_STEPS = 12, 3


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
        timed_steps: Steps that were measured.
        seconds_per_step: Their median time.
        weight_bytes: Parameters, fp32.
        gradient_bytes: Gradients of the largest step, fp32.
        optimizer_bytes: Optimizer state of every trainable parameter, and its moving average.
        activation_bytes: What the backward pass of the longest micro-batch keeps, measured.
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
    timed_steps: int
    seconds_per_step: float
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int

    @property
    def multiple(self) -> float:
        """Encoder and adapters as a multiple of the encoder."""
        return (self.encoder_parameters + self.adapter_parameters) / self.encoder_parameters

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of a step on its device, without the libraries themselves."""
        optimizer = self.optimizer_bytes if self.offload is None else 0
        return self.weight_bytes + self.gradient_bytes + optimizer + self.activation_bytes

    @property
    def host_bytes(self) -> int:
        """Estimated host memory of offloading: state, weights and gradients of what trains."""
        if self.offload is None:
            return 0
        return self.optimizer_bytes + 8 * sum(trained for trained, _ in self.trained.values())

    @property
    def arithmetic(self) -> str:
        """Precision, device and offloading in words."""
        scale = f" (loss scale {_scale(self.loss_scale)})" if self.precision == "fp16" else ""
        where = "" if self.offload is None else ", optimizer offloaded to host memory"
        return f"{self.precision}{scale} on {self.device}{where}"


def make_plan(assembled: Assembled) -> Plan:
    """Plan a run; a few steps are made on the assembled model, which is then used up.

    Args:
        assembled: Everything that the recipe describes.
    """
    recipe, model = assembled.recipe, assembled.model
    trainer = assembled.trainer(quiet=True)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    used = [model.active(task.id) & trainable for task in assembled.tasks]
    trained = {name: sizes[name] for name in frozenset[str]().union(*used)}
    updates = expected_updates(trainer)
    activation = max(activation_bytes(assembled, task) for task in assembled.tasks)
    average = 0 if recipe.training.ema is None else 4
    state = recipe.optimizer.spec.state_per_parameter + average
    times = step_times(trainer)
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
        offload=settled_offload(recipe.training.offload, trainer.device),
        device=recipe.training.device,
        timed_steps=len(times),
        seconds_per_step=statistics.median(times),
        weight_bytes=4 * sum(sizes.values()),
        gradient_bytes=4 * max(sum(sizes[name] for name in names) for names in used),
        optimizer_bytes=state * sum(trained.values()),
        activation_bytes=activation,
    )


def expected_updates(trainer: Trainer) -> dict[str, float]:
    """Expected optimizer steps per task: the sampler's probabilities summed over the run."""
    sampler: Sampler = trainer.sampler
    tasks = trainer.task_ids
    total = np.zeros(len(tasks))
    for step in range(trainer.total_steps):
        epoch = step // trainer.steps_per_epoch
        total += sampler.probabilities(step, epoch, trainer.settings.num_epochs, frozenset(tasks))
    return dict(zip(tasks, total.tolist(), strict=True))


def step_times(trainer: Trainer) -> list[float]:
    """Times of a few optimizer steps of the run, seconds, after a few that are not measured.

    A run shorter than that has all of its steps measured but those to warm up, and one at least.
    """
    times = []
    for _ in range(min(WARM_UP_STEPS + TIMED_STEPS, trainer.total_steps)):
        began = time.perf_counter()
        trainer.train_step()
        times.append(time.perf_counter() - began)
    return times[WARM_UP_STEPS:] or times[-1:]


def activation_bytes(assembled: Assembled, task: TrainingTask) -> int:
    """What autograd keeps for the backward pass of a task's longest micro-batch, bytes.

    Parameters are not counted; a tensor kept twice counts once.
    """
    training, model = assembled.recipe.training, assembled.model
    batch_size = task.batch_size or training.global_batch_size
    micro = batch_size // training.gradient_accumulation_steps
    longest = np.argsort(-task.train.lengths, kind="stable")[:micro]
    device = next(model.parameters()).device
    layout = row_layout([model.head(task.id).layout], training.layout)
    batch = collate(task.train.take(longest), layout=layout, device=device)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        autocast(training.precision, device),
    ):
        output = model(batch, task.id)
    del output
    return sum(kept.values())


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
        f"time, measured over {counted(plan.timed_steps, 'step')}: "
        f"{plan.seconds_per_step:.3f} s a step, {hours:.2f} hours of training in all",
    ]
    return "\n".join(lines)


def _share(count: int | None, total: int) -> str:
    return "unknown" if count is None else f"{count:,} ({count / total:.1%})"


def _trained(part: str, trained: int, total: int) -> str:
    return f"{part} {trained:,} of {total:,}" if total else f"no {part}"


def _memory(plan: Plan) -> list[str]:
    """The device's memory, and the host's where it takes some over."""
    optimizer = "" if plan.offload else f"optimizer {_mib(plan.optimizer_bytes)}, "
    lines = [
        f"memory of a step, estimated: {_mib(plan.memory_bytes)} "
        f"(weights {_mib(plan.weight_bytes)}, gradients {_mib(plan.gradient_bytes)}, "
        f"{optimizer}activations {_mib(plan.activation_bytes)})"
    ]
    if plan.offload:
        lines.append(
            f"host memory of the offloaded optimizer, estimated: {_mib(plan.host_bytes)} "
            f"(state {_mib(plan.optimizer_bytes)}, the rest copies of weights and gradients)"
        )
    return lines


def _scale(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
