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
from bertmod.builtin.heads.config import ClassificationConfig, PooledConfig, RegressionConfig

Arrays = Mapping[str, np.ndarray]

NO_CLASS = -1
"""Label of a feature that has none."""


class _PooledHead(nn.Module):
    """Dropout and a linear layer on the pooled output."""

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: PooledConfig, context: HeadContext, num_outputs: int) -> None:
        super().__init__()
        self.want: frozenset[Part] = frozenset({"pooled"})
        self.info = context.info
        self.dropout = config.dropout
        self.classifier = nn.Linear(context.shape.hidden_size, num_outputs)
        context.init(self)

    def _outputs(self, output: EncoderOutput, batch: Batch) -> Tensor:
        assert output.pooled_RH is not None
        logits: Tensor = self.classifier(batch.context.dropout(output.pooled_RH, self.dropout))
        return logits


class Classification(_PooledHead):
    """One of several classes per feature, by cross entropy.

    Reads the target ``labels``: index into ``info.labels``, int64, -1 where there is none. Gives
    the logits ``logits``, (rows, classes); decodes ``probabilities``, (classes,), fp32.

    Raises:
        ValueError: If the task has no label names.
    """

    def __init__(self, config: ClassificationConfig, context: HeadContext) -> None:
        labels = context.info.labels
        if not labels:
            raise ValueError(
                f'task "{context.task}" has no labels, which a classification head needs'
            )
        super().__init__(config, context, len(labels))

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Features with a label, as ``classification``."""
        del lengths
        if "labels" not in targets:
            return {}
        return {"classification": float(np.count_nonzero(targets["labels"] != NO_CLASS))}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and the sum of cross entropies over features with a label."""
        logits_RC = self._outputs(output, batch)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_RC}, {})
        label_R = batch.targets["labels"].index_select(0, batch.feature_of_row_R)
        loss = F.cross_entropy(
            logits_RC.float(), label_R.long(), ignore_index=NO_CLASS, reduction="sum"
        )
        return HeadOutput({"logits": logits_RC}, {"classification": (loss, 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``probabilities`` of each feature, (classes,), fp32, summing to 1."""
        rows = output.logits["logits"].detach().float().softmax(-1)
        return _by_feature("probabilities", rows, batch)


class Regression(_PooledHead):
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
        logits_R1 = self._outputs(output, batch)
        if "labels" not in batch.targets:
            return HeadOutput({"logits": logits_R1}, {})
        value_R = batch.targets["labels"].index_select(0, batch.feature_of_row_R).float()
        # The difference is taken away before it is squared: NaN times 0 has a NaN gradient.
        error_R = torch.where(value_R.isnan(), 0.0, logits_R1.float().squeeze(-1) - value_R)
        return HeadOutput({"logits": logits_R1}, {"regression": (error_R.square().sum(), 1.0)})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """``value`` of each feature, (), fp32."""
        return _by_feature("value", output.logits["logits"].detach().float().squeeze(-1), batch)


def _by_feature(name: str, values: Tensor, batch: Batch) -> list[Arrays]:
    """Values of rows as named arrays in the order of the features."""
    features = batch.feature_of_row_R.cpu().numpy()
    rows = values.cpu().numpy()
    return [{name: rows[row]} for row in np.argsort(features, kind="stable")]
