"""Attention on a CPU where nothing is learnt: rows as small contiguous matrices, few passes.

Keys and values are padded to a length at which oneDNN multiplies bf16 matrices fast and torch's
softmax has no remainder; scale and mask go into the product of queries and keys.

Shape letters: T flat tokens, R rows, L length of the padded rows, K length of their keys, N heads,
D width of a head, B rows times heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bertmod.nn.attention import product_dtype

KEY_MULTIPLE = 32
"""What the length of keys is a multiple of."""


@dataclass(frozen=True)
class AnswerPlaces:
    """Where the flat tokens of a batch lie in its padded rows, and which keys there are.

    Attributes:
        num_rows: Rows.
        length: Length of the padded rows, tokens.
        num_keys: Length of their keys, a multiple of ``KEY_MULTIPLE``.
        token_of_slot: Flat token of each place of the padded rows, int64, (rows * length,); any
            token where there is none. None: the flat tokens are the padded rows.
        slot_of_token: Place of each flat token, int64, (tokens,); None likewise.
        bias_RK: 0 for keys that are there, minus infinity for others, fp32, (rows or 1, keys);
            None: all are there.
    """

    num_rows: int
    length: int
    num_keys: int
    token_of_slot: Tensor | None
    slot_of_token: Tensor | None
    bias_RK: Tensor | None

    @classmethod
    def of(cls, mask_RL: Tensor, slot_of_token_T: Tensor | None, *, full: bool) -> AnswerPlaces:
        """The places of a batch, from the attributes of its ``RowContext``.

        Args:
            mask_RL: True for real tokens of the padded rows, bool.
            slot_of_token_T: Place of each flat token, int64; None: the flat tokens are the rows.
            full: Whether no row has padding.
        """
        num_rows, length = mask_RL.shape
        num_keys = -(-length // KEY_MULTIPLE) * KEY_MULTIPLE
        tokens = bias = None
        if slot_of_token_T is not None:
            tokens = torch.zeros(num_rows * length, dtype=torch.int64)
            tokens[slot_of_token_T] = torch.arange(len(slot_of_token_T))
        if not full or num_keys > length:
            bias = torch.full((1 if full else num_rows, num_keys), -torch.inf)
            bias[:, :length].masked_fill_(mask_RL[: len(bias)], 0)
        return cls(num_rows, length, num_keys, tokens, slot_of_token_T, bias)

    def rows(self, x_TND: Tensor) -> Tensor:
        """Padded rows, (rows, heads, length, width), not contiguous."""
        shape = x_TND.shape[1:]
        if self.token_of_slot is not None:
            x_TND = x_TND.flatten(1).index_select(0, self.token_of_slot)
        return x_TND.view(self.num_rows, self.length, *shape).transpose(1, 2)

    def queries(self, x_TND: Tensor) -> Tensor:
        """Matrices of their own, (rows * heads, length, width), contiguous."""
        return self.rows(x_TND).contiguous().flatten(0, 1)

    def keys(self, x_TND: Tensor) -> Tensor:
        """Matrices of their own with zeros at their ends, (rows * heads, keys, width)."""
        x_RNLD = self.rows(x_TND)
        if self.num_keys == self.length:
            return x_RNLD.contiguous().flatten(0, 1)
        num_heads, width = x_TND.shape[1:]
        padded = x_TND.new_empty(self.num_rows, num_heads, self.num_keys, width)
        padded[:, :, self.length :] = 0
        padded[:, :, : self.length] = x_RNLD
        return padded.flatten(0, 1)

    def flat(self, x_BLD: Tensor) -> Tensor:
        """The flat tokens, (tokens, heads, width), of rows * heads matrices."""
        x_RNLD = x_BLD.view(self.num_rows, -1, self.length, x_BLD.shape[-1])
        x_TND = x_RNLD.transpose(1, 2).flatten(0, 1)
        return x_TND if self.slot_of_token is None else x_TND.index_select(0, self.slot_of_token)


def answer_attention(q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, places: AnswerPlaces) -> Tensor:
    """Softmax attention within places, without gradients.

    Args:
        q_TND: Queries, (tokens, heads, head width), on the CPU; autocast applies.
        k_TND: Keys, same shape.
        v_TND: Values, same shape.
        places: The rows of the batch.

    Returns:
        Attended values, (tokens, heads, head width), scores scaled by 1/sqrt(head width).
    """
    dtype = product_dtype(q_TND)
    with torch.autocast(q_TND.device.type, enabled=False):
        q_BLD = places.queries(q_TND.to(dtype))
        k_BKD, v_BKD = (places.keys(x_TND.to(dtype)) for x_TND in (k_TND, v_TND))
        scores_BLK = _scores(q_BLD, k_BKD, places)
        return places.flat(torch.bmm(torch.softmax(scores_BLK, -1), v_BKD))


def _scores(q_BLD: Tensor, k_BKD: Tensor, places: AnswerPlaces) -> Tensor:
    """Scaled products of queries and keys, minus infinity where there is no key; rounded once."""
    norm = q_BLD.shape[-1] ** -0.5
    if places.bias_RK is None:
        nothing = q_BLD.new_empty(1)  # which is not read
        return torch.baddbmm(nothing, q_BLD, k_BKD.mT, beta=0, alpha=norm)
    bias_R1K = places.bias_RK.to(q_BLD.dtype)[:, None]
    if len(bias_R1K) > 1:
        bias_R1K = bias_R1K.repeat_interleave(len(q_BLD) // len(bias_R1K), 0)
    return torch.baddbmm(bias_R1K, q_BLD, k_BKD.mT, alpha=norm)
