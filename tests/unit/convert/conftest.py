"""Tiny models that transformers saves, and what is in folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bertmod.recipe.opened import open_checkpoint
from bertmod.sample import sample_folder

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0.05,
    "attention_probs_dropout_prob": 0.15,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.05,
}


@pytest.fixture(scope="session")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vocabulary of the built-in sample."""
    return sample_folder(tmp_path_factory.mktemp("cache")) / "vocab.txt"


@pytest.fixture
def saved(tmp_path: Path, vocab: Path) -> Callable[..., Path]:
    """Saves a random model of an architecture as transformers does, in a folder of its own."""

    def save(architecture: str, name: str = "source", **config: Any) -> Path:
        import transformers

        torch.manual_seed(0)
        pieces = vocab.read_text(encoding="utf-8")
        options = {**SIZES, "vocab_size": pieces.count("\n"), **config}
        model = getattr(transformers, architecture)(transformers.BertConfig(**options))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        folder = tmp_path / name
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text(pieces, encoding="utf-8")
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
        return folder

    return save


@pytest.fixture(scope="session")
def values() -> Callable[[Path], dict[str, Tensor]]:
    """Every tensor of a checkpoint under its format's own names, as it is stored."""

    def read(folder: Path) -> dict[str, Tensor]:
        found = open_checkpoint(folder).tensors()
        return {tensor.name: tensor.load().clone() for tensor in found.values()}

    return read


@pytest.fixture(scope="session")
def same_values(values: Callable[[Path], dict[str, Tensor]]) -> Callable[[Path, Path], None]:
    """Asserts that two folders of one format hold the same tensors, bit by bit."""

    def check(one: Path, other: Path) -> None:
        first, second = values(one), values(other)
        first.pop("embeddings.position_ids", None)  # a constant
        assert first.keys() == second.keys()
        assert [name for name in first if not torch.equal(first[name], second[name])] == []

    return check
