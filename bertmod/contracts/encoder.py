"""What an encoder is: token ids to hidden states, calling adapters at named sites.

Shape letters: T tokens of a batch, R rows, H hidden size, I and O widths into and out of a site,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from bertmod.contracts.batch import Batch, Span
    from bertmod.contracts.checkpoint import TensorName

Part = Literal["hidden", "layers", "pooled", "word_embeddings"]
"""A part of an encoder's output that a head may want."""

SiteKind = Literal["projection", "block", "delta", "norm"]
"""What x and y are at a site: see the reference page on sites."""


class Site(NamedTuple):
    """A named place where adapters act.

    Attributes:
        kind: How x and y relate there.
        in_width: Width of x.
        out_width: Width of y.
    """

    kind: SiteKind
    in_width: int
    out_width: int


@dataclass(frozen=True)
class EncoderShape:
    """What can be known of an encoder before a tensor is made.

    Attributes:
        hidden_size: Width of the hidden states.
        num_hidden_layers: Number of layers.
        max_length: Longest row, tokens.
        sites: Where adapters may act, in the order in which a layer comes to them.
        provides: Which parts its output can have.
        end_sites: Sites outside the layers: called once, with layer 0, whatever ``layers`` says.
        layer_norm_eps: What its LayerNorms add to the variance, for LayerNorms of a task's own.
        layer_names: Names of the tensors of a fresh layer (``new_layer``), relative to the layer
            here and in each format; empty: no layers can be put on top.
        vocab_size: Rows of the word-embedding matrix; None only where the output has none.
        type_vocab_size: Token types that it tells apart, from 0, of which the second text of a
            pair has 1; None: it takes any.
    """

    hidden_size: int
    num_hidden_layers: int
    max_length: int
    sites: Mapping[str, Site]
    provides: frozenset[Part]
    end_sites: frozenset[str] = frozenset()
    layer_norm_eps: float = 1e-12
    layer_names: tuple[TensorName, ...] = ()
    vocab_size: int | None = None
    type_vocab_size: int | None = None


@dataclass(frozen=True)
class EncoderContext:
    """What an encoder's builder gets beside its options.

    Attributes:
        init: Puts the recipe's initial values into a module's parameters.
    """

    init: Callable[[Module], None]


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder gives to heads; parts nobody wanted are None.

    Attributes:
        hidden_TH: Last hidden states, compute dtype; if ``trimmed`` of first tokens alone, [R, H].
        pooled_RH: One vector per row.
        layers: The embedding output and one entry per layer, each [T, H].
        word_embeddings_VH: The word-embedding matrix itself.
        trimmed: Whether only the hidden states of each row's first token were computed, because
            nobody wanted them and the batch's context has ``trim``.
    """

    hidden_TH: Tensor
    pooled_RH: Tensor | None = None
    layers: tuple[Tensor, ...] | None = None
    word_embeddings_VH: Tensor | None = None
    trimmed: bool = False

    def narrow(self, span: Span) -> EncoderOutput:
        """The part of one span's rows and tokens; word embeddings belong to every part."""
        tokens = slice(span.first_token, span.end_token)
        rows = slice(span.first_row, span.end_row)
        pooled, layers = self.pooled_RH, self.layers
        return replace(
            self,
            hidden_TH=self.hidden_TH[rows if self.trimmed else tokens],
            pooled_RH=None if pooled is None else pooled[rows],
            layers=None if layers is None else tuple(layer[tokens] for layer in layers),
        )


class SiteCalls(Protocol):
    """What an encoder calls at its sites: the adapters of the batch, already chosen."""

    def uses(self, site: str, layer: int) -> bool:
        """Whether any adapter acts there; a site nobody uses costs nothing."""
        ...

    def token_wise(self, site: str, layer: int) -> bool:
        """Whether all that acts there does so on each token by itself.

        Then a call may have any of the batch's tokens instead of all.
        """
        ...

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """The new y. Neither x nor y is written to; y is None only at a delta site."""
        ...


class Encoder(Protocol):
    """A torch module from a batch to hidden states."""

    @property
    def shape(self) -> EncoderShape: ...
    @property
    def blocks(self) -> Sequence[Module]: ...

    def __call__(self, batch: Batch, sites: SiteCalls, *, want: frozenset[Part]) -> EncoderOutput:
        """Hidden states of a batch, with the parts that ``want`` names."""
        ...

    def active(self, want: frozenset[Part]) -> frozenset[str]:
        """Names of the parameters that an output with these parts depends on."""
        ...

    def depth(self, parameter: str) -> int:
        """How far from the input a parameter lies, as its ``TensorName.depth`` says."""
        ...

    def projection(self, site: str, layer: int) -> tuple[Tensor, Tensor]:
        """Views of weight [O, I] and bias [O] behind a projection site.

        Raises:
            ValueError: If ``site`` is not a projection site of this encoder.
        """
        ...

    def norm(self, site: str, layer: int) -> tuple[Tensor, Tensor]:
        """Views of gain and offset, [O] each, behind a norm site.

        Raises:
            ValueError: If ``site`` is not a norm site of this encoder.
        """
        ...

    def new_layer(self) -> Module:
        """A fresh layer of the same make, called ``layer(x_TH, context)``."""
        ...
