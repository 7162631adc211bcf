"""Initial values of fresh parameters."""

from __future__ import annotations

from typing import Literal

from torch import nn

LayerNormStart = Literal["ones", "normal"]
"""How a fresh LayerNorm starts: gain 1 and offset 0, or both drawn like weights."""


def initialise(
    module: nn.Module, *, std: float = 0.02, layer_norm: LayerNormStart = "ones"
) -> None:
    """Draw fresh values for every linear layer, embedding and LayerNorm inside a module.

    Weights come from a normal distribution around 0, biases are 0. The draws come from torch's
    default generator, in the order of ``module.modules()``.

    Args:
        module: Changed in place; parameters of other layers keep their values.
        std: Standard deviation of weights, positive.
        layer_norm: ``normal`` draws gains and offsets of LayerNorms too.

    Source: Devlin et al. 2018, arXiv:1810.04805; ``normal`` is what the PyTorch ports did.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=std)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            _initialise_norm(part, std=std, start=layer_norm)


def _initialise_norm(norm: nn.LayerNorm, *, std: float, start: LayerNormStart) -> None:
    if start == "normal":
        nn.init.normal_(norm.weight, std=std)
        nn.init.normal_(norm.bias, std=std)
    else:
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
