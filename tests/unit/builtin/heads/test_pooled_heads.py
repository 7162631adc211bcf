"""Classification and regression heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod import Batch, EncoderOutput, HeadContext, TaskInfo
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.model.canonical import canonical_views
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

SHAPE = shape(BertConfig(hidden_size=8))
SPECS = {
    spec.name: spec for spec in bertmod_heads() if spec.name in ("classification", "regression")
}
LABELS = TaskInfo(labels=("no", "maybe", "yes"), fingerprint="f")
LENGTHS = np.array([3, 1, 2])


def build(name: str, info: TaskInfo = LABELS, **options):
    torch.manual_seed(0)
    spec = SPECS[name]
    context = HeadContext("nli", SHAPE, info, initialise)
    return spec.build(spec.config(**options), context).eval()


def batch(labels=None, *, order=(0, 1, 2), training=False) -> Batch:
    context = RowContext.of(LENGTHS, training=training)
    targets = {} if labels is None else {"labels": torch.tensor(labels)}
    return Batch(torch.zeros(6, dtype=torch.int64), None, torch.tensor(order), targets, context)


def output() -> EncoderOutput:
    pooled = torch.randn(3, 8, generator=torch.Generator().manual_seed(3))
    return EncoderOutput(torch.zeros(6, 8), pooled)


def test_classification_sums_cross_entropies_of_labelled_features() -> None:
    head = build("classification")
    found = head(output(), batch([2, -1, 0]))
    logs = found.logits["logits"].log_softmax(-1)
    loss, weight = found.losses["classification"]
    torch.testing.assert_close(loss, -(logs[0, 2] + logs[2, 0]))
    assert (weight, loss.dtype) == (1.0, torch.float32)
    targets = {"labels": np.array([2, -1, 0])}
    assert head.num_targets(targets, LENGTHS) == {"classification": 2.0}


def test_regression_sums_squared_errors_of_features_with_a_value() -> None:
    head = build("regression", TaskInfo(value_range=(0.0, 5.0)))
    with torch.no_grad():
        head.classifier.weight.mul_(100)
    found = head(output(), batch([0.5, float("nan"), 1.0]))
    values = found.logits["logits"].squeeze(-1)
    assert float(values.detach().abs().max()) > 1  # nothing squashes the output
    loss, _ = found.losses["regression"]
    torch.testing.assert_close(loss, (values[0] - 0.5) ** 2 + (values[2] - 1.0) ** 2)
    loss.backward()
    assert head.classifier.weight.grad.isfinite().all()
    counted = head.num_targets({"labels": np.array([0.5, np.nan, 1.0])}, LENGTHS)
    assert counted == {"regression": 2.0}


@pytest.mark.parametrize("name", SPECS)
def test_without_targets_there_is_no_loss(name) -> None:
    head = build(name)
    assert head(output(), batch()).losses == {}
    assert head.num_targets({}, LENGTHS) == {}


def test_logits_and_losses_are_fp32_under_autocast() -> None:
    for name, labels in (("classification", [0, 1, 2]), ("regression", [0.0, 1.0, 2.0])):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = build(name)(output(), batch(labels))
        assert found.logits["logits"].dtype == torch.float32
        ((loss, _),) = found.losses.values()
        assert loss.dtype == torch.float32


@pytest.mark.parametrize("name", SPECS)
def test_decoding_gives_features_their_own_row(name) -> None:
    head = build(name)
    key = {"classification": "probabilities", "regression": "value"}[name]
    plain = head.decode(head(output(), batch()), batch())
    shuffled = batch(order=(2, 0, 1))
    moved = head.decode(head(output(), shuffled), shuffled)
    for feature, row in enumerate((1, 2, 0)):
        np.testing.assert_array_equal(moved[feature][key], plain[row][key])
    assert plain[0][key].dtype == np.float32
    assert plain[0][key].shape == ((3,) if name == "classification" else ())
    if name == "classification":
        assert abs(float(plain[0][key].sum()) - 1) < 1e-6


def test_targets_follow_the_rows_of_their_features() -> None:
    head = build("classification")
    found = head(output(), batch([0, 1, 2], order=(2, 0, 1))).losses["classification"][0]
    straight = head(output(), batch([2, 0, 1])).losses["classification"][0]
    torch.testing.assert_close(found, straight)


def test_dropout_of_the_pooled_output() -> None:
    torch.manual_seed(1)
    head = build("classification", dropout=0.5)
    assert not torch.equal(
        head(output(), batch(training=True)).logits["logits"],
        head(output(), batch()).logits["logits"],
    )


@pytest.mark.parametrize("name", SPECS)
def test_the_spec_knows_the_module(name) -> None:
    spec, head = SPECS[name], build(name)
    config = spec.config()
    assert head.info is LABELS
    assert head.want == spec.want(config) == {"pooled"}
    assert sum(p.numel() for p in head.parameters()) == spec.num_parameters(config, SHAPE, 3)
    views = canonical_views(head, spec.names(config, SHAPE))
    assert list(views) == ["classifier.weight", "classifier.bias"]
    assert spec.targets(config) == {"labels": "class" if name == "classification" else "value"}


def test_a_task_without_labels_cannot_be_classified() -> None:
    with pytest.raises(ValueError, match='task "nli" has no labels'):
        build("classification", TaskInfo(value_range=(0.0, 1.0)))
