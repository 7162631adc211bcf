"""A head that tells whether a row's second text follows the first.

Shape letters: R rows. Each feature has one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import nn

from bertmod import Batch, DataError, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.by_feature import row_by_feature
from bertmod.builtin.heads.class_loss import ClassLoss
from bertmod.builtin.heads.config import NEXT_OR_RANDOM
from bertmod.nn.logits import full_precision

Arrays = Mapping[str, np.ndarray]


class NextSentence(nn.Module):
    """Whether the second text follows the first, from the pooled output, by cross entropy.

    Reads the target ``labels``: 0 for a text that follows, 1 for one taken at random, int64, -1
    where there is none. Gives the logits ``logits``, (rows, 2); decodes ``probabilities``, (2,),
    fp32. The labels of a task that names none are ``next`` and ``random``.

    Raises:
        DataError: If the task has another number of labels.
    """

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: object, context: HeadContext) -> None:
        super().__init__()
        del config
        labels = context.info.labels or NEXT_OR_RANDOM
        if len(labels) != len(NEXT_OR_RANDOM):
            raise DataError(
                f'task "{context.task}" has {len(labels)} labels, but a next_sentence head tells 2 '
                f"apart\n  labels: {', '.join(labels)}\n  give the task another head"
            )
        self.want: frozenset[Part] = frozenset({"pooled"})
        self.info = replace(context.info, labels=labels)
        self.classifier = nn.Linear(context.shape.hidden_size, len(labels))
        self.loss = ClassLoss(None)
        context.init(self)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features with a label, as ``next_sentence``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"next_sentence": self.loss.count(targets["labels"])}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over features with a label."""
        assert output.pooled_RH is not None
        logits_R2 = full_precision(self.classifier, output.pooled_RH)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_R2}, {})
        label_R = batch.targets["labels"].index_select(0, batch.feature_of_row_R)
        return HeadOutput(
            {"logits": logits_R2}, {"next_sentence": (self.loss(logits_R2, label_R), 1.0)}
        )

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities`` of each feature, (2,), fp32, summing to 1."""
        rows_R2 = output.logits["logits"].detach().float().softmax(-1)
        return [{"probabilities": row} for row in row_by_feature(rows_R2, batch)]
