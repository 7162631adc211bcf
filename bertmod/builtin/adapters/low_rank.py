"""Low-rank layers.

Shape letters: T tokens, I width into the site, O width out of it.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.low_rank_config import LowRankConfig, sites
from bertmod.builtin.adapters.placement import widths
from bertmod.nn.activations import activation


class LowRank(nn.Module):
    """One task's low-rank layers: a bottleneck of its own beside each encoder layer.

    Adds ``V_D(act(V_E x))`` at its site.

    Args:
        config: Options.
        context: Task, encoder shape and layers.

    Source: Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py.
    """

    def __init__(self, config: LowRankConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.token_wise = True
        size, (width_in, width_out) = config.bottleneck_size, widths(config.site, context.shape)
        layers = [str(layer) for layer in self.sites[config.site]]
        self.down = nn.ModuleDict({key: nn.Linear(width_in, size) for key in layers})
        self.up = nn.ModuleDict({key: nn.Linear(size, width_out) for key in layers})
        self.act = activation(config.hidden_act)
        context.init(self)

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The site's output with the layer's low-rank map of its input added.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, (tokens, in width), compute dtype.
            y_TO: Output of the site so far, (tokens, out width); None counts as 0.
            context: Row layout; not needed.

        Returns:
            (tokens, out width), compute dtype.
        """
        del site, context
        delta_TO: Tensor = self.up[str(layer)](self.act(self.down[str(layer)](x_TI)))
        return delta_TO if y_TO is None else y_TO + delta_TO
