"""A model made ready to answer many rows: its encoder's weights converted once, not per batch."""

from __future__ import annotations

import copy

import torch

from bertmod.engine.sharding import is_sharded
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.packed import PackedLinear, can_pack, packed

_PACKED = {"fp32": torch.float32, "bf16": torch.bfloat16}


def answering_model(model: MultiTaskModel, precision: str) -> MultiTaskModel:
    """A model that answers as another does, with the products of its encoder made fast.

    On an x86 CPU the weights of the encoder's linear layers are converted to the precision and
    laid out for oneDNN; all else is shared. Answers differ from the plain model's by rounding.
    Elsewhere, and where it is ready already, the model itself comes back.

    Args:
        model: The model, whose encoder does not change as long as the new one is used.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    first = next(model.encoder.parameters(), None)
    dtype = _PACKED.get(precision)
    if first is None or dtype is None or is_sharded(first) or not can_pack(first.device, dtype):
        return model
    if type(model).forward is not MultiTaskModel.forward:  # exported files answer
        return model
    if any(isinstance(each, PackedLinear) for each in model.encoder.modules()):
        return model
    ready = copy.copy(model)
    ready._modules = dict(model._modules)
    ready._modules["encoder"] = packed(model.encoder, dtype)
    return ready
