"""Projected attention layers.

Shape letters: T tokens, I width into the site, O width out of it, A bottleneck size, N heads,
D width of a head.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.pals_config import SHARED, PalsConfig, sites
from bertmod.builtin.adapters.placement import widths
from bertmod.nn.activations import activation


class Pals(nn.Module):
    """One task's projected attention layers: a small self-attention beside each encoder layer.

    Adds ``act(V_D(attention(V_E x)))`` at its site. The attention has no output matrix, and the
    activation comes after V_D; V_E and V_D may be shared by all layers of the task.

    Args:
        config: Options.
        context: Task, encoder shape and layers.

    Source: Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py.
    """

    def __init__(self, config: PalsConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.share_projections = config.share_projections
        size, (width_in, width_out) = config.bottleneck_size, widths(config.site, context.shape)
        layers = [str(layer) for layer in self.sites[config.site]]
        pairs = [SHARED] if config.share_projections else layers
        self.down = nn.ModuleDict({key: nn.Linear(width_in, size) for key in pairs})
        self.up = nn.ModuleDict({key: nn.Linear(size, width_out) for key in pairs})
        self.qkv = nn.ModuleDict({key: nn.Linear(size, 3 * size) for key in layers})
        self.heads = (config.num_heads, size // config.num_heads)
        self.act = activation(config.hidden_act)
        self.dropout = config.attention_probs_dropout_prob
        context.init(self)

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The site's output with the attended bottleneck added.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, (tokens, in width), compute dtype.
            y_TO: Output of the site so far, (tokens, out width); None counts as 0.
            context: Row layout and attention.

        Returns:
            (tokens, out width), compute dtype.
        """
        del site
        pair = SHARED if self.share_projections else str(layer)
        qkv_TA = self.qkv[str(layer)](self.down[pair](x_TI))
        q_TND, k_TND, v_TND = (part.view(-1, *self.heads) for part in qkv_TA.chunk(3, dim=-1))
        mixed_TA = context.attention(q_TND, k_TND, v_TND, dropout=self.dropout).flatten(-2)
        delta_TO: Tensor = self.act(self.up[pair](mixed_TA))
        return delta_TO if y_TO is None else y_TO + delta_TO
