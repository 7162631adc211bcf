"""How a run trains, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bertmod.nn.context import Layout

PerParameter = float | Mapping[str, float]
"""One number, or numbers by component or name pattern; the first pattern that matches counts."""

Clip = Literal["global", "per_tensor"]
Idle = Literal["lazy", "dense", "own_clock"]
Parallel = Literal["single", "data_parallel", "ddp", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Settings of a ``Trainer``; the recipe's keys of the same names say more.

    Attributes:
        seed: Decides every random choice.
        num_epochs: Length of the run in epochs, positive.
        steps_per_epoch: Optimizer steps per epoch; None: the training features of all tasks over
            the batch size, rounded up.
        max_minutes: Time after which the run ends, minutes, positive; None: no limit.
        global_batch_size: Features per optimizer step, positive.
        gradient_accumulation_steps: Micro-steps per optimizer step; divides the batch size.
        dropout_epochs: Epochs with dropout, counted from the start; None means all.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``data_parallel`` takes no single one.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        loss_scale: Of fp16: ``dynamic``, or a positive number to start at, which never grows.
        ema: Decay of the moving average of what trains, in (0, 1), which is evaluated and kept;
            None: there is none.
        offload: ``cpu``: optimizer state and the parameters it steps are in host memory.
        parallel: ``single``, ``data_parallel``, ``ddp`` or ``fsdp``.
        activation_checkpointing: Whether a layer's activations are computed again in the backward
            pass instead of being kept.
        compile: Whether the encoder's layers are compiled.
        fast: Whether to take what is fastest on the device: on a CPU attention, dropout and memory
            made for it, without which its compiled layers do; on a GPU attention of rows as they
            lie.
        layout: Rows ``packed`` one behind another, or ``padded``.
        reshuffle: Whether every pass over a task's features has its own order.
        bucket_window: Batches whose rows are sorted by length together; 1 means none.
        learning_rate: Peak learning rate; or by component (``encoder``, ``adapters``, ``heads``)
            or name pattern, patterns first.
        layer_decay: Factor of the encoder's learning rates from a layer to the one below it, in
            (0, 1]; the pooler has its full rate.
        weight_decay: Weight decay, 0 or more; or by component or name pattern likewise.
        clip: Clip the global gradient norm, or each tensor's own.
        max_grad_norm: Norm to clip to, positive; None means no clipping.
        idle: What happens to the parameters of tasks that sit out a step.
        decay_vectors: Whether vectors other than biases and LayerNorms are weight-decayed.
        first_step: Step at which the schedule starts, 0 or 1.
        evaluate_every: Steps between evaluations; None means once an epoch.
        evaluation_batch_size: Features per evaluation batch, positive.
        select: ``mean``: keep the best mean and each task's best; ``sum``: the best sum alone.
        keep_best: Whether any best state is kept.
        save_every: Steps between checkpoints; None means at evaluations.
        keep: Checkpoints kept, positive.
    """

    seed: int = 42
    num_epochs: int = 3
    steps_per_epoch: int | None = None
    max_minutes: float | None = None
    global_batch_size: int = 32
    gradient_accumulation_steps: int = 1
    dropout_epochs: int | None = None
    device: str = "auto"
    precision: str = "auto"
    loss_scale: float | Literal["dynamic"] = "dynamic"
    ema: float | None = None
    offload: Literal["cpu"] | None = None
    parallel: Parallel = "single"
    activation_checkpointing: bool = False
    compile: bool = False
    fast: bool = True
    layout: Layout = "packed"
    reshuffle: bool = True
    bucket_window: int = 8
    learning_rate: PerParameter = 5e-5
    layer_decay: float = 1.0
    weight_decay: PerParameter = 0.01
    clip: Clip = "global"
    max_grad_norm: float | None = 1.0
    idle: Idle = "lazy"
    decay_vectors: bool = False
    first_step: int = 0
    evaluate_every: int | None = None
    evaluation_batch_size: int = 64
    select: Literal["mean", "sum"] = "mean"
    keep_best: bool = True
    save_every: int | None = None
    keep: int = 2
