"""One optimizer step, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from bertmod.contracts.batch import Batch
from bertmod.contracts.optimizer import ParameterGroup
from bertmod.contracts.schedule import Schedule
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.engine.clipping import clip_global, clip_per_tensor
from bertmod.engine.groups import IdleRule
from bertmod.engine.precision import autocast
from bertmod.engine.seeding import seed_torch
from bertmod.engine.settings import TrainerSettings
from bertmod.errors import TrainingError
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.context import Layout


@dataclass(frozen=True)
class StepResult:
    """What a step did.

    Attributes:
        loss: Weighted mean loss over the step's targets.
        losses: Mean of each named loss.
        grad_norm: Global gradient norm before clipping.
        learning_rates: Learning rate of each group in this step.
        features: Features trained on.
        tokens: Real tokens trained on.
    """

    loss: float
    losses: Mapping[str, float]
    grad_norm: float
    learning_rates: Mapping[str, float]
    features: int
    tokens: int

    def values(self) -> dict[str, Any]:
        """All of it as JSON values, under the names that trackers know."""
        values = dict(vars(self))
        values["learning_rate"] = values.pop("learning_rates")
        return values


class Stepper:
    """Makes optimizer steps of one model.

    Args:
        model: The model, on its device.
        optimizer: Built over ``groups``, in the same order.
        groups: Parameter groups with their peak learning rates.
        idle: What happens to parameters of other tasks.
        schedule: Learning-rate multiplier.
        settings: The run's settings, device and precision resolved.
        device: Where the model is.
        loss_weights: Weight of each task's losses, by task id; 1 where absent.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        optimizer: Optimizer,
        groups: Sequence[ParameterGroup],
        *,
        idle: IdleRule,
        schedule: Schedule,
        settings: TrainerSettings,
        device: torch.device,
        loss_weights: Mapping[str, float],
    ) -> None:
        self._model, self._optimizer, self._groups = model, optimizer, groups
        self._idle, self._schedule, self._settings = idle, schedule, settings
        self._device, self._loss_weights = device, loss_weights

    def run(
        self, step: int, task: str, micro_batches: Sequence[FeatureTable], *, total: int
    ) -> StepResult:
        """Train on one global batch of one task.

        Args:
            step: Optimizer steps finished so far.
            task: Task that all features belong to.
            micro_batches: The batch, cut for gradient accumulation.
            total: Length of the run in steps.

        Raises:
            TrainingError: If a loss or gradient is not finite; parameters are as before.
        """
        counts = self._count_targets(task, micro_batches)
        self._optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        for number, table in enumerate(micro_batches):
            seed_torch(self._settings.seed, "micro_step", step, number, 0)
            for name, (value, weight) in self._forward_backward(task, table, counts).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
                weights[name] = weight
        losses = {name: value.item() / counts[name] for name, value in sums.items()}
        self._idle.settle(task)
        norm = self._clip().item()
        self._check_finite(step, task, losses, norm=norm, tables=micro_batches)
        rates = self._set_learning_rates(step, total)
        self._optimizer.step()
        self._idle.advance(task)
        self._optimizer.zero_grad(set_to_none=True)
        return StepResult(
            loss=sum(weights[name] * loss for name, loss in losses.items())
            * self._loss_weights.get(task, 1.0),
            losses=losses,
            grad_norm=norm,
            learning_rates=rates,
            features=sum(len(table) for table in micro_batches),
            tokens=sum(int(table.token_bounds[-1]) for table in micro_batches),
        )

    def _count_targets(self, task: str, tables: Sequence[FeatureTable]) -> dict[str, float]:
        """Targets of each named loss over the whole accumulation window."""
        head = self._model.head(task)
        counts: dict[str, float] = {}
        for table in tables:
            for name, count in head.num_targets(host_targets(table), table.row_lengths).items():
                counts[name] = counts.get(name, 0.0) + count
        return counts

    def _forward_backward(
        self, task: str, table: FeatureTable, counts: Mapping[str, float]
    ) -> dict[str, tuple[Tensor, float]]:
        """Backpropagate one micro-batch; the sums and weights of its losses that count."""
        batch = self._collate(task, table)
        with autocast(self._settings.precision, self._device):
            output = self._model(batch, task)
        parts = {name: pair for name, pair in output.losses.items() if counts.get(name)}
        if parts:
            weight = self._loss_weights.get(task, 1.0)
            terms = [part_weight * value / counts[n] for n, (value, part_weight) in parts.items()]
            torch.autograd.backward(weight * torch.stack(terms).sum())
        return parts

    def _collate(self, task: str, table: FeatureTable) -> Batch:
        padded = self._model.head(task).layout == "padded"
        layout: Layout = "padded" if padded else self._settings.layout
        return collate(table, layout=layout, device=self._device)

    def _clip(self) -> Tensor:
        gradients = [
            parameter.grad
            for group in self._groups
            for _, parameter in group.parameters
            if parameter.grad is not None
        ]
        limit = self._settings.max_grad_norm
        if self._settings.clip == "per_tensor" and limit is not None:
            return clip_per_tensor(gradients, limit)
        return clip_global(gradients, math.inf if limit is None else limit)

    def _check_finite(
        self,
        step: int,
        task: str,
        losses: Mapping[str, float],
        *,
        norm: float,
        tables: Sequence[FeatureTable],
    ) -> None:
        bad = [f"{name} loss {value}" for name, value in losses.items() if not np.isfinite(value)]
        if not bad and math.isfinite(norm):
            return
        self._optimizer.zero_grad(set_to_none=True)
        examples = np.concatenate([table.example for table in tables]).tolist()
        raise TrainingError(
            f"step {step + 1}, task {task}: {', '.join(bad) or f'gradient norm {norm}'}\n"
            f"  rows of its training data in this step (from 0): {examples}\n"
            "  the step was not made; the checkpoints of earlier steps are kept\n"
            "  look at these rows, lower the learning rate, or use precision fp32"
        )

    def _set_learning_rates(self, step: int, total: int) -> dict[str, float]:
        rates = {}
        for group, target in zip(self._groups, self._optimizer.param_groups, strict=True):
            clock = self._idle.clock(group, step) + self._settings.first_step
            rates[group.name] = group.learning_rate * self._schedule(clock, total)
            target["lr"] = rates[group.name]
        return rates
