"""Rows of tokens on their way through an encoder.

Shape letters: T tokens of a batch, R rows, N heads, D width of a head, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Arrays = Mapping[str, "np.ndarray"]
"""Named arrays on the host."""


class Span(NamedTuple):
    """Neighbouring rows of one task inside a batch.

    Attributes:
        task: Index into the run's task list.
        first_row: First row of the span.
        end_row: One past its last row.
        first_token: First token of the span.
        end_token: One past its last token.
    """

    task: int
    first_row: int
    end_row: int
    first_token: int
    end_token: int


class BatchContext(Protocol):
    """How the flat tokens of a batch lie in rows; the same for packed and padded layouts.

    Adapters that attend, drop out or need row boundaries use this object alone, so that they
    never see whether rows are packed one behind another or padded to one length.

    Attributes:
        lengths_R: Real tokens of each row, int64.
        row_of_token_T: The row of each token, int64.
        position_of_token_T: Position of each token in its row, from 0, int64.
        first_token_of_row_R: Where each row begins among the flat tokens, int64.
        task_of_row_R: Index into the run's task list, int64.
        max_length: Length of the longest row, tokens; known on the host.
        spans: The batch by task, known on the host.
        training: Whether dropout is on.
        trim: Whether an encoder may leave out hidden states that nobody wants.
    """

    @property
    def lengths_R(self) -> Tensor: ...
    @property
    def row_of_token_T(self) -> Tensor: ...
    @property
    def position_of_token_T(self) -> Tensor: ...
    @property
    def first_token_of_row_R(self) -> Tensor: ...
    @property
    def task_of_row_R(self) -> Tensor: ...
    @property
    def max_length(self) -> int: ...
    @property
    def spans(self) -> tuple[Span, ...]: ...
    @property
    def training(self) -> bool: ...
    @property
    def trim(self) -> bool: ...

    def attention(self, q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, *, dropout: float) -> Tensor:
        """Softmax attention of each row's tokens over the same row's real tokens.

        Args:
            q_TND: Queries, (tokens, heads, head width), compute dtype.
            k_TND: Keys, same shape.
            v_TND: Values, same shape.
            dropout: Probability of dropping an attention weight while training, in [0, 1).

        Returns:
            Attended values, (tokens, heads, head width), scores scaled by 1/sqrt(head width).
        """
        ...

    def first_attention(
        self, q_RND: Tensor, k_TND: Tensor, v_TND: Tensor, *, dropout: float
    ) -> Tensor:
        """The ``attention`` of each row's first token alone.

        Args:
            q_RND: Queries of the first tokens, (rows, heads, head width), compute dtype.
            k_TND: Keys of all tokens, (tokens, heads, head width).
            v_TND: Values, same shape.
            dropout: Probability of dropping an attention weight while training, in [0, 1).

        Returns:
            Attended values, (rows, heads, head width).
        """
        ...

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """``x`` with entries dropped at probability ``p`` and the rest scaled, while training."""
        ...

    def pad(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Lay flat tokens out as rows.

        Args:
            x_T: One entry per token, (tokens, ...).

        Returns:
            The rows, (rows, max_length, ...), zeros behind the end of a row; and a bool mask
            (rows, max_length), true for real tokens.
        """
        ...

    def narrow(self, span: Span) -> BatchContext:
        """The context of one span's rows alone, its tokens counted from the span's first."""
        ...

    def with_training(self, training: bool) -> BatchContext:
        """The same rows with dropout switched on or off."""
        ...


@dataclass(frozen=True)
class Batch:
    """What one forward reads.

    Attributes:
        input_ids_T: Vocabulary indices of the flat tokens, int64.
        token_type_ids_T: Segment of each token (0 or 1), int64; None means all 0.
        feature_of_row_R: Which feature of the batch each row belongs to, ascending, int64.
        targets: Named targets of the features, as their head reads them.
        context: Row layout.
    """

    input_ids_T: Tensor
    token_type_ids_T: Tensor | None
    feature_of_row_R: Tensor
    targets: Mapping[str, Tensor]
    context: BatchContext

    def narrow(self, span: Span) -> Batch:
        """One span's rows alone, as its task would have batched them, without targets.

        Targets stay behind: which of their axes are tokens of the batch, only a head knows. So
        mixed batches are for inference.

        Args:
            span: One of ``context.spans``.
        """
        rows = slice(span.first_row, span.end_row)
        tokens = slice(span.first_token, span.end_token)
        types = self.token_type_ids_T
        features = self.feature_of_row_R[rows]
        return replace(
            self,
            input_ids_T=self.input_ids_T[tokens],
            token_type_ids_T=None if types is None else types[tokens],
            feature_of_row_R=features - features[:1],
            targets={},
            context=self.context.narrow(span),
        )
