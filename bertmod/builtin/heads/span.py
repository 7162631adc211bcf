"""A head that finds where an answer starts and ends.

Shape letters: T tokens of a batch, R rows, L length of the padded rows, F features, 2 start and
end. Each feature has one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bertmod import Batch, BatchContext, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.by_feature import tokens_by_feature
from bertmod.builtin.heads.config import SpanConfig
from bertmod.nn.logits import full_precision

Arrays = Mapping[str, np.ndarray]

SIDES = ("start", "end")
WEIGHT = 0.5
"""Of each side's loss: together they are the mean of both."""


class AnswerSpan(nn.Module):
    """Start and end of an answer among a row's tokens, by cross entropy over them.

    Reads the positions ``start`` and ``end``, int64, of which those beyond the feature do not
    count, each for itself. Gives the logits ``start`` and ``end``, (tokens,); decodes
    ``start_logits`` and ``end_logits``, (tokens of the feature,), fp32.

    Raises:
        ValueError: If padding is to count and the task's longest row is not stated.
    """

    layout: Literal["any"] | int

    def __init__(self, config: SpanConfig, context: HeadContext) -> None:
        super().__init__()
        if not config.mask_padding and context.max_length is None:
            raise ValueError(
                f'task "{context.task}": a span head with "mask_padding": false pads rows to the '
                "task's longest: state max_length"
            )
        self.layout = "any" if config.mask_padding else context.max_length or "any"
        self.want: frozenset[Part] = frozenset({"hidden"})
        self.info = context.info
        self.mask_padding = config.mask_padding
        self.qa_outputs = nn.Linear(context.shape.hidden_size, len(SIDES))
        context.init(self)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features whose ``start`` lies in them, and whose ``end`` does."""
        del lengths
        return {
            side: float(np.count_nonzero(targets[side] >= 0)) for side in SIDES if side in targets
        }

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and for each side the sum of cross entropies over features that have it."""
        logits_T2 = full_precision(self.qa_outputs, output.hidden_TH)
        logits = dict(zip(SIDES, logits_T2.unbind(-1), strict=True))
        if not batch.targets:
            return HeadOutput(logits, {})
        total_R2 = self._rows(logits_T2.float(), batch.context).logsumexp(1)
        losses = {}
        for number, side in enumerate(SIDES):
            if side in batch.targets:
                token_F = batch.targets[side]
                there_F = token_F.clamp(min=0)
                row_F = batch.context.row_of_token_T.index_select(0, there_F)
                right_F = logits[side].float().index_select(0, there_F)
                error_F = total_R2[:, number].index_select(0, row_F) - right_F
                losses[side] = (torch.where(token_F >= 0, error_F, 0.0).sum(), WEIGHT)
        return HeadOutput(logits, losses)

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``start_logits`` and ``end_logits`` of each feature's tokens, (tokens,), fp32."""
        starts, ends = (
            tokens_by_feature(output.logits[side].detach().float(), batch) for side in SIDES
        )
        return [
            {"start_logits": start, "end_logits": end}
            for start, end in zip(starts, ends, strict=True)
        ]

    def _rows(self, logits_T2: Tensor, context: BatchContext) -> Tensor:
        """What each row's softmax runs over, (rows, length, 2)."""
        if not self.mask_padding:
            return logits_T2.view(len(context.lengths_R), context.max_length, len(SIDES))
        rows_RL2, real_RL = context.pad(logits_T2)
        return rows_RL2.masked_fill(~real_RL[:, :, None], float("-inf"))
