"""Full encoder layers of a task's own on top of the encoder.

Shape letters: T tokens, H hidden size, I width into the site, O width out of it.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.top_layer_config import TopLayerConfig, sites


class TopLayer(nn.Module):
    """One task's further layers of the encoder's own make, behind its last.

    Args:
        config: Options.
        context: Encoder shape, and how to make a fresh layer.

    Source: Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py.
    """

    def __init__(self, config: TopLayerConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        # It reads y, so that no parameter of the encoder is idle.
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        self.layers = nn.ModuleList(context.new_layer() for _ in range(config.num_layers))

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The task's last hidden states.

        Args:
            site: Name of the site.
            layer: 0.
            x_TI: The embeddings; not needed.
            y_TO: The encoder's last hidden states, (tokens, hidden), compute dtype.
            context: Row layout, attention and dropout.

        Returns:
            (tokens, hidden), compute dtype.
        """
        del site, layer, x_TI
        assert y_TO is not None  # only delta sites come without one
        hidden_TH = y_TO
        for own in self.layers:
            hidden_TH = own(hidden_TH, context)
        return hidden_TH
