"""How the flat tokens of a batch lie in rows: packed one behind another, or padded.

Shape letters: T flat tokens, R rows, L length of the padded rows, N heads, D width of a head.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertmod.contracts.batch import Span
from bertmod.nn.answer_attention import AnswerPlaces, answer_attention
from bertmod.nn.attention import RowPlaces, fast_attention
from bertmod.nn.dropout import fast_dropout
from bertmod.nn.transfer import to_device
from bertmod.nn.varlen import has_varlen, segment_bounds, takes_varlen, varlen_attention

Layout = Literal["packed", "padded"]


@dataclass(frozen=True)
class RowContext:
    """Row layout of a batch, and the operations that need it.

    Attributes:
        lengths_R: Real tokens of each row, int64; they lead their row.
        first_token_of_row_R: Where each row begins among the flat tokens, int64.
        slot_of_token_T: Place of each flat token in the padded rows, ``row * max_length +
            position``, ascending, int64.
        mask_RL: True for real tokens of the padded rows, bool.
        task_of_row_R: Index into the run's task list, int64.
        max_length: Length of the padded rows, tokens.
        spans: The batch by task.
        dense: Whether the flat tokens are the padded rows.
        full: Whether no row has padding, so that attention needs no mask.
        training: Whether dropout is on.
        fast: Whether attention and dropout are those of ``nn/attention.py`` and ``nn/dropout.py``,
            made for training on a CPU, instead of torch's.
        trim: Whether hidden states that nobody wants may be left out.
        bounds_S: Segments of flat tokens, as ``segment_bounds`` gives them, for attention on a
            GPU; None: that is torch's own, of padded rows.
    """

    lengths_R: Tensor
    first_token_of_row_R: Tensor
    slot_of_token_T: Tensor
    mask_RL: Tensor
    task_of_row_R: Tensor
    max_length: int
    spans: tuple[Span, ...]
    dense: bool
    full: bool
    training: bool = False
    fast: bool = False
    trim: bool = False
    bounds_S: Tensor | None = None

    @classmethod
    def of(
        cls,
        lengths: np.ndarray,
        *,
        layout: Layout = "packed",
        tasks: Sequence[int] | None = None,
        length: int | None = None,
        token_multiple: int = 1,
        device: torch.device | str = "cpu",
        training: bool = False,
        assume_padding: bool = False,
        fast: bool = False,
        trim: bool = False,
    ) -> RowContext:
        """The context of rows with these lengths.

        Args:
            lengths: Real tokens of each row, (rows,), positive.
            layout: ``packed``: only real tokens, but for ``token_multiple``; ``padded``: rows of
                one length.
            tasks: Task index of each row, ascending; None means all 0.
            length: Length of the padded rows; None means the longest row's.
            token_multiple: Round the number of packed tokens up to a multiple of this.
            device: Where the tensors go.
            training: Whether dropout is on.
            assume_padding: Whether to compute as if some row had padding, also where none has:
                then batches of a layout differ in their sizes alone, which compiled code wants.
            fast: Whether to use the operations that are the fastest on the device.
            trim: Whether hidden states that nobody wants may be left out.

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
        stored = stored_lengths(lengths, layout, max_length, token_multiple=token_multiple)
        device = torch.device(device)
        tensor, varlen = partial(_int64, device=device), fast and has_varlen(device)
        return cls(
            lengths_R=tensor(lengths),
            first_token_of_row_R=tensor(np.cumsum(stored) - stored),
            slot_of_token_T=tensor(places(stored, np.arange(len(stored)) * max_length)),
            mask_RL=to_device(np.arange(max_length) < lengths[:, None], device),
            task_of_row_R=tensor(task_of_row),
            max_length=max_length,
            spans=_spans(task_of_row, stored),
            dense=layout == "padded" or bool(not assume_padding and (stored == max_length).all()),
            full=bool(not assume_padding and (lengths == max_length).all()),
            training=training,
            fast=fast and device.type == "cpu",
            trim=trim,
            bounds_S=segment_bounds(lengths, stored, device) if varlen else None,
        )

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.lengths_R.shape[0]

    @property
    def row_of_token_T(self) -> Tensor:
        """The row of each flat token, (tokens,), int64."""
        return self.slot_of_token_T // self.max_length

    @property
    def position_of_token_T(self) -> Tensor:
        """Position of each flat token in its row, (tokens,), int64."""
        return self.slot_of_token_T % self.max_length

    def attention(self, q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, *, dropout: float) -> Tensor:
        """Softmax attention within rows; see ``BatchContext.attention``."""
        dropped = dropout if self.training else 0.0
        if self.bounds_S is not None and not self.full and takes_varlen(q_TND):
            return varlen_attention(
                q_TND, k_TND, v_TND, self.bounds_S, longest=self.max_length, dropout=dropped
            )
        if self.fast:
            if not dropped and not torch.is_grad_enabled():
                return answer_attention(q_TND, k_TND, v_TND, self._answer_places)
            return fast_attention(q_TND, k_TND, v_TND, self._places, dropout=dropped)
        q, k, v = (self._rows(x).transpose(1, 2) for x in (q_TND, k_TND, v_TND))
        mask = None if self.full else self.mask_RL[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropped)
        return self._flat(out.transpose(1, 2))

    def first_attention(
        self, q_RND: Tensor, k_TND: Tensor, v_TND: Tensor, *, dropout: float
    ) -> Tensor:
        """Attention of first tokens; see ``BatchContext.first_attention``."""
        k, v = (self._rows(x).transpose(1, 2) for x in (k_TND, v_TND))
        mask = None if self.full else self.mask_RL[:, None, None, :]
        out = F.scaled_dot_product_attention(
            q_RND.unsqueeze(2), k, v, attn_mask=mask, dropout_p=dropout if self.training else 0.0
        )
        return out.squeeze(2)

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """``x`` with entries dropped at probability ``p`` while training."""
        if not self.training or p == 0.0:
            return x
        return fast_dropout(x, p) if self.fast else F.dropout(x, p, training=True)

    def pad(self, x_T: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (rows, max_length, ...) with zeros behind each row's end, and their mask."""
        x_RL = self._rows(x_T)
        if not self.full:
            mask = self.mask_RL.view(*self.mask_RL.shape, *(1,) * (x_RL.dim() - 2))
            x_RL = x_RL.masked_fill(~mask, 0)
        return x_RL, self.mask_RL

    def narrow(self, span: Span) -> RowContext:
        """The context of one span's rows, its tokens counted from the span's first."""
        if len(self.spans) == 1:
            return self
        rows = slice(span.first_row, span.end_row)
        tokens = slice(span.first_token, span.end_token)
        num_rows, num_tokens = rows.stop - rows.start, tokens.stop - tokens.start
        bounds = self.bounds_S
        if bounds is not None:
            bounds = bounds[2 * rows.start : 2 * rows.stop + 1] - span.first_token
        return replace(
            self,
            lengths_R=self.lengths_R[rows],
            first_token_of_row_R=self.first_token_of_row_R[rows] - span.first_token,
            slot_of_token_T=self.slot_of_token_T[tokens] - span.first_row * self.max_length,
            mask_RL=self.mask_RL[rows],
            task_of_row_R=self.task_of_row_R[rows],
            spans=(Span(span.task, 0, num_rows, 0, num_tokens),),
            bounds_S=bounds,
        )

    def with_training(self, training: bool) -> RowContext:
        """The same rows with dropout switched on or off."""
        return self if training == self.training else replace(self, training=training)

    @cached_property
    def _places(self) -> RowPlaces:
        return RowPlaces.of(self.mask_RL, self.slot_of_token_T, dense=self.dense, full=self.full)

    @cached_property
    def _answer_places(self) -> AnswerPlaces:
        slots = None if self.dense else self.slot_of_token_T
        return AnswerPlaces.of(self.mask_RL, slots, full=self.full)

    def _rows(self, x_T: Tensor) -> Tensor:
        """Flat tokens as (rows, max_length, ...); what lies behind a row's end is finite."""
        shape = (self.num_rows, self.max_length, *x_T.shape[1:])
        if self.dense:
            return x_T.reshape(shape)
        rows = x_T.new_zeros((shape[0] * shape[1], *x_T.shape[1:]))
        return rows.index_copy(0, self.slot_of_token_T, x_T).view(shape)

    def _flat(self, x_RL: Tensor) -> Tensor:
        flat = x_RL.reshape(-1, *x_RL.shape[2:])
        return flat if self.dense else flat.index_select(0, self.slot_of_token_T)


def stored_lengths(
    lengths: np.ndarray, layout: Layout, max_length: int, *, token_multiple: int = 1
) -> np.ndarray:
    """Flat tokens that each row takes: its real ones and the padding kept behind them.

    Args:
        lengths: Real tokens of each row, (rows,), int64.
        layout: ``packed`` keeps padding only for ``token_multiple``, in the first rows that have
            room; ``padded`` keeps all.
        max_length: Length of the padded rows, tokens.
        token_multiple: What the packed tokens are rounded up to a multiple of, if there is room.

    Returns:
        (rows,), int64.
    """
    room = max_length - lengths
    if layout == "padded":
        return np.full_like(lengths, max_length)
    wanted = -int(lengths.sum()) % token_multiple
    taken = np.minimum(np.cumsum(room), wanted)
    stored: np.ndarray = lengths + np.diff(taken, prepend=0)
    return stored


def places(lengths: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Consecutive places for runs of entries.

    Args:
        lengths: Entries of each run, (runs,), int64.
        starts: Place of each run's first entry, (runs,), int64.

    Returns:
        (entries,), int64: ``starts[0], starts[0] + 1, ..., starts[1], ...``.
    """
    before = np.cumsum(lengths) - lengths
    found: np.ndarray = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return found


def _int64(array: np.ndarray, *, device: torch.device) -> Tensor:
    return to_device(array.astype(np.int64, copy=False), device)


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
