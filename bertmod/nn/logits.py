"""The last layer of a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def full_precision(layer: nn.Linear, x: Tensor) -> Tensor:
    """What a linear layer gives in the dtype of its own weights, whatever autocast says.

    A bf16 logit near 5 is a multiple of 1/32: spans and similarities would tie, and thresholds
    would be coarse. A head's last layer is small, so that exactness costs next to nothing.

    Args:
        layer: The layer; fp32 in a model that trains.
        x: Its input, (..., inputs), any floating dtype.

    Returns:
        (..., outputs), in the dtype of the layer's weights.
    """
    with torch.autocast(x.device.type, enabled=False):
        logits: Tensor = layer(x.to(layer.weight.dtype))
    return logits
