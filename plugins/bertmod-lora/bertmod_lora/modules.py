"""The two adapters as torch modules.

Shape letters: T tokens, I width into a site, O width out of it, R rank.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext, Projection
from bertmod_lora.options import FFN_ACTIVATION, Ia3Config, LoraConfig, sites


class Lora(nn.Module):
    """One task's low-rank updates: ``y + alpha / rank * B A dropout(x)`` at each site.

    Args:
        config: Options.
        context: Task, encoder shape and layers.

    Source: Hu et al. 2021, arXiv:2106.09685, section 4.1.
    """

    def __init__(self, config: LoraConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.token_wise = True
        self.scaling = config.alpha / config.rank
        self.dropout = config.dropout
        self.a = nn.ParameterDict()
        self.b = nn.ParameterDict()
        for site, layers in self.sites.items():
            width = context.shape.sites[site]
            for layer in layers:
                self.a[_key(site, layer)] = _start(config, width.in_width)
                self.b[_key(site, layer)] = nn.Parameter(torch.zeros(width.out_width, config.rank))

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The projection's output with the update added.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the projection, (tokens, in width), compute dtype.
            y_TO: Its output so far, (tokens, out width); never None at a projection.
            context: Dropout.

        Returns:
            (tokens, out width), compute dtype.
        """
        assert y_TO is not None
        key = _key(site, layer)
        x_TR = F.linear(context.dropout(x_TI, self.dropout), self.a[key])
        return y_TO + self.scaling * F.linear(x_TR, self.b[key])

    def merge(self, site: str, layer: int, projection: Projection) -> None:
        """Add the update to the weight behind a site.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            projection: Gives weight [O, I] and bias [O], changed in place.
        """
        weight_OI, _ = projection(site, layer)
        key = _key(site, layer)
        weight_OI += self.scaling * self.b[key] @ self.a[key]


class Ia3(nn.Module):
    """One task's scales: ``y`` times a vector at each site, all ones at the start.

    Args:
        config: Options.
        context: Task, encoder shape and layers.

    Source: Liu et al. 2022, arXiv:2205.05638, section 3.3.
    """

    def __init__(self, config: Ia3Config, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.token_wise = True
        self.scale = nn.ParameterDict(
            {
                _key(site, layer): nn.Parameter(torch.ones(context.shape.sites[site].out_width))
                for site, layers in self.sites.items()
                for layer in layers
            }
        )

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The site's output, scaled.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, not read.
            y_TO: Its output so far, (tokens, out width); never None at the accepted sites.
            context: Not read.

        Returns:
            (tokens, out width), the wider dtype of y and the scale.
        """
        del x_TI, context
        assert y_TO is not None
        scaled_TO: Tensor = y_TO * self.scale[_key(site, layer)]
        return scaled_TO

    def merge(self, site: str, layer: int, projection: Projection) -> None:
        """Scale the weights behind a site.

        A scale behind a projection scales the rows of its weight and its bias. One behind the
        feed-forward activation scales the columns of the projection that reads it, ``ffn_down``.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            projection: Gives weight [O, I] and bias [O], changed in place.

        Raises:
            ValueError: If the site is a block other than ``ffn_activation``.
        """
        scale = self.scale[_key(site, layer)]
        if site == FFN_ACTIVATION:
            weight_OI, _ = projection("ffn_down", layer)
            weight_OI *= scale
        else:
            weight_OI, bias_O = projection(site, layer)
            weight_OI *= scale[:, None]
            bias_O *= scale


def _key(site: str, layer: int) -> str:
    return f"{site}_{layer}"


def _start(config: LoraConfig, in_width: int) -> nn.Parameter:
    """The matrix A, [R, I]."""
    a_RI = torch.empty(config.rank, in_width)
    if config.init == "kaiming":
        nn.init.kaiming_uniform_(a_RI, a=math.sqrt(5))
    else:
        nn.init.normal_(a_RI, std=1 / config.rank)
    return nn.Parameter(a_RI)
