"""Heads on the pooled output.

Shape letters: R rows, H hidden size, C classes. Each feature has one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertmod import Batch, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.by_feature import row_by_feature
from bertmod.builtin.heads.class_loss import (
    ClassLoss,
    class_weights,
    require_labels,
    weights_by_name,
)
from bertmod.builtin.heads.config import (
    ClassificationConfig,
    DropoutConfig,
    MultiLabelConfig,
    RegressionConfig,
)
from bertmod.nn.logits import full_precision

Arrays = Mapping[str, np.ndarray]


class PooledHead(nn.Module):
    """Dropout and a linear layer on the pooled output."""

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: DropoutConfig, context: HeadContext, num_outputs: int) -> None:
        super().__init__()
        self.want: frozenset[Part] = frozenset({"pooled"})
        self.info = context.info
        self.dropout = config.dropout
        self.classifier = nn.Linear(context.shape.hidden_size, num_outputs)
        context.init(self)

    def outputs(self, output: EncoderOutput, batch: Batch) -> Tensor:
        """What the linear layer gives of each row, (rows, outputs)."""
        assert output.pooled_RH is not None
        pooled_RH = batch.context.dropout(output.pooled_RH, self.dropout)
        return full_precision(self.classifier, pooled_RH)


class Classification(PooledHead):
    """One of several classes per feature, by cross entropy.

    Reads the target ``labels``: index into ``info.labels``, int64, -1 where there is none. Gives
    the logits ``logits``, (rows, classes); decodes ``probabilities``, (classes,), fp32.

    Raises:
        ValueError: If the task has no label names.
        DataError: If the classes cannot be weighted as stated.
    """

    def __init__(self, config: ClassificationConfig, context: HeadContext) -> None:
        labels = require_labels(context, "classification")
        super().__init__(config, context, len(labels))
        self.loss = ClassLoss(class_weights(config.class_weights, context))

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features with a label, each as much as its class weighs, as ``classification``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"classification": self.loss.count(targets["labels"])}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over features with a label."""
        logits_RC = self.outputs(output, batch)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_RC}, {})
        label_R = batch.targets["labels"].index_select(0, batch.feature_of_row_R)
        loss = self.loss(logits_RC, label_R)
        return HeadOutput({"logits": logits_RC}, {"classification": (loss, 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities`` of each feature, (classes,), fp32, summing to 1."""
        rows_RC = output.logits["logits"].detach().float().softmax(-1)
        return [{"probabilities": row} for row in row_by_feature(rows_RC, batch)]


class Regression(PooledHead):
    """One number per feature, by squared error, without squashing.

    Reads the target ``labels``, any real dtype, NaN where there is none. Gives the logits
    ``logits``, (rows, 1); decodes ``value``, (), fp32, in the unit of the target.
    """

    def __init__(self, config: RegressionConfig, context: HeadContext) -> None:
        super().__init__(config, context, 1)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features with a value, as ``regression``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"regression": float(np.count_nonzero(~np.isnan(targets["labels"])))}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Outputs, and the sum of squared errors over features with a value."""
        logits_R1 = self.outputs(output, batch)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_R1}, {})
        value_R = batch.targets["labels"].index_select(0, batch.feature_of_row_R).float()
        # The difference is taken away before it is squared: NaN times 0 has a NaN gradient.
        error_R = torch.where(value_R.isnan(), 0.0, logits_R1.float().squeeze(-1) - value_R)
        return HeadOutput({"logits": logits_R1}, {"regression": (error_R.square().sum(), 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``value`` of each feature, (), fp32."""
        value_R = output.logits["logits"].detach().float().squeeze(-1)
        return [{"value": value} for value in row_by_feature(value_R, batch)]


class MultiLabel(PooledHead):
    """Any number of labels per feature, each there or not, by binary cross entropy.

    Reads the target ``labels``: 1 for a label that is there, 0 for one that is not, (classes,),
    any real dtype; NaN or below 0 does not count. Gives the logits ``logits``, (rows, classes);
    decodes ``probabilities``, (classes,), fp32.

    Raises:
        ValueError: If the task has no label names.
        DataError: If a weight is stated for what is no label.
    """

    weight_C: Tensor | None

    def __init__(self, config: MultiLabelConfig, context: HeadContext) -> None:
        labels = require_labels(context, "multi_label")
        super().__init__(config, context, len(labels))
        stated = config.positive_weights
        weight_C = None
        if stated is not None:
            weight_C = torch.tensor(weights_by_name(stated, context, option="positive_weights"))
        self.register_buffer("weight_C", weight_C, persistent=False)

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Labels of features that are known to be there or not, as ``multi_label``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"multi_label": float(np.count_nonzero(targets["labels"] >= 0))}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of binary cross entropies over features and labels."""
        logits_RC = self.outputs(output, batch)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_RC}, {})
        flag_RC = batch.targets["labels"].index_select(0, batch.feature_of_row_R).float()
        there_RC = flag_RC >= 0  # false for NaN
        error_RC = F.binary_cross_entropy_with_logits(
            logits_RC.float(),
            torch.where(there_RC, flag_RC, 0.0),
            pos_weight=None if self.weight_C is None else self.weight_C.float(),
            reduction="none",
        )
        loss = torch.where(there_RC, error_RC, 0.0).sum()
        return HeadOutput({"logits": logits_RC}, {"multi_label": (loss, 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities`` of each feature, (classes,), fp32, each in [0, 1]."""
        rows_RC = output.logits["logits"].detach().float().sigmoid()
        return [{"probabilities": row} for row in row_by_feature(rows_RC, batch)]
