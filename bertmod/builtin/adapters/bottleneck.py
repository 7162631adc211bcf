"""Bottleneck adapters.

Shape letters: T tokens, I width into the site, O width out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.bottleneck_config import BottleneckConfig, input_width, sites
from bertmod.builtin.adapters.placement import widths
from bertmod.nn.activations import activation

CUT_OFF = 2.0
"""Where the normal distribution of fresh weights is cut off, standard deviations."""


class Bottleneck(nn.Module):
    """One task's bottlenecks behind blocks of the encoder, and LayerNorms of its own.

    At a site, ``y + W2(act(W1 y))``, or ``y + W2(act(W1 x))`` where it is parallel to the block.

    Args:
        config: Options.
        context: Task, encoder shape, layers and the encoder's LayerNorms.

    Source: Houlsby et al. 2019, arXiv:1902.00751; google-research/adapter-bert modeling.py. The
    parallel form: Bert-n-Pals modeling.py.
    """

    def __init__(self, config: BottleneckConfig, context: AdapterContext) -> None:
        super().__init__()
        shape = context.shape
        self.sites = sites(config, shape, context.layers)
        self.token_wise = True
        own = config.layer_norms
        self.replaces = frozenset((site, layer) for site in own for layer in self.sites[site])
        self.parallel = frozenset(config.parallel)
        size = config.bottleneck_size
        self.down = self._table(
            config.sites, lambda site: nn.Linear(input_width(config, site, shape), size)
        )
        self.up = self._table(config.sites, lambda site: nn.Linear(size, widths(site, shape)[1]))
        self.norm = self._table(
            own, lambda site: nn.LayerNorm(widths(site, shape)[1], eps=shape.layer_norm_eps)
        )
        self.act = activation(config.hidden_act)
        context.init(self)
        if config.init_scale is not None:
            self._draw(config.init_scale)
        self._copy_norms(context)

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The site's output with the bottleneck's added, or the task's own LayerNorm.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, (tokens, in width), compute dtype.
            y_TO: Output of the site so far, (tokens, out width), compute dtype.
            context: Row layout; not needed.

        Returns:
            (tokens, out width), compute dtype.
        """
        del context
        key = str(layer)
        if site in self.norm:
            own_TO: Tensor = self.norm[site][key](x_TI)  # type: ignore[index]
            return own_TO
        assert y_TO is not None  # only delta sites come without one, and those are refused
        read = x_TI if site in self.parallel else y_TO
        delta_TO: Tensor = self.up[site][key](self.act(self.down[site][key](read)))  # type: ignore[index]
        return y_TO + delta_TO

    def _table(self, chosen: Sequence[str], make: Callable[[str], nn.Module]) -> nn.ModuleDict:
        """A module per site and layer."""
        return nn.ModuleDict(
            {
                site: nn.ModuleDict({str(layer): make(site) for layer in self.sites[site]})
                for site in chosen
            }
        )

    def _draw(self, scale: float) -> None:
        """Weights of the projections from a normal distribution without its tails."""
        for part in (*self.down.modules(), *self.up.modules()):
            if isinstance(part, nn.Linear):
                far = CUT_OFF * scale
                nn.init.trunc_normal_(part.weight, std=scale, a=-far, b=far)

    @torch.no_grad()
    def _copy_norms(self, context: AdapterContext) -> None:
        """Start the task's LayerNorms from the encoder's."""
        for site, layer in sorted(self.replaces):
            gain, offset = context.weights(site, layer)
            norm = self.norm.get_submodule(f"{site}.{layer}")
            assert isinstance(norm, nn.LayerNorm)
            norm.weight.copy_(gain)
            norm.bias.copy_(offset)
