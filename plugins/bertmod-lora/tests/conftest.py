"""A small encoder with adapters of this distribution, and a batch for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bertmod import Adapter, Batch, Encoder
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.data.collate import collate
from bertmod.library import build_adapter, build_encoder, text_features

WORDS = ("red", "blue", "small", "large", "box", "ball")


@pytest.fixture
def encoder() -> Encoder:
    """Two layers, four heads, every parameter random: nothing stays 0 or 1."""
    torch.manual_seed(0)
    made: Any = build_encoder(
        "bert",
        vocab_size=4 + len(WORDS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
    )
    _randomise(made)
    return made.eval()


@pytest.fixture(params=["packed", "padded"])
def batch(request: pytest.FixtureRequest) -> Batch:
    """Three rows of different lengths, dropout off."""
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS], lower_case=True)
    texts = ["red box", "small blue ball red box", "large"]
    return collate(text_features(tokenizer, texts, [0, 0, 0]), layout=request.param)


@pytest.fixture
def adapter(encoder: Encoder) -> Callable[..., Adapter]:
    """Makes an adapter by name with random parameters, as if it had been trained."""

    def make(name: str, *, start: bool = False, **options: Any) -> Adapter:
        made: Any = build_adapter(encoder, "task", name, **options)
        if not start:
            _randomise(made)
        return made.eval()

    return make


def _randomise(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
