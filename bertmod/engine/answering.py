"""A model whose encoder's weights are converted once, not per batch, where they do not change."""

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
    return _packed(model, precision, frozen=False)


def training_model(model: MultiTaskModel, precision: str) -> MultiTaskModel:
    """A model that trains as another does, with the products of frozen linear layers made fast.

    As ``answering_model``, but for layers that learn: these are the model's own. What is loaded
    into frozen weights later is seen.

    Args:
        model: The model.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """
    return _packed(model, precision, frozen=True)


def _packed(model: MultiTaskModel, precision: str, *, frozen: bool) -> MultiTaskModel:
    first = next(model.encoder.parameters(), None)
    dtype = _PACKED.get(precision)
    if first is None or dtype is None or is_sharded(first) or not can_pack(first.device, dtype):
        return model
    if type(model).forward is not MultiTaskModel.forward:  # exported files answer
        return model
    if any(isinstance(each, PackedLinear) for each in model.encoder.modules()):
        return model
    encoder = packed(model.encoder, dtype, frozen=frozen)
    if encoder is model.encoder:
        return model
    ready = copy.copy(model)
    ready._modules = dict(model._modules)
    ready._modules["encoder"] = encoder
    return ready
