"""The BERT encoder.

Shape letters: T tokens, R rows, H hidden size, I width between the feed-forward layers, N heads,
D width of a head, V vocabulary, O width out of a site.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertmod import (
    Batch,
    BatchContext,
    EncoderContext,
    EncoderOutput,
    EncoderShape,
    Part,
    SiteCalls,
)
from bertmod.builtin.encoders.config import BertConfig, Dimensions, dimensions, shape
from bertmod.builtin.encoders.names import depths
from bertmod.nn.activations import activation
from bertmod.nn.initialisation import initialise
from bertmod.nn.packed import activated, is_plain
from bertmod.nn.sites import NO_SITES, visit

QKV = ("query", "key", "value")

TRIMMED_SITES = (
    "query",
    "attention_dense",
    "attention_output",
    "attention_norm",
    "ffn_up",
    "ffn_activation",
    "ffn_down",
    "ffn_output",
    "output_norm",
    "layer_output",
)
"""Sites of a layer that have no tokens but those that it gives out."""


class Embeddings(nn.Module):
    """Sum of word, position and segment embeddings, LayerNorm, dropout."""

    def __init__(self, sizes: Dimensions) -> None:
        super().__init__()
        hidden = sizes.hidden_size
        self.word_embeddings = nn.Embedding(sizes.vocab_size, hidden)
        self.position_embeddings = nn.Embedding(sizes.max_position_embeddings, hidden)
        self.token_type_embeddings = nn.Embedding(sizes.type_vocab_size, hidden)
        self.norm = nn.LayerNorm(hidden, eps=sizes.layer_norm_eps)
        self.dropout = sizes.hidden_dropout_prob

    def forward(self, batch: Batch, sites: SiteCalls) -> Tensor:
        """Embedding output, (tokens, hidden)."""
        sum_TH = self.word_embeddings(batch.input_ids_T)
        sum_TH = sum_TH + self.position_embeddings(batch.context.position_of_token_T)
        if batch.token_type_ids_T is None:
            sum_TH = sum_TH + self.token_type_embeddings.weight[0]
        else:
            sum_TH = sum_TH + self.token_type_embeddings(batch.token_type_ids_T)
        y_TH = batch.context.dropout(self.norm(sum_TH), self.dropout)
        return visit(sites, "embedding_output", 0, x_TI=sum_TH, y_TO=y_TH)


class SelfAttention(nn.Module):
    """Multi-head self-attention with its dense layer, residual and LayerNorm."""

    def __init__(self, sizes: Dimensions, layer: int) -> None:
        super().__init__()
        hidden = sizes.hidden_size
        self.layer = layer
        self.heads = (sizes.num_attention_heads, hidden // sizes.num_attention_heads)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=sizes.layer_norm_eps)
        self.dropout = sizes.hidden_dropout_prob
        self.attention_dropout = sizes.attention_probs_dropout_prob

    def forward(
        self,
        x_TH: Tensor,
        context: BatchContext,
        sites: SiteCalls,
        *,
        first_R: Tensor | None = None,
    ) -> Tensor:
        """The attention block's output, (tokens, hidden).

        Args:
            x_TH: Layer input, (tokens, hidden), compute dtype.
            context: Row layout, attention and dropout.
            sites: Adapters of the batch.
            first_R: As ``BertLayer`` takes it.
        """
        layer, dropout = self.layer, self.attention_dropout
        own_TH = x_TH if first_R is None else x_TH.index_select(0, first_R)
        q_TND, k_TND, v_TND = (
            visit(sites, site, layer, x_TI=read_TH, y_TO=y_TH).view(-1, *self.heads)
            for site, read_TH, y_TH in zip(
                QKV, (own_TH, x_TH, x_TH), self._projections(x_TH, first_R), strict=True
            )
        )
        attend = context.attention if first_R is None else context.first_attention
        mixed_TH = attend(q_TND, k_TND, v_TND, dropout=dropout).flatten(-2)
        y_TH = visit(sites, "attention_dense", layer, x_TI=mixed_TH, y_TO=self.dense(mixed_TH))
        y_TH = context.dropout(y_TH, self.dropout)
        y_TH = visit(sites, "attention_output", layer, x_TI=own_TH, y_TO=y_TH)
        sum_TH = y_TH + own_TH
        return visit(sites, "attention_norm", layer, x_TI=sum_TH, y_TO=self.norm(sum_TH))

    def _projections(self, x_TH: Tensor, first_R: Tensor | None) -> tuple[Tensor, ...]:
        """Queries, of the tokens that ``first_R`` names if it names any; keys and values of all."""
        if first_R is None:
            whole: tuple[Tensor, ...] = self.qkv(x_TH).chunk(3, dim=-1)
            return whole
        if not is_plain(self.qkv):  # packed as a whole, or hooked into
            q_TH, k_TH, v_TH = self.qkv(x_TH).chunk(3, dim=-1)
            return q_TH.index_select(0, first_R), k_TH, v_TH
        hidden = x_TH.shape[-1]
        (q_HH, kv_IH), (q_H, kv_I) = (
            torch.split(each, [hidden, 2 * hidden]) for each in (self.qkv.weight, self.qkv.bias)
        )
        q_RH = F.linear(x_TH.index_select(0, first_R), q_HH, q_H)
        return q_RH, *F.linear(x_TH, kv_IH, kv_I).chunk(2, dim=-1)


class FeedForward(nn.Module):
    """Two dense layers around an activation, with residual and LayerNorm."""

    def __init__(self, sizes: Dimensions, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.up = nn.Linear(sizes.hidden_size, sizes.intermediate_size)
        self.down = nn.Linear(sizes.intermediate_size, sizes.hidden_size)
        self.norm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)
        self.act = activation(sizes.hidden_act)
        self.dropout = sizes.hidden_dropout_prob

    def forward(
        self,
        attended_TH: Tensor,
        x_TH: Tensor,
        context: BatchContext,
        sites: SiteCalls,
        *,
        first_R: Tensor | None = None,
    ) -> Tensor:
        """Output of the layer's last LayerNorm, (tokens, hidden).

        Args:
            attended_TH: The attention block's output, (tokens, hidden), compute dtype.
            x_TH: Layer input, (tokens, hidden), compute dtype; read by deltas alone.
            context: Row layout and dropout.
            sites: Adapters of the batch.
            first_R: As ``BertLayer`` takes it.
        """
        layer = self.layer
        if sites.uses("ffn_up", layer) or sites.uses("ffn_activation", layer):
            up_TI = visit(sites, "ffn_up", layer, x_TI=attended_TH, y_TO=self.up(attended_TH))
            act_TI = visit(sites, "ffn_activation", layer, x_TI=up_TI, y_TO=self.act(up_TI))
        else:
            act_TI = activated(self.up, attended_TH, self.act)
        y_TH = visit(sites, "ffn_down", layer, x_TI=act_TI, y_TO=self.down(act_TI))
        y_TH = context.dropout(y_TH, self.dropout)
        y_TH = visit(sites, "ffn_output", layer, x_TI=attended_TH, y_TO=y_TH)
        sum_TH = y_TH + attended_TH
        if sites.uses("layer_residual", layer):
            delta_TH = sites("layer_residual", layer, x_TH, None)
            sum_TH = sum_TH + (delta_TH if first_R is None else delta_TH.index_select(0, first_R))
        return visit(sites, "output_norm", layer, x_TI=sum_TH, y_TO=self.norm(sum_TH))


class BertLayer(nn.Module):
    """One layer: attention block, then feed-forward block, each with LayerNorm behind its sum."""

    def __init__(self, sizes: Dimensions, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.attention = SelfAttention(sizes, layer)
        self.ffn = FeedForward(sizes, layer)

    def forward(
        self,
        x_TH: Tensor,
        context: BatchContext,
        sites: SiteCalls = NO_SITES,
        first_R: Tensor | None = None,
    ) -> Tensor:
        """The layer's output, (tokens, hidden).

        Args:
            x_TH: Layer input, (tokens, hidden), compute dtype.
            context: Row layout, attention and dropout.
            sites: Adapters of the batch; where ``first_R`` is given they are ``token_wise`` at
                ``TRIMMED_SITES``.
            first_R: Place of each row's first token; then the output is theirs alone, (rows,
                hidden). None: it is that of all tokens.
        """
        attended_TH = self.attention(x_TH, context, sites, first_R=first_R)
        y_TH = self.ffn(attended_TH, x_TH, context, sites, first_R=first_R)
        if first_R is not None:
            x_TH = x_TH.index_select(0, first_R)
        return visit(sites, "layer_output", self.layer, x_TI=x_TH, y_TO=y_TH)


class Pooler(nn.Module):
    """Dense layer and tanh on each row's first token."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)

    def forward(self, first_RH: Tensor) -> Tensor:
        """Pooled output, (rows, hidden)."""
        return torch.tanh(self.dense(first_RH))


class BertEncoder(nn.Module):
    """BERT from token ids to hidden states, with a site wherever an adapter may act.

    Args:
        config: Options; null ones are filled in.
        context: How to initialise; None means weights from N(0, ``initializer_range``), biases 0,
            LayerNorms 1 and 0.

    Source: Devlin et al. 2018, arXiv:1810.04805; google-research/bert modeling.py.
    """

    def __init__(self, config: BertConfig, context: EncoderContext | None = None) -> None:
        super().__init__()
        self.sizes = dimensions(config)
        self.shape: EncoderShape = shape(config)
        self.embeddings = Embeddings(self.sizes)
        self.layer = nn.ModuleList(
            BertLayer(self.sizes, layer) for layer in range(self.sizes.num_hidden_layers)
        )
        self.pooler = Pooler(self.sizes.hidden_size)
        self._context = context
        self._depths = depths(config)
        self._initialise(self)

    def forward(
        self, batch: Batch, sites: SiteCalls = NO_SITES, *, want: frozenset[Part]
    ) -> EncoderOutput:
        """Hidden states of a batch.

        Args:
            batch: Flat tokens, packed or padded.
            sites: Adapters of the batch.
            want: Parts of the output that somebody reads; without ``hidden`` and ``layers`` the
                last layer may come to each row's first token alone.
        """
        context = batch.context
        embedded_TH = hidden_TH = self.embeddings(batch, sites)
        layers = [hidden_TH]
        for block in tuple(self.layer)[:-1]:
            hidden_TH = block(hidden_TH, context, sites)
            layers.append(hidden_TH)
        trimmed, first_R = self._trims(context, sites, want), context.first_token_of_row_R
        if trimmed:
            hidden_TH = self.layer[-1](hidden_TH, context, sites, first_R)
            embedded_TH = embedded_TH.index_select(0, first_R)
        else:
            hidden_TH = self.layer[-1](hidden_TH, context, sites)
        layers.append(hidden_TH)
        hidden_TH = visit(sites, "encoder_output", 0, x_TI=embedded_TH, y_TO=hidden_TH)
        layers[-1] = hidden_TH
        pooled_RH = None
        if "pooled" in want:
            first_RH = hidden_TH if trimmed else hidden_TH.index_select(0, first_R)
            pooled_RH = self.pooler(first_RH)
        words_VH = self.embeddings.word_embeddings.weight
        return EncoderOutput(
            hidden_TH,
            pooled_RH,
            tuple(layers) if "layers" in want else None,
            words_VH if "word_embeddings" in want else None,
            trimmed,
        )

    def _trims(self, context: BatchContext, sites: SiteCalls, want: frozenset[Part]) -> bool:
        """Whether the last layer gives out first tokens alone: nobody sees the difference."""
        last = len(self.layer) - 1
        return (
            context.trim
            and type(self.layer[-1]).forward is BertLayer.forward
            and want.isdisjoint({"hidden", "layers"})
            and all(sites.token_wise(site, last) for site in TRIMMED_SITES)
            and sites.token_wise("encoder_output", 0)
        )

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """The layers, first to last."""
        return tuple(self.layer)

    def active(self, want: frozenset[Part]) -> frozenset[str]:
        """Names of the parameters that an output with these parts depends on."""
        return frozenset(
            name
            for name, _ in self.named_parameters()
            if "pooled" in want or not name.startswith("pooler.")
        )

    def depth(self, parameter: str) -> int:
        """0 for embeddings, 1 for the first layer ..., one more than the layers for the pooler."""
        return self._depths[parameter]

    def projection(self, site: str, layer: int) -> tuple[Tensor, Tensor]:
        """Views of weight (out, in) and bias (out,) behind a projection site.

        Raises:
            ValueError: If ``site`` is not a projection site of this encoder.
        """
        self._require(site, "projection")
        block = self._block(layer)
        if site in QKV:
            place, qkv = QKV.index(site), block.attention.qkv
            return qkv.weight.chunk(3)[place], qkv.bias.chunk(3)[place]
        dense = {
            "attention_dense": block.attention.dense,
            "ffn_up": block.ffn.up,
            "ffn_down": block.ffn.down,
        }[site]
        return dense.weight, dense.bias

    def norm(self, site: str, layer: int) -> tuple[Tensor, Tensor]:
        """Views of gain and offset, (hidden,) each, behind a norm site.

        Raises:
            ValueError: If ``site`` is not a norm site of this encoder.
        """
        self._require(site, "norm")
        block = self._block(layer)
        norm = block.attention.norm if site == "attention_norm" else block.ffn.norm
        return norm.weight, norm.bias

    def new_layer(self) -> nn.Module:
        """A fresh layer of the same make, for layers on top: ``layer(x_TH, context)``."""
        layer = BertLayer(self.sizes, len(self.layer))
        self._initialise(layer)
        return layer

    def _initialise(self, module: nn.Module) -> None:
        if self._context is None:
            initialise(module, std=self.sizes.initializer_range)
        else:
            self._context.init(module)

    def _block(self, layer: int) -> BertLayer:
        block = self.layer[layer]
        assert isinstance(block, BertLayer)
        return block

    def _require(self, site: str, kind: str) -> None:
        known = [name for name, each in self.shape.sites.items() if each.kind == kind]
        if site not in known:
            raise ValueError(
                f'"{site}" is not a {kind} site of this encoder; there are {", ".join(known)}'
            )
