"""How the flat tokens of a batch lie in rows: packed one behind another, or padded.

Shape letters: T tokens, R rows, L length of the longest row, N heads, D width of a head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertmod.contracts.batch import Span

Layout = Literal["packed", "padded"]


@dataclass(frozen=True)
class RowContext:
    """Row layout of a batch, and the operations that need it.

    Attributes:
        lengths_R: Real tokens of each row, int64.
        slot_of_token_T: Place of each flat token in the padded rows, ``row * max_length +
            position``, int64; None where the flat tokens already are the padded rows.
        task_of_row_R: Index into the run's task list, int64.
        max_length: Length of the padded rows, tokens.
        spans: The batch by task.
        full: Whether every row has ``max_length`` real tokens, so that no mask is needed.
        training: Whether dropout is on.
    """

    lengths_R: Tensor
    slot_of_token_T: Tensor | None
    task_of_row_R: Tensor
    max_length: int
    spans: tuple[Span, ...]
    full: bool
    training: bool = False

    @classmethod
    def of(
        cls,
        lengths: np.ndarray,
        *,
        layout: Layout = "packed",
        tasks: Sequence[int] | None = None,
        length: int | None = None,
        device: torch.device | str = "cpu",
        training: bool = False,
    ) -> RowContext:
        """The context of rows with these lengths.

        Args:
            lengths: Real tokens of each row, (rows,), positive.
            layout: ``packed``: only real tokens; ``padded``: rows of one length.
            tasks: Task index of each row, ascending; None means all 0.
            length: Length of the padded rows; None means the longest row's.
            device: Where the tensors go.
            training: Whether dropout is on.

        Raises:
            ValueError: If there are no rows, a row is empty or longer than ``length``, or the
                rows of a task do not lie together.
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        if not len(lengths) or lengths.min() < 1:
            raise ValueError("a batch needs at least one row, and every row at least one token")
        longest = int(lengths.max())
        max_length = longest if length is None else length
        if longest > max_length:
            raise ValueError(f"a row of {longest} tokens does not fit into {max_length}")
        task_of_row = np.zeros(len(lengths), np.int64) if tasks is None else np.asarray(tasks)
        per_row = lengths if layout == "packed" else np.full_like(lengths, max_length)
        full = bool((lengths == max_length).all())
        slots = None
        if layout == "packed" and not full:
            slots = torch.from_numpy(_slots(lengths, max_length)).to(device)
        return cls(
            lengths_R=torch.from_numpy(lengths).to(device),
            slot_of_token_T=slots,
            task_of_row_R=torch.from_numpy(task_of_row.astype(np.int64)).to(device),
            max_length=max_length,
            spans=_spans(task_of_row, per_row),
            full=full,
            training=training,
        )

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.lengths_R.shape[0]

    @cached_property
    def row_of_token_T(self) -> Tensor:
        """The row of each flat token, (tokens,), int64."""
        return self._slots_T // self.max_length

    @cached_property
    def position_of_token_T(self) -> Tensor:
        """Position of each flat token in its row, (tokens,), int64."""
        return self._slots_T % self.max_length

    @cached_property
    def first_token_of_row_R(self) -> Tensor:
        """Where each row begins among the flat tokens, (rows,), int64."""
        if self.slot_of_token_T is None:
            rows = torch.arange(self.num_rows, device=self.lengths_R.device)
            return rows * self.max_length
        return self.lengths_R.cumsum(0) - self.lengths_R

    @cached_property
    def mask_RL(self) -> Tensor:
        """True for real tokens of the padded rows, (rows, max_length), bool."""
        positions = torch.arange(self.max_length, device=self.lengths_R.device)
        return positions < self.lengths_R[:, None]

    @cached_property
    def _slots_T(self) -> Tensor:
        if self.slot_of_token_T is not None:
            return self.slot_of_token_T
        return torch.arange(self.num_rows * self.max_length, device=self.lengths_R.device)

    def attention(self, q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, *, dropout: float) -> Tensor:
        """Softmax attention within rows; see ``BatchContext.attention``."""
        q, k, v = (self._rows(x).transpose(1, 2) for x in (q_TND, k_TND, v_TND))
        mask = None if self.full else self.mask_RL[:, None, None, :]
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout if self.training else 0.0
        )
        return self._flat(out.transpose(1, 2))

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """``x`` with entries dropped at probability ``p`` while training."""
        return F.dropout(x, p, training=True) if self.training and p > 0.0 else x

    def pad(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (rows, max_length, ...) with zeros behind each row's end, and their mask."""
        x_RL = self._rows(x_T)
        if self.slot_of_token_T is None and not self.full:
            mask = self.mask_RL.view(*self.mask_RL.shape, *(1,) * (x_RL.dim() - 2))
            x_RL = x_RL.masked_fill(~mask, 0)
        return x_RL, self.mask_RL

    def narrow(self, span: Span) -> RowContext:
        """The context of one span's rows, its tokens counted from the span's first."""
        if len(self.spans) == 1:
            return self
        rows = slice(span.first_row, span.end_row)
        slots = self.slot_of_token_T
        if slots is not None:
            slots = slots[span.first_token : span.end_token] - span.first_row * self.max_length
        moved = Span(
            span.task,
            0,
            span.end_row - span.first_row,
            0,
            span.end_token - span.first_token,
        )
        return replace(
            self,
            lengths_R=self.lengths_R[rows],
            slot_of_token_T=slots,
            task_of_row_R=self.task_of_row_R[rows],
            spans=(moved,),
        )

    def with_training(self, training: bool) -> RowContext:
        """The same rows with dropout switched on or off."""
        return self if training == self.training else replace(self, training=training)

    def _rows(self, x_T: Tensor) -> Tensor:
        """Flat tokens as (rows, max_length, ...); what lies behind a row's end is finite."""
        shape = (self.num_rows, self.max_length, *x_T.shape[1:])
        if self.slot_of_token_T is None:
            return x_T.reshape(shape)
        rows = x_T.new_zeros((shape[0] * shape[1], *x_T.shape[1:]))
        return rows.index_copy(0, self.slot_of_token_T, x_T).view(shape)

    def _flat(self, x_RL: Tensor) -> Tensor:
        flat = x_RL.reshape(-1, *x_RL.shape[2:])
        return flat if self.slot_of_token_T is None else flat.index_select(0, self.slot_of_token_T)


def _slots(lengths: np.ndarray, max_length: int) -> np.ndarray:
    starts = np.cumsum(lengths) - lengths
    offsets = np.arange(len(lengths), dtype=np.int64) * max_length - starts
    slots: np.ndarray = np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(offsets, lengths)
    return slots


def _spans(task_of_row: np.ndarray, tokens_of_row: np.ndarray) -> tuple[Span, ...]:
    changes = np.flatnonzero(np.diff(task_of_row)) + 1
    rows = [0, *changes.tolist(), len(task_of_row)]
    tokens = np.concatenate(([0], np.cumsum(tokens_of_row)))
    spans = tuple(
        Span(int(task_of_row[a]), a, b, int(tokens[a]), int(tokens[b]))
        for a, b in itertools.pairwise(rows)
    )
    if len({span.task for span in spans}) < len(spans):
        raise ValueError("the rows of one task must lie together in a batch")
    return spans
