"""Attention on a CPU, of short rows and with dropout.

torch's fused kernel takes no dropout on a CPU, and its other form multiplies matrices that do not
lie contiguously: in bf16 that takes nine times as long as it need. Here every row and head is a
small contiguous matrix, products are in the dtype of the queries, and the softmax is in fp32.

Shape letters: T flat tokens, R rows, L length of the padded rows, N heads, D width of a head,
B rows times heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bertmod.nn.dropout import keep_mask


@dataclass(frozen=True)
class RowPlaces:
    """Where the flat tokens of a batch lie in its padded rows.

    Attributes:
        num_rows: Rows.
        length: Length of the padded rows, tokens.
        token_of_slot: Flat token of each place of the padded rows, int64, (rows * length,); any
            token where there is none. None: the flat tokens are the padded rows.
        slot_of_token: Place of each flat token, int64, (tokens,); None likewise.
        bias_RL: 0 for real tokens of the padded rows, minus infinity for others, fp32; None: all
            are real.
    """

    num_rows: int
    length: int
    token_of_slot: Tensor | None
    slot_of_token: Tensor | None
    bias_RL: Tensor | None

    @classmethod
    def of(cls, mask_RL: Tensor, slot_of_token_T: Tensor, *, dense: bool, full: bool) -> RowPlaces:
        """The places of a batch, from the attributes of its ``RowContext``."""
        num_rows, length = mask_RL.shape
        tokens = bias = None
        if not dense:
            tokens = torch.zeros(num_rows * length, dtype=torch.int64)
            tokens[slot_of_token_T] = torch.arange(len(slot_of_token_T))
        if not full:
            bias = torch.zeros(num_rows, length).masked_fill_(~mask_RL, -torch.inf)
        return cls(num_rows, length, tokens, None if dense else slot_of_token_T, bias)

    def heads(self, x_TND: Tensor, *, zeros: bool = False) -> Tensor:
        """Rows and heads as matrices of their own, (rows * heads, length, width), contiguous.

        Args:
            x_TND: Flat tokens, (tokens, heads, width).
            zeros: Whether places without a token have zeros; else they have what some token has.
        """
        num_heads, width = x_TND.shape[1:]
        x = x_TND.reshape(-1, num_heads * width)
        if self.token_of_slot is not None and self.slot_of_token is not None:
            if zeros:
                rows = x.new_zeros(len(self.token_of_slot), x.shape[1])
                x = rows.index_copy_(0, self.slot_of_token, x)
            else:
                x = x.index_select(0, self.token_of_slot)
        x_RNLD = x.view(self.num_rows, self.length, num_heads, width).transpose(1, 2)
        return x_RNLD.contiguous().view(-1, self.length, width)

    def flat(self, x_BLD: Tensor) -> Tensor:
        """The flat tokens, (tokens, heads, width), of what ``heads`` gives."""
        width = x_BLD.shape[-1]
        x_RNLD = x_BLD.view(self.num_rows, -1, self.length, width)
        num_heads = x_RNLD.shape[1]
        x = x_RNLD.transpose(1, 2).reshape(-1, num_heads * width)
        if self.slot_of_token is not None:
            x = x.index_select(0, self.slot_of_token)
        return x.view(-1, num_heads, width)


class _Attention(torch.autograd.Function):
    """Keeps the probabilities and the mask, in the dtype of the queries."""

    @staticmethod
    def forward(
        ctx: Any, q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, places: RowPlaces, p: float
    ) -> Tensor:
        ctx.places, ctx.norm, ctx.scale = places, q_TND.shape[-1] ** -0.5, 1.0
        q_BLD, k_BLD, v_BLD = (places.heads(x) for x in (q_TND, k_TND, v_TND))
        chances_BLL = _softmax(torch.bmm(q_BLD, k_BLD.mT), places, norm=ctx.norm)
        left_BLL, mask_BLL = chances_BLL, None
        if p:
            mask_BLL, ctx.scale = keep_mask(chances_BLL, p)
            left_BLL = chances_BLL * mask_BLL
        ctx.save_for_backward(q_BLD, k_BLD, v_BLD, chances_BLL, mask_BLL)
        return places.flat(_times(torch.bmm(left_BLL, v_BLD), ctx.scale))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TND: Tensor) -> tuple[Tensor | None, ...]:
        q_BLD, k_BLD, v_BLD, chances_BLL, mask_BLL = ctx.saved_tensors
        grad_BLD = ctx.places.heads(grad_TND, zeros=True)
        left_BLL = chances_BLL if mask_BLL is None else chances_BLL * mask_BLL
        dv_BLD = torch.bmm(left_BLL.mT, grad_BLD)
        dp_BLL = torch.bmm(grad_BLD, v_BLD.mT)
        if mask_BLL is not None:
            dp_BLL.mul_(mask_BLL)
        # Scales are constants and the softmax's derivative is linear: they wait for the smaller
        # tensors behind it.
        ds_BLL = torch._softmax_backward_data(dp_BLL, chances_BLL, -1, dp_BLL.dtype)
        dq_BLD, dk_BLD = torch.bmm(ds_BLL, k_BLD), torch.bmm(ds_BLL.mT, q_BLD)
        both = ctx.norm * ctx.scale
        scaled = (_times(dq_BLD, both), _times(dk_BLD, both), _times(dv_BLD, ctx.scale))
        return *(ctx.places.flat(x_BLD) for x_BLD in scaled), None, None


def fast_attention(
    q_TND: Tensor, k_TND: Tensor, v_TND: Tensor, places: RowPlaces, *, dropout: float
) -> Tensor:
    """Softmax attention within places.

    Args:
        q_TND: Queries, (tokens, heads, head width), on the CPU; autocast applies.
        k_TND: Keys, same shape.
        v_TND: Values, same shape.
        places: The rows of the batch.
        dropout: Probability of dropping an attention weight, in [0, 1).

    Returns:
        Attended values, (tokens, heads, head width), scores scaled by 1/sqrt(head width).
    """
    dtype = product_dtype(q_TND)
    with torch.autocast(q_TND.device.type, enabled=False):
        inputs = (x_TND.to(dtype) for x_TND in (q_TND, k_TND, v_TND))
        found: Tensor = _Attention.apply(*inputs, places, dropout)  # type: ignore[no-untyped-call]
    return found


def product_dtype(x: Tensor) -> torch.dtype:
    """What products of a tensor are computed in: autocast's dtype, or its own without."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _softmax(scores_BLL: Tensor, places: RowPlaces, *, norm: float) -> Tensor:
    """Probabilities in the dtype of the scores, computed in fp32 or better."""
    dtype, length = scores_BLL.dtype, places.length
    scores = scores_BLL.to(torch.promote_types(dtype, torch.float32))
    if places.bias_RL is None:
        scores = scores.mul_(norm)
    else:
        scores = scores.view(places.num_rows, -1, length, length)
        bias = places.bias_RL.to(scores.dtype)[:, None, None, :]
        torch.add(bias, scores, alpha=norm, out=scores)
    return torch.softmax(scores, -1).to(dtype).view(-1, length, length)


def _times(x: Tensor, factor: float) -> Tensor:
    """A fresh tensor scaled in place."""
    return x if factor == 1 else x.mul_(factor)
