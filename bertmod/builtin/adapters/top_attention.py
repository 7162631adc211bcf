"""Attention blocks of a task's own on top of the encoder.

Shape letters: T tokens, H hidden size, A bottleneck size, N heads, D width of a head.
"""

from __future__ import annotations

from torch import Tensor, nn

from bertmod import AdapterContext, BatchContext
from bertmod.builtin.adapters.placement import widths
from bertmod.builtin.adapters.top_attention_config import SITE, TopAttentionConfig, sites


class AttentionBlock(nn.Module):
    """Self-attention with its output matrix, dropout, residual and LayerNorm.

    Args:
        config: Options.
        eps: What the LayerNorm adds to the variance.
    """

    def __init__(self, config: TopAttentionConfig, *, eps: float) -> None:
        super().__init__()
        size = config.bottleneck_size
        self.heads = (config.num_heads, size // config.num_heads)
        self.qkv = nn.Linear(size, 3 * size)
        self.dense = nn.Linear(size, size)
        self.norm = nn.LayerNorm(size, eps=eps)
        self.dropout = config.hidden_dropout_prob
        self.attention_dropout = config.attention_probs_dropout_prob

    def forward(self, x_TA: Tensor, context: BatchContext) -> Tensor:
        """The block's output, (tokens, bottleneck).

        Args:
            x_TA: Its input, (tokens, bottleneck), compute dtype.
            context: Row layout, attention and dropout.
        """
        parts = self.qkv(x_TA).chunk(3, dim=-1)
        q_TND, k_TND, v_TND = (part.view(-1, *self.heads) for part in parts)
        mixed_TND = context.attention(q_TND, k_TND, v_TND, dropout=self.attention_dropout)
        y_TA = context.dropout(self.dense(mixed_TND.flatten(-2)), self.dropout)
        normed_TA: Tensor = self.norm(y_TA + x_TA)
        return normed_TA


class TopAttention(nn.Module):
    """One task's attention blocks in a narrow space, in place of the last hidden states.

    ``V_D(blocks(V_E y))``, without a residual around it.

    Args:
        config: Options.
        context: Task and encoder shape.

    Source: Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py.
    """

    def __init__(self, config: TopAttentionConfig, context: AdapterContext) -> None:
        super().__init__()
        self.sites = sites(config, context.shape, context.layers)
        # It reads y, so that no parameter of the encoder is idle.
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        size, width = config.bottleneck_size, widths(SITE, context.shape)[1]
        eps = context.shape.layer_norm_eps
        self.down = nn.Linear(width, size)
        self.blocks = nn.ModuleList(
            AttentionBlock(config, eps=eps) for _ in range(config.num_blocks)
        )
        self.up = nn.Linear(size, width)
        context.init(self)

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
        hidden_TA = self.down(y_TO)
        for block in self.blocks:
            hidden_TA = block(hidden_TA, context)
        hidden_TH: Tensor = self.up(hidden_TA)
        return hidden_TH
