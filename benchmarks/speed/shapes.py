"""Encoders that are measured, and the matrix products that rows need in them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

WIDTHS: dict[str, tuple[int, int, int]] = {
    "minilm": (384, 6, 12),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
"""Shape to its hidden size, layers and attention heads; the inner width is four times the hidden
size."""

MAX_POSITIONS, NUM_TYPES = 512, 2

TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
"""What a checkpoint of the Hugging Face layout may have of its tokenizer."""


def config(shape: str, *, vocab_size: int) -> dict[str, object]:
    """A shape as ``config.json`` of the Hugging Face layout."""
    hidden, layers, heads = WIDTHS[shape]
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": vocab_size,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "hidden_act": "gelu",
        "max_position_embeddings": MAX_POSITIONS,
        "type_vocab_size": NUM_TYPES,
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.02,
        "pad_token_id": 0,
    }


def checkpoint(shape: str, weights: str, folder: Path) -> Path:
    """Weights of a shape, in the Hugging Face layout.

    Args:
        shape: Key of ``WIDTHS``.
        weights: MiniLM's, which are those of its own shape; the others take their tokenizer, and
            their weights are drawn from N(0, 0.02).
        folder: Where drawn weights go.
    """
    if shape == "minilm":
        return Path(weights)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        if (Path(weights) / name).is_file():
            shutil.copy(Path(weights) / name, folder)
    vocab_size = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    values = config(shape, vocab_size=vocab_size)
    (folder / "config.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for name, sizes in _tensors(shape, vocab_size):
        tensor = torch.zeros(sizes)
        if "LayerNorm.weight" in name:
            tensor.fill_(1.0)
        elif name.endswith("weight"):
            tensor.normal_(std=0.02, generator=draw)
        tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _tensors(shape: str, vocab_size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of all tensors of an encoder."""
    hidden, layers, _ = WIDTHS[shape]
    rows = {"word": vocab_size, "position": MAX_POSITIONS, "token_type": NUM_TYPES}
    for kind, size in rows.items():
        yield f"embeddings.{kind}_embeddings.weight", (size, hidden)
    linear = {"pooler.dense": (hidden, hidden)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{at}.attention.{part}"] = (hidden, hidden)
        linear[f"{at}.intermediate.dense"] = (4 * hidden, hidden)
        linear[f"{at}.output.dense"] = (hidden, 4 * hidden)
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name, sizes in linear.items():
        yield f"{name}.weight", sizes
        yield f"{name}.bias", sizes[:1]
    for name in norms:
        yield f"{name}.weight", (hidden,)
        yield f"{name}.bias", (hidden,)


def operations(
    lengths: np.ndarray,
    shape: str,
    *,
    encoder_passes: int,
    added_weights: int = 0,
    trimmed: bool = False,
) -> float:
    """Additions and multiplications of the matrix products that a pass over rows needs.

    Embeddings, pooler and classifier are left out: they come to less than 1 %.

    Args:
        lengths: Tokens of each row, (rows,), int64.
        shape: Key of ``WIDTHS``.
        encoder_passes: Products of each matrix of the encoder: 1 forward, 2 with gradients of its
            inputs, 3 with those of its weights too.
        added_weights: Weights of adapters that a token meets in each layer; they train.
        trimmed: Whether the last layer computes keys and values of all tokens, and all else for
            each row's first token alone.
    """
    hidden, layers, _ = WIDTHS[shape]
    tokens, squares = float(lengths.sum()), float((lengths.astype(float) ** 2).sum())
    # Attention has no weights of its own: with a gradient at all, it has that of both factors.
    scores = 4 * hidden * (1 if encoder_passes == 1 else 3)
    matrix = 2 * hidden**2 * encoder_passes
    whole = 12 * matrix * tokens + scores * squares
    last = matrix * (2 * tokens + 10 * len(lengths)) + scores * tokens if trimmed else whole
    return (layers - 1) * whole + last + layers * 3 * 2 * added_weights * tokens
