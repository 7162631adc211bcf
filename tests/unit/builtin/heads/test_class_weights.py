"""Classes that weigh unequally in the loss."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertmod import Batch, DataError, EncoderOutput, HeadContext, TaskInfo
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

SHAPE = shape(BertConfig(hidden_size=8))
SPECS = {spec.name: spec for spec in bertmod_heads()}
INFO = TaskInfo(labels=("no", "maybe", "yes"), label_counts=(6, 3, 1))
WEIGHED = ("classification", "token_classification")


def build(name: str, info: TaskInfo = INFO, **options):
    torch.manual_seed(0)
    spec = SPECS[name]
    context = HeadContext("nli", SHAPE, info, initialise)
    return spec.build(spec.config.model_validate(options), context).eval()


def given(targets) -> tuple[EncoderOutput, Batch]:
    """Four rows of one token, one feature each."""
    draws = torch.Generator().manual_seed(3)
    output = EncoderOutput(torch.randn(4, 8, generator=draws), torch.randn(4, 8, generator=draws))
    tensors = {name: torch.from_numpy(value) for name, value in targets.items()}
    context = RowContext.of(np.ones(4, np.int64))
    return output, Batch(torch.zeros(4, dtype=torch.int64), None, torch.arange(4), tensors, context)


def mean(head, targets) -> float:
    (loss, _), *_ = head(*given(targets)).losses.values()
    (count,) = head.num_targets(targets, np.ones(4)).values()
    return float(loss.detach()) / count


def of_classes(labels) -> dict[str, np.ndarray]:
    return {"labels": np.array(labels), "words": np.arange(4)}


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize(
    ("stated", "weights"),
    [
        ({"yes": 3.0, "maybe": 0.5}, [1.0, 0.5, 3.0]),
        ("balanced", [10 / 18, 10 / 9, 10 / 3]),
        (None, [1.0, 1.0, 1.0]),
    ],
)
def test_the_weighted_mean_is_torchs(name, stated, weights) -> None:
    head, targets = build(name, class_weights=stated), of_classes([2, 0, 1, 2])
    logits = head(*given(targets)).logits["logits"]
    expected = F.cross_entropy(logits, torch.tensor(targets["labels"]), torch.tensor(weights))
    assert abs(mean(head, targets) - float(expected.detach())) <= 1e-6
    partly = of_classes([2, -1, -1, 1])
    labels = torch.tensor(partly["labels"])
    expected = F.cross_entropy(logits, labels, torch.tensor(weights), ignore_index=-1)
    assert abs(mean(head, partly) - float(expected.detach())) <= 1e-6


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_are_no_tensors_of_the_head(name) -> None:
    head = build(name, class_weights="balanced")
    assert list(head.state_dict()) == ["classifier.weight", "classifier.bias"]


def refused(name: str, info: TaskInfo = INFO, **options) -> str:
    with pytest.raises(DataError) as caught:
        build(name, info, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_that_cannot_be(name) -> None:
    instead = (
        '  state a weight for each label instead: {"class_weights": {"no": 1.0, "maybe": 1.0, '
        '"yes": 1.0}}'
    )
    uncounted = TaskInfo(labels=INFO.labels)
    assert refused(name, uncounted, class_weights="balanced") == (
        'task "nli": class_weights "balanced" needs to know how often each label stands in the '
        f"training data, which this task does not count\n{instead}"
    )
    unseen = TaskInfo(labels=INFO.labels, label_counts=(0, 7, 0))
    assert refused(name, unseen, class_weights="balanced") == (
        'task "nli": class_weights "balanced" needs every label in the training data; not there: '
        f"no, yes\n{instead}"
    )
    assert refused(name, class_weights={"nope": 2.0}) == (
        'task "nli": class_weights names "nope", which is none of its labels\n'
        "  labels: no, maybe, yes"
    )


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan"), "much"])
def test_weights_are_above_zero(weight) -> None:
    for name, option in (("classification", "class_weights"), ("multi_label", "positive_weights")):
        with pytest.raises(ValueError, match=re.escape(option)):
            build(name, **{option: {"no": weight}})


def test_positive_weights_are_torchs() -> None:
    head = build("multi_label", positive_weights={"yes": 4.0})
    flags = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]], np.float32)
    logits = head(*given({"labels": flags})).logits["logits"]
    weights = torch.tensor([1.0, 1.0, 4.0])
    expected = F.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(flags), pos_weight=weights
    )
    assert abs(mean(head, {"labels": flags}) - float(expected.detach())) <= 1e-6
    assert refused("multi_label", positive_weights={"nope": 1.0}).startswith(
        'task "nli": positive_weights names "nope", which is none of its labels'
    )
