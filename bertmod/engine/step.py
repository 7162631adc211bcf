"""One optimizer step, in a fixed order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from bertmod.contracts.batch import Batch
from bertmod.contracts.schedule import Schedule
from bertmod.data.collate import collate, host_targets, row_layout
from bertmod.data.features import FeatureTable
from bertmod.engine.ahead import Fuse, Readings, can_run_ahead
from bertmod.engine.allocation import keep_freed_memory
from bertmod.engine.answering import training_model
from bertmod.engine.clipping import clip_global, clip_per_tensor
from bertmod.engine.data_parallel import Share, Shares
from bertmod.engine.gradient_sums import GradientSums
from bertmod.engine.groups import IdleRule
from bertmod.engine.layer_calls import LayerCalls
from bertmod.engine.loss_scale import LossScale
from bertmod.engine.offload import Masters
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.precision import autocast
from bertmod.engine.seeding import seed_torch
from bertmod.engine.settings import TrainerSettings
from bertmod.errors import TrainingError
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.packed import can_pack
from bertmod.nn.products import FastProducts


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
        loss_scale: Loss scale that it was made at; None without one.
        retries: How often it was made again at half of the loss scale.
    """

    loss: float
    losses: Mapping[str, float]
    grad_norm: float
    learning_rates: Mapping[str, float]
    features: int
    tokens: int
    loss_scale: float | None = None
    retries: int = 0

    def values(self) -> dict[str, Any]:
        """All of it as JSON values, under the names that trackers know; no scale that is none."""
        values = dict(vars(self))
        values["learning_rate"] = values.pop("learning_rates")
        if self.loss_scale is None:
            del values["loss_scale"], values["retries"]
        return values

    @property
    def retried(self) -> str:
        """At which loss scales it was not finite, and at which it was, in words."""
        assert self.loss_scale is not None
        first = self.loss_scale * 2**self.retries
        return f"not finite at loss scale {first:g}, made at {self.loss_scale:g}"


@dataclass(frozen=True)
class _Gradients:
    """What the backward passes of a whole batch gave beside the gradients themselves.

    Attributes:
        weights: Weight of each named loss.
        counts: Targets of each.
        readings: This process's sum of each loss, the global norm of the gradients before
            clipping, and whether an earlier step was not finite, if that is not known.
        ranks: The processes whose sums are added.
    """

    weights: Mapping[str, float]
    counts: Mapping[str, float]
    readings: Readings
    ranks: Ranks

    @property
    def wrong(self) -> str:
        """What is not finite, which is waited for; empty if all is well."""
        bad = [f"{name} loss {v}" for name, v in self.losses.items() if not math.isfinite(v)]
        if bad:
            return ", ".join(bad)
        if not math.isfinite(self.norm):
            return f"gradient norm {self.norm}"
        return (
            "an earlier step was not finite" if any(self._numbers[len(self.weights) + 1 :]) else ""
        )

    @cached_property
    def losses(self) -> Mapping[str, float]:
        """Mean of each named loss over all processes."""
        own = dict(zip(self.weights, self._numbers, strict=False))
        totals = self.ranks.sums(own)
        return {name: total / self.counts[name] for name, total in totals.items()}

    @property
    def norm(self) -> float:
        """Global norm of the gradients before clipping."""
        return self._numbers[len(self.weights)]

    @property
    def loss(self) -> float:
        """Weighted sum of the mean losses."""
        return sum(self.weights[name] * loss for name, loss in self.losses.items())

    @cached_property
    def _numbers(self) -> list[float]:
        return self.readings.read()


class Stepper:
    """Makes optimizer steps of one model.

    Args:
        model: The model, on its device.
        optimizer: Built over the groups of ``masters``, in the same order.
        masters: The parameters that the optimizer steps, with their peak learning rates.
        idle: What happens to parameters of other tasks.
        scale: Loss scale.
        schedule: Learning-rate multiplier.
        settings: The run's settings, device and precision resolved.
        device: Where the model is.
        loss_weights: Weight of each task's losses, by task id; 1 where absent.
        ranks: The processes that share each step.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        optimizer: Optimizer,
        masters: Masters,
        *,
        idle: IdleRule,
        scale: LossScale,
        schedule: Schedule,
        settings: TrainerSettings,
        device: torch.device,
        loss_weights: Mapping[str, float],
        ranks: Ranks,
    ) -> None:
        self._model, self._optimizer, self._masters = model, optimizer, masters
        self._idle, self._scale = idle, scale
        self._schedule, self._settings = schedule, settings
        self._device, self._loss_weights, self._ranks = device, loss_weights, ranks
        self._fast = settings.fast and not (settings.compile and device.type == "cpu")
        summed = settings.parallel == "fsdp"  # by its own backward pass
        self._trained = model
        if self._fast and not summed and device.type == "cpu":
            keep_freed_memory()
            if settings.parallel != "data_parallel":  # whose devices have other weights
                self._trained = training_model(model, settings.precision)
        self._shares = Shares(self._trained, device, parallel=settings.parallel, ranks=ranks)
        ahead = can_run_ahead(optimizer, settings, ranks=ranks, device=device)
        self._fuse = Fuse(optimizer, device) if ahead else None
        onednn = self._fast and settings.precision == "fp32" and can_pack(device, torch.float32)
        self._products = FastProducts if onednn else nullcontext
        self._sums = GradientSums(model, masters.groups, ALONE if summed else ranks)
        self._layers = LayerCalls(
            checkpointing=settings.activation_checkpointing,
            compiled=settings.compile,
            device=device,
            products=self._products,
        )

    @property
    def ahead(self) -> int:
        """Steps that may be started before the one before them is waited for."""
        return 0 if self._fuse is None else 1

    def start(
        self, step: int, task: str, micro_batches: Sequence[FeatureTable], *, total: int
    ) -> Callable[[], StepResult]:
        """Train on one global batch of one task, of which every process computes its share.

        A step that is not finite is made again at half of the loss scale, with the same rows and
        the same dropout, while there is a lower scale.

        Args:
            step: Optimizer steps finished so far.
            task: Task that all features belong to.
            micro_batches: The whole batch, cut for gradient accumulation.
            total: Length of the run in steps.

        Returns:
            What to call to wait for the result. Where a step runs ``ahead``, it raises what is
            told below, and no step after it is made either.

        Raises:
            TrainingError: If a loss or gradient is not finite; parameters are as before.
        """
        found, retries = self._gradients_to_step(step, task, micro_batches)
        rates = self._set_learning_rates(step, total)
        if self._fuse is None:
            self._optimizer.step()
        else:
            self._fuse.step(found.readings.there)
        self._masters.publish()
        self._idle.advance(task)
        made_at = self._scale.value if self._scale.used else None
        self._scale.stepped()
        self._masters.clear()
        result = partial(
            StepResult,
            learning_rates=rates,
            features=sum(len(table) for table in micro_batches),
            tokens=sum(int(table.token_bounds[-1]) for table in micro_batches),
            loss_scale=made_at,
            retries=retries,
        )

        def wait() -> StepResult:
            if found.wrong:
                raise self._failure(step, task, found.wrong, micro_batches)
            loss = found.loss * self._loss_weights.get(task, 1.0)
            return result(loss=loss, losses=found.losses, grad_norm=found.norm)

        return wait

    def _gradients_to_step(
        self, step: int, task: str, tables: Sequence[FeatureTable]
    ) -> tuple[_Gradients, int]:
        """The step's clipped gradients, and how often they had to be made again."""
        counts = self._count_targets(task, tables)
        before = self._scale.state_dict()
        for retries in itertools.count():
            found = self._gradients(step, task, tables, counts)
            if self._fuse is not None or not found.wrong:
                return found, retries
            self._masters.clear()
            if not self._scale.lower(task):
                break
        lowest = self._scale.value
        self._scale.load_state_dict(before)
        raise self._failure(step, task, found.wrong, tables, lowest=lowest)

    def _gradients(
        self,
        step: int,
        task: str,
        tables: Sequence[FeatureTable],
        counts: Mapping[str, float],
    ) -> _Gradients:
        """Backpropagate the whole batch; settle what is idle, sum, unscale, and clip."""
        self._masters.clear()
        if self._trained is not self._model:
            self._trained.training = self._model.training
            self._trained.encoder.train(self._model.training)
        sums: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        for number, table in enumerate(tables):
            last = number == len(tables) - 1
            own, shared = self._masters.backward(last=last), self._sums.backward(task, last=last)
            with shared, own, self._products():
                parts = self._forward_backward(task, table, counts, moment=(step, number))
            for name, (value, weight) in parts.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
                weights[name] = weight
        self._idle.settle(task)
        present = self._present()
        self._scale.unscale(present)
        numbers = [*sums.values(), self._clip(present)]
        if self._fuse is not None:
            numbers.append(self._fuse.blown)
        return _Gradients(weights, counts, Readings(numbers), self._ranks)

    def _count_targets(self, task: str, tables: Sequence[FeatureTable]) -> dict[str, float]:
        """Targets of each named loss over the whole accumulation window and all processes."""
        head = self._model.head(task)
        counts: dict[str, float] = {}
        for table in tables:
            for name, count in head.num_targets(host_targets(table), table.row_lengths).items():
                counts[name] = counts.get(name, 0.0) + count
        return counts

    def _forward_backward(
        self,
        task: str,
        table: FeatureTable,
        counts: Mapping[str, float],
        *,
        moment: tuple[int, int],
    ) -> dict[str, tuple[Tensor, float]]:
        """Backpropagate this process's rows of a micro-batch; sums and weights of what counts."""
        parts: dict[str, tuple[Tensor, float]] = {}
        with self._shares.spread(task) as shares:
            for share in shares:
                losses = self._losses(task, table, share, moment=moment)
                for name, (value, weight) in losses.items():
                    if counts.get(name):
                        there = value.to(self._device)
                        total = parts[name][0] + there if name in parts else there
                        parts[name] = (total, weight)
            if parts:
                scale = self._loss_weights.get(task, 1.0) * self._scale.value
                terms = [weight * value / counts[name] for name, (value, weight) in parts.items()]
                torch.autograd.backward(scale * torch.stack(terms).sum())
        return parts

    def _losses(
        self, task: str, table: FeatureTable, share: Share, *, moment: tuple[int, int]
    ) -> dict[str, tuple[Tensor, float]]:
        """Sums and weights of the losses of a share's rows; ``moment`` is step and micro-step.

        Where there are fewer rows than shares, one row is computed at weight zero: all processes
        go through the same modules.
        """
        seed_torch(self._settings.seed, "micro_step", *moment, share.ranks.rank)
        places = share.ranks.share(table.lengths)
        batch = self._collate(task, table.take(places if len(places) else np.array([0])), share)
        precision = autocast(self._settings.precision, share.device)
        with precision, self._layers.around(share.model):
            losses = share.model(batch, task).losses
        if len(places):
            return dict(losses)
        return {name: (value * 0.0, weight) for name, (value, weight) in losses.items()}

    def _collate(self, task: str, table: FeatureTable, share: Share) -> Batch:
        layout = row_layout([self._model.head(task).layout], self._settings.layout)
        alike = self._settings.compile
        return collate(
            table,
            layout=layout,
            device=share.device,
            assume_padding=alike,
            fast=self._fast,
            trim=self._fast,
        )

    def _present(self) -> list[Tensor]:
        """Every gradient that there is."""
        return [
            parameter.grad
            for group in self._masters.groups
            for _, parameter in group.parameters
            if parameter.grad is not None
        ]

    def _clip(self, gradients: Sequence[Tensor]) -> Tensor:
        limit = self._settings.max_grad_norm
        if self._settings.clip == "per_tensor" and limit is not None:
            return clip_per_tensor(gradients, limit)
        return clip_global(gradients, math.inf if limit is None else limit)

    def _failure(
        self,
        step: int,
        task: str,
        what: str,
        tables: Sequence[FeatureTable],
        *,
        lowest: float = 1.0,
    ) -> TrainingError:
        """The error for a step that is not finite at any loss scale, ``lowest`` the last tried."""
        examples = np.concatenate([table.example for table in tables]).tolist()
        scales = f" at every loss scale from {self._scale.value:g} down to {lowest:g}"
        other = "bf16 or fp32" if self._scale.used else "fp32"
        return TrainingError(
            f"step {step + 1}, task {task}: {what}{scales if self._scale.used else ''}\n"
            f"  rows of its training data in this step (from 0): {examples}\n"
            "  the step was not made; the checkpoints of earlier steps are kept\n"
            f"  look at these rows, lower the learning rate, or use precision {other}"
        )

    def _set_learning_rates(self, step: int, total: int) -> dict[str, float]:
        rates = {}
        groups = zip(self._masters.groups, self._optimizer.param_groups, strict=True)
        for group, target in groups:
            clock = self._idle.clock(group, step) + self._settings.first_step
            rates[group.name] = group.learning_rate * self._schedule(clock, total)
            target["lr"] = rates[group.name]
        return rates
