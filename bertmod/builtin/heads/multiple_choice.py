"""A head that chooses one of a feature's rows.

Shape letters: R rows, F features.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bertmod import Batch, EncoderOutput, HeadContext, HeadOutput
from bertmod.builtin.heads.by_feature import rows_by_feature
from bertmod.builtin.heads.config import MultipleChoiceConfig
from bertmod.builtin.heads.modules import PooledHead

Arrays = Mapping[str, np.ndarray]


class MultipleChoice(PooledHead):
    """One of a feature's rows, by cross entropy over them; features may differ in their number.

    Reads the target ``labels``: index of the right row in its feature, int64, -1 where there is
    none. Gives the logits ``logits``, (rows,); decodes ``probabilities`` and ``logits``,
    (choices,), fp32.
    """

    def __init__(self, config: MultipleChoiceConfig, context: HeadContext) -> None:
        super().__init__(config, context, 1)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features whose right row is known, as ``choice``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"choice": float(np.count_nonzero(targets["labels"] >= 0))}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over features whose right row is known."""
        logits_R = self.outputs(output, batch).squeeze(-1)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_R}, {})
        loss = _loss(logits_R.float(), batch.targets["labels"], batch.feature_of_row_R)
        return HeadOutput({"logits": logits_R}, {"choice": (loss, 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities``, summing to 1, and ``logits`` of each feature, (choices,), fp32."""
        logits_R = output.logits["logits"].detach().float()
        return [
            {"probabilities": torch.from_numpy(logits).softmax(0).numpy(), "logits": logits}
            for logits in rows_by_feature(logits_R, batch)
        ]


def _loss(logits_R: Tensor, label_F: Tensor, feature_R: Tensor) -> Tensor:
    """Sum of cross entropies; a few features have so few rows that a table of both is small."""
    feature_F1 = torch.arange(len(label_F), device=feature_R.device)[:, None]
    own_FR = feature_R == feature_F1
    first_F1 = (feature_R < feature_F1).sum(1, keepdim=True)
    place_R = torch.arange(len(feature_R), device=feature_R.device)
    right_FR = own_FR & (place_R - first_F1 == label_F[:, None])
    total_F = logits_R.masked_fill(~own_FR, float("-inf")).logsumexp(1)
    right_F = torch.where(right_FR, logits_R, 0.0).sum(1)
    return torch.where(right_FR.any(1), total_F - right_F, 0.0).sum()
