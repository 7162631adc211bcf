"""Cross entropy over classes that may weigh unequally.

Shape letters: N targets, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertmod import DataError, HeadContext
from bertmod.builtin.heads.config import ClassWeights

NO_CLASS = -1
"""Target that is not there."""


class ClassLoss(nn.Module):
    """Sum of cross entropies, each times the weight of its class; -1 does not count.

    Divided by ``count``, it is the weighted mean.

    Args:
        weights: Weight of each class, (classes,), positive; None means all 1.
    """

    weight_C: Tensor | None

    def __init__(self, weights: Sequence[float] | None) -> None:
        super().__init__()
        self._host = None if weights is None else np.asarray(weights, np.float32)
        tensor = None if self._host is None else torch.from_numpy(self._host.copy())
        self.register_buffer("weight_C", tensor, persistent=False)

    def count(self, labels: np.ndarray) -> float:
        """Summed weights of the targets that count, any shape, on the host."""
        there = labels[labels != NO_CLASS]
        return float(len(there) if self._host is None else self._host[there].sum(dtype=np.float64))

    def forward(self, logits_NC: Tensor, label_N: Tensor) -> Tensor:
        """The sum, (), fp32, of logits of any dtype and int64 labels."""
        weight_C = None if self.weight_C is None else self.weight_C.float()
        return F.cross_entropy(
            logits_NC.float(), label_N.long(), weight_C, ignore_index=NO_CLASS, reduction="sum"
        )


def count_words(loss: ClassLoss, targets: Mapping[str, np.ndarray]) -> float | None:
    """Summed weights of the words that have a label and lie in their feature.

    Args:
        loss: What they count for.
        targets: On the host: ``labels`` of the words at the positions ``words``, int64 both.

    Returns:
        The sum; None if the features have no targets.
    """
    if not {"labels", "words"} <= targets.keys():
        return None
    labels, words = targets["labels"].reshape(-1), targets["words"].reshape(-1)
    return loss.count(np.where(words < 0, NO_CLASS, labels))


def require_labels(context: HeadContext, head: str) -> tuple[str, ...]:
    """The task's label names.

    Raises:
        ValueError: If it has none.
    """
    if not context.info.labels:
        raise ValueError(f'task "{context.task}" has no labels, which a {head} head needs')
    return context.info.labels


def class_weights(stated: ClassWeights | None, context: HeadContext) -> list[float] | None:
    """The weight of each of a task's labels, in their order; None where nothing is stated.

    Balanced weights are ``targets / (labels * targets of the label)``: 1 on the average over the
    training data.

    Raises:
        DataError: If a name is no label of the task, or labels are to be balanced that the task
            does not count or that never stand in its training data.
    """
    if stated == "balanced":
        return _balanced(context)
    return None if stated is None else weights_by_name(stated, context, option="class_weights")


def weights_by_name(
    stated: Mapping[str, float], context: HeadContext, *, option: str
) -> list[float]:
    """Stated weights in the order of the task's labels, 1 for those that are not named.

    Raises:
        DataError: If a name is no label of the task.
    """
    labels = context.info.labels or ()
    for name in stated:
        if name not in labels:
            raise DataError(
                f'task "{context.task}": {option} names "{name}", which is none of its labels\n'
                f"  labels: {', '.join(labels)}"
            )
    return [stated.get(label, 1.0) for label in labels]


def _balanced(context: HeadContext) -> list[float]:
    labels, counts = context.info.labels or (), context.info.label_counts
    told = f'task "{context.task}": class_weights "balanced" needs '
    instead = json.dumps({"class_weights": dict.fromkeys(labels, 1.0)}, ensure_ascii=False)
    if counts is None:
        raise DataError(
            f"{told}to know how often each label stands in the training data, which this task "
            f"does not count\n  state a weight for each label instead: {instead}"
        )
    unseen = [label for label, count in zip(labels, counts, strict=True) if not count]
    if unseen:
        raise DataError(
            f"{told}every label in the training data; not there: {', '.join(unseen)}\n"
            f"  state a weight for each label instead: {instead}"
        )
    return [sum(counts) / (len(counts) * count) for count in counts]
