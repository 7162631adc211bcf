"""Learned hidden unit contributions.

Shape letters: T tokens, I width into the site, O width out of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.lhuc_config import LhucConfig, sites


class Lhuc(nn.Module):
    """One task's factor for every unit of a site's output, between 0 and 2.

    ``y * 2 * sigmoid(r)``; r starts at 0, where nothing changes.

    Args:
        config: Options.
        context: Task, encoder shape and layers.

    Source: Swietojanski and Renals 2014, Learning hidden unit contributions for unsupervised
    speaker adaptation of neural network acoustic models; Bert-n-Pals modeling.py.
    """

    def __init__(self, config: LhucConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.token_wise = True
        width = context.shape.sites[config.site].out_width
        self.scale = nn.ParameterDict(
            {str(layer): nn.Parameter(torch.zeros(width)) for layer in self.sites[config.site]}
        )

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The site's output, each unit scaled.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site; not needed.
            y_TO: Output of the site so far, (tokens, out width), compute dtype.
            context: Row layout; not needed.

        Returns:
            (tokens, out width), compute dtype.

        Raises:
            ValueError: If no adapter acted before it at a delta site, so that there is no y.
        """
        del x_TI, context
        if y_TO is None:
            raise ValueError(f'nothing to scale at "{site}": an adapter must act there before it')
        return y_TO * (2 * torch.sigmoid(self.scale[str(layer)]))
