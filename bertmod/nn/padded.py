"""Rows of one length, as other programs give them.

Shape letters: T tokens, R rows, L length of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bertmod.contracts.batch import Batch, Span
from bertmod.nn.context import RowContext


@dataclass(frozen=True)
class PaddedContext(RowContext):
    """The context of padded rows, made by tensor operations alone.

    The number of rows and their length may be symbols: nothing is counted on the host, and there
    is no division by a length, which ONNX has no operator for.
    """

    @property
    def row_of_token_T(self) -> Tensor:
        """The row of each token, (rows * length,), int64."""
        row_R = torch.arange(self.num_rows, device=self.mask_RL.device)
        return row_R[:, None].expand(-1, self.max_length).reshape(-1)

    @property
    def position_of_token_T(self) -> Tensor:
        """Position of each token in its row, (rows * length,), int64."""
        position_L = torch.arange(self.max_length, device=self.mask_RL.device)
        return position_L[None].expand(self.num_rows, -1).reshape(-1)


def padded_batch(
    input_ids_RL: Tensor, attention_mask_RL: Tensor, token_type_ids_RL: Tensor
) -> Batch:
    """The batch of padded rows of one task, without targets and dropout.

    Args:
        input_ids_RL: Vocabulary indices, (rows, length), int64; anything valid behind a row's end.
        attention_mask_RL: 1 for real tokens, which lead their row, 0 for the others; same shape.
        token_type_ids_RL: Segment of each token, same shape.
    """
    num_rows, length = input_ids_RL.shape
    for other in (attention_mask_RL, token_type_ids_RL):
        # Tells torch.export that these are the same sizes, not equal ones by chance.
        torch._check(other.shape[0] == num_rows)  # type: ignore[no-untyped-call]
        torch._check(other.shape[1] == length)  # type: ignore[no-untyped-call]
    device = input_ids_RL.device
    mask_RL = attention_mask_RL != 0
    row_R = torch.arange(num_rows, device=device)
    num_tokens = num_rows * length
    return Batch(
        input_ids_T=input_ids_RL.reshape(-1),
        token_type_ids_T=token_type_ids_RL.reshape(-1),
        feature_of_row_R=row_R,
        targets={},
        context=PaddedContext(
            lengths_R=mask_RL.sum(1),
            first_token_of_row_R=row_R * length,
            slot_of_token_T=torch.arange(num_tokens, device=device),
            mask_RL=mask_RL,
            task_of_row_R=torch.zeros_like(row_R),
            max_length=length,
            spans=(Span(0, 0, num_rows, 0, num_tokens),),
            dense=True,
            full=False,
        ),
    )
