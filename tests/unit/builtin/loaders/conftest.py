"""A tiny encoder's state dict, as the hub spells it."""

from __future__ import annotations

import pytest
import torch

from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names

VALUES = {
    "vocab_size": 11,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


@pytest.fixture
def values() -> dict[str, object]:
    """A configuration under the keys of the first PyTorch port."""
    return dict(VALUES)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """Random tensors by the names of the hub."""
    draw = torch.Generator().manual_seed(0)
    rows = names(BertConfig(**VALUES))
    return {row.stored["huggingface"]: torch.randn(row.shape, generator=draw) for row in rows}
