"""Configurations held against the tensors beside them, for each of the PyTorch ports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError
from bertmod.recipe.opened import open_checkpoint

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefg")
FILES = {
    "huggingface": ("config.json", "pytorch_model.bin", {"model_type": "bert"}),
    "pytorch_pretrained_bert": ("bert_config.json", "pytorch_model.bin", {}),
    "bert_n_pals": ("pals_config.json", "best_model.pth", {"pals": False}),
}


@pytest.fixture(params=FILES)
def write(request, tmp_path, values, state):
    """Writes a checkpoint of a format with these changes to its configuration."""
    config, weights, own = FILES[request.param]

    def write_folder(**changes) -> tuple[Path, str]:
        (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
        (tmp_path / config).write_text(json.dumps(values | own | changes))
        torch.save({f"bert.{name}": tensor for name, tensor in state.items()}, tmp_path / weights)
        return tmp_path / config, weights

    return write_folder


def test_a_configuration_of_another_model(write) -> None:
    config, weights = write(
        hidden_size=768,
        intermediate_size="20",
        num_hidden_layers=3,
        max_position_embeddings=512,
        type_vocab_size=1,
    )
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(config.parent)
    assert str(caught.value) == (
        f"{config}: disagrees with the tensors of {weights}\n"
        "  hidden_size: 768 in the configuration, 12 in the tensors\n"
        '  intermediate_size: "20" in the configuration, 20 in the tensors\n'
        "  max_position_embeddings: 512 in the configuration, 9 in the tensors\n"
        "  type_vocab_size: 1 in the configuration, 2 in the tensors\n"
        "  num_hidden_layers: 3 in the configuration, 2 in the tensors\n"
        f"  use the {config.name} that belongs to the checkpoint"
    )


def test_heads_that_do_not_divide_the_width(write) -> None:
    config, _ = write(num_attention_heads=5)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(config.parent)
    assert str(caught.value) == (
        f"{config.parent}: encoder.num_attention_heads: 5 heads do not divide hidden_size 12\n"
        "  accepted: 1, 2, 3, 4, 6, 12"
    )


def test_sizes_that_the_configuration_leaves_out_are_the_tensors(write) -> None:
    config, _ = write(intermediate_size=None, max_position_embeddings=None, vocab_size=5)
    found = open_checkpoint(config.parent).encoder.config
    assert (found.intermediate_size, found.max_position_embeddings) == (20, 9)
    assert found.vocab_size == 11
