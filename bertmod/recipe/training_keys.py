"""The recipe's ``training``: length, batches and arithmetic of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bertmod.recipe.envelope import Envelope


class TrainingKeys(Envelope):
    """Length, batches and arithmetic of a run."""

    num_epochs: int = Field(3, ge=1, description="Length of the run, epochs; at least 1.")
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps of an epoch, at least 1; null: the tasks' summed sizes over "
        "global_batch_size, rounded up.",
    )
    max_minutes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Time after which the run ends at the next step, minutes, above 0; the parts "
        "before a resume count; null: no limit.",
    )
    global_batch_size: int = Field(
        32, ge=1, description="Features of an optimizer step over all processes, at least 1."
    )
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        description="Micro-steps of an optimizer step, at least 1; divides every batch size.",
    )
    dropout_epochs: int | None = Field(
        None, ge=0, description="Epochs with dropout, from the first; null: all."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Arithmetic of the forward: auto is bf16 where this machine multiplies it "
        "faster, else fp32. Parameters are fp32 always.",
    )
    loss_scale: Literal["dynamic"] | Annotated[float, Field(ge=2**-14, le=2**32)] = Field(
        "dynamic",
        description="Factor of the loss in fp16, halved when a step overflows, which is then made "
        "again: dynamic starts at 65536 and doubles after 2,000 good steps; a number, from 2**-14 "
        "to 2**32, is where it starts, and it never grows.",
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of an exponential moving average of what trains, above 0, below 1, "
        "which is what evaluations score and best/ and final/ keep; step n decays by at most "
        "(1 + n) / (10 + n); null: no average.",
    )
    offload: Literal["cpu"] | None = Field(
        None,
        description="cpu: fp32 copies of the parameters and the optimizer's state are in host "
        "memory, and the optimizer steps there; null: on the device.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$",
        description="auto, cpu, cuda, or cuda:N for the N-th GPU from 0.",
    )
    parallel: Literal["auto", "single", "data_parallel", "ddp", "fsdp"] = Field(
        "auto",
        description="How a step is shared. One process: single, or data_parallel over all its "
        "GPUs. Several: ddp, each has the whole model; fsdp, each has a part of it. auto: ddp "
        "under --nproc or torchrun, else single.",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Whether a layer's activations are computed again in the backward pass "
        "instead of being kept: less memory, about a third more time, the same steps.",
    )
    compile: bool = Field(
        False,
        description="Whether torch.compile compiles the encoder's layers: the same steps but for "
        "rounding. It needs a C++ compiler, on a GPU Triton.",
    )
    fast: bool = Field(
        True,
        description="Whether to take what is fastest on the device: on a CPU attention, dropout, "
        "products and memory made for it, and weights that do not change converted once; on a GPU "
        "flash attention of rows as they lie; on both, no hidden states that nobody reads. The "
        "same but for rounding and other dropout masks. Layers compiled for a CPU do without; "
        "false: torch's own everywhere.",
    )
    layout: Literal["packed", "padded"] = Field(
        "packed",
        description="How rows lie in a batch: one behind another, or padded to the longest.",
    )
