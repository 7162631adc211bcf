"""A head that gives each word a class.

Shape letters: T tokens of a batch, C classes, W words with a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from torch import nn

from bertmod import Batch, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.by_feature import tokens_by_feature
from bertmod.builtin.heads.class_loss import (
    NO_CLASS,
    ClassLoss,
    class_weights,
    count_words,
    require_labels,
)
from bertmod.builtin.heads.config import TokenClassificationConfig
from bertmod.nn.logits import full_precision

Arrays = Mapping[str, np.ndarray]


class TokenClassification(nn.Module):
    """One of several classes for each of some tokens, by cross entropy.

    Reads the target ``labels``, indices into ``info.labels``, int64, -1 where there is none, and
    the positions ``words`` of the tokens that have them; both with as many entries per feature as
    it has words. Gives the logits ``logits``, (tokens, classes); decodes ``probabilities``,
    (tokens of the feature, classes), fp32.

    Raises:
        ValueError: If the task has no label names.
        DataError: If the classes cannot be weighted as stated.
    """

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: TokenClassificationConfig, context: HeadContext) -> None:
        super().__init__()
        labels = require_labels(context, "token_classification")
        self.want: frozenset[Part] = frozenset({"hidden"})
        self.info = context.info
        self.dropout = config.dropout
        self.classifier = nn.Linear(context.shape.hidden_size, len(labels))
        self.loss = ClassLoss(class_weights(config.class_weights, context))
        context.init(self)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Words with a label that lie in their feature, as much as their class weighs: ``tags``."""
        del lengths
        count = count_words(self.loss, targets)
        return {} if count is None else {"tags": count}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over words with a label."""
        hidden_TH = batch.context.dropout(output.hidden_TH, self.dropout)
        logits_TC = full_precision(self.classifier, hidden_TH)
        if not {"labels", "words"} <= batch.targets.keys():
            return HeadOutput({"logits": logits_TC}, {})
        token_W = batch.targets["words"].flatten()
        label_W = batch.targets["labels"].flatten().masked_fill(token_W < 0, NO_CLASS)
        loss = self.loss(logits_TC.index_select(0, token_W.clamp(min=0)), label_W)
        return HeadOutput({"logits": logits_TC}, {"tags": (loss, 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities`` of each feature, (tokens, classes), fp32, each token's summing to 1."""
        tokens_TC = output.logits["logits"].detach().float().softmax(-1)
        return [{"probabilities": tokens} for tokens in tokens_by_feature(tokens_TC, batch)]
