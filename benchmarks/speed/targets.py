"""What bertmod is to reach on two cores: ratios of real tokens per second, and shares of the rate.

Machines are told apart by the instructions that they multiply bf16 with, as ``machine.py`` names
them, and by whether there is a GPU; shapes are MiniLM's and BERT-base's.
"""

from __future__ import annotations

GPU = "GPU"
"""A machine with a GPU, whatever its processor; the steps are the GPU's."""

TRAINING: dict[str, dict[str, dict[str, float]]] = {
    GPU: {"base": {"bf16": 2.0, "bf16 128": 2.0}},
    "AVX-512 BF16": {
        "minilm": {
            "share": 0.75,
            "bf16": 2.5,
            "bf16 grouped": 1.5,
            "fp32": 3.8,
            "fp32 padded": 6.2,
            "houlsby bf16": 2.5,
            "houlsby fp32": 3.8,
        },
        "base": {
            "share": 0.85,
            "bf16": 1.75,
            "bf16 grouped": 1.2,
            "fp32": 3.1,
            "fp32 padded": 5.8,
            "houlsby bf16": 2.5,
            "houlsby fp32": 3.8,
            "pals": 6.0,
        },
    },
    "AMX": {
        "minilm": {
            "share": 0.25,
            "bf16": 3.0,
            "bf16 grouped": 2.0,
            "fp32": 5.0,
            "fp32 padded": 8.0,
            "houlsby bf16": 3.0,
            "houlsby fp32": 5.0,
        },
        "base": {
            "share": 0.4,
            "bf16": 2.5,
            "bf16 grouped": 1.7,
            "fp32": 5.0,
            "fp32 padded": 10.0,
            "houlsby bf16": 3.0,
            "houlsby fp32": 5.0,
            "pals": 10.0,
        },
    },
}

FROZEN = 1.35
"""Training with a frozen encoder over our own full fine-tuning, on any machine."""

PREDICTION = {"pipeline": 3.0, "bf16 sorted": 1.25, "onnxruntime fp32": 1.0}
PREDICTION_SHARE = {"AVX-512 BF16": 0.75}

DATA = 0.9
"""Reading, tokenising and caching, over bare tokenising."""

HELP = 2.0
"""The import of torch over ``bertmod --help``."""

FIRST_STEP_SECONDS = 3.0
"""From ``bertmod run`` to the first step, beyond the import of torch."""


def training(kind: str, shape: str, key: str) -> float | None:
    """A target of training; None where nothing is said."""
    return TRAINING.get(kind, {}).get(shape, {}).get(key)
