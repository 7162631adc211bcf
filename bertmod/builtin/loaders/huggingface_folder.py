"""What the files of a folder in the layout of the Hugging Face hub are called."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The file of the weights, or the index of several; the first that is there counts."""

VOCABULARY = "vocab.txt"
ADDED_TOKENS = "added_tokens.json"

ACTIVATION_NAMES = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
"""bertmod's name of an activation to the one written into configurations."""


def weights_in(folder: Path) -> Path | None:
    """The file of the weights, or their index; None if there is neither."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
