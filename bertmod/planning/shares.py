"""What one of several processes holds, by what one holds that computes its share alone."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import cast

from torch.nn import Module

from bertmod.contracts.encoder import Encoder
from bertmod.engine.allocation import give_back_freed_memory
from bertmod.engine.gradient_sums import BUCKET
from bertmod.model.multitask import MultiTaskModel
from bertmod.planning.memory import Memory


def prepare_process(parallel: str) -> None:
    """Import what one of several processes does, and have its memory managed likewise."""
    if parallel == "fsdp":
        give_back_freed_memory()
        import_module("torch.distributed.fsdp")
        import_module("torch.distributed.checkpoint.hf_storage")


def of_one_process(
    memory: Memory, model: MultiTaskModel, *, processes: int, parallel: str
) -> Memory:
    """The memory of the process that holds most.

    Args:
        memory: What a process took that had the whole model and its share of the rows.
        model: That model.
        processes: How many share it, at least two.
        parallel: ``fsdp`` if each has a part of the model; else each has all of it.
    """
    largest = 4 * max(parameter.numel() for parameter in model.parameters())
    if parallel != "fsdp":  # a bucket of gradients on its way, beside the gradients
        bucket = min(memory.gradients, max(4 * BUCKET, largest))
        return replace(memory, peak=memory.peak + bucket)
    parts = {
        name: getattr(memory, name) // processes for name in ("weights", "gradients", "optimizer")
    }
    spared = memory.weights + memory.gradients + memory.optimizer - sum(parts.values())
    # the main process has the whole model, too, in host memory, to write it
    whole = memory.weights if memory.host is None else 0
    host = None if memory.host is None else memory.host + memory.weights
    peak = memory.peak - spared + _together(model) + whole
    return replace(memory, peak=peak, host=host, **parts)


def _together(model: MultiTaskModel) -> int:
    """Bytes that are put together for a forward and backward pass, with gradients.

    These are the parameters outside the encoder's blocks, and two blocks.
    """
    blocks = [_bytes(block) for block in cast(Encoder, model.encoder).blocks]
    root = _bytes(model) - sum(blocks)
    return 2 * (root + 2 * max(blocks, default=0))


def _bytes(module: Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())
