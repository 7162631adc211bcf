"""Adapters built for a small encoder, as a run builds them."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertmod import AdapterContext, Batch
from bertmod.builtin.adapters.plugin import bertmod_adapters
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.sites import site_weights
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

SPECS = {spec.name: spec for spec in bertmod_adapters()}
LAYERS = (1, 3)
CONFIG = BertConfig(
    vocab_size=31,
    hidden_size=24,
    num_hidden_layers=4,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=16,
    layer_norm_eps=1e-3,
)


@pytest.fixture
def encoder() -> BertEncoder:
    """A small encoder none of whose parameters is 0 or 1."""
    torch.manual_seed(0)
    module = BertEncoder(CONFIG).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module


@pytest.fixture
def make(encoder):
    """Builds an adapter by name and options for layers 1 and 3."""

    def build(name: str, layers: tuple[int, ...] = LAYERS, **options: Any) -> SimpleNamespace:
        spec = SPECS[name]
        config = spec.config.model_validate_json(json.dumps(options))
        torch.manual_seed(1)
        weights = partial(site_weights, encoder)
        context = AdapterContext(
            "cola", encoder.shape, layers, encoder.new_layer, weights, initialise
        )
        module = spec.build(config, context).eval()
        about = (config, encoder.shape, layers)
        return SimpleNamespace(spec=spec, module=module, about=about, config=config)

    return build


@pytest.fixture
def batch() -> Batch:
    """Three rows of 5, 3 and 7 tokens."""
    context = RowContext.of(np.array([5, 3, 7]))
    ids = torch.randint(0, 31, (15,), generator=torch.Generator().manual_seed(2))
    return Batch(ids, None, torch.arange(3), {"labels": torch.tensor([0, 1, 0])}, context)
