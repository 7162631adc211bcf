"""Heads of every kind in one batch answer as they do alone; losses over a split."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod import Feature
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode, decode_mixed, mean_loss
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel

LABELS = ("a", "b", "c")
HEADS = {
    "topic": ("classification", {"labels": LABELS}),
    "span": ("span", {}),
    "wide_span": ("span", {"mask_padding": False, "max_length": 20}),
    "tags": ("token_classification", {"labels": LABELS}),
    "choice": ("multiple_choice", {}),
    "flags": ("multi_label", {"labels": LABELS}),
    "score": ("regression", {}),
}
ROWS = {
    "topic": ((5,), (2,), (9,)),
    "span": ((12,), (3,), (7,), (16,)),
    "wide_span": ((4,), (11,)),
    "tags": ((6,), (1,), (13,)),
    "choice": ((4, 8), (3, 3, 10), (5,)),
    "flags": ((7,), (2,)),
    "score": ((3,), (15,)),
}


@pytest.fixture(scope="module")
def model() -> MultiTaskModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 48}
    encoder = build_encoder(
        "bert", num_hidden_layers=2, vocab_size=40, max_position_embeddings=24, **sizes
    )
    heads = {task: build_head(encoder, task, name, **more) for task, (name, more) in HEADS.items()}
    adapters = {
        task: {"one": build_adapter(encoder, task, "pals", bottleneck_size=12)}
        for task in ("span", "choice")
    }
    made = MultiTaskModel(encoder, adapters, heads)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


def features(task: str) -> FeatureTable:
    draws = np.random.default_rng(len(task))

    def row(length: int) -> dict[str, np.ndarray]:
        return {
            "input_ids": draws.integers(1, 40, length).astype(np.int32),
            "token_type_ids": draws.integers(0, 2, length).astype(np.uint8),
        }

    return FeatureTable.from_features(
        Feature(number, tuple(row(length) for length in lengths), {}, {}, {})
        for number, lengths in enumerate(ROWS[task])
    )


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("batch_size", [4, 64])
def test_mixed_heads_answer_as_they_do_alone(model, layout, batch_size) -> None:
    tables = {task: features(task) for task in HEADS}
    settings = EvaluationSettings(batch_size, layout=layout)
    mixed = decode_mixed(model, tables, settings=settings)
    for task, table in tables.items():
        alone = decode(model, task, table, settings=EvaluationSettings(batch_size=1))
        for found, expected in zip(mixed[task], alone, strict=True):
            assert found.keys() == expected.keys()
            for name, values in expected.items():
                assert values.dtype == found[name].dtype == np.float32
                np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


def test_answers_are_shaped_as_their_features(model) -> None:
    tables = {task: features(task) for task in HEADS}
    found = decode_mixed(model, tables, settings=EvaluationSettings())
    assert [each["start_logits"].shape for each in found["span"]] == [(12,), (3,), (7,), (16,)]
    assert [each["end_logits"].shape for each in found["wide_span"]] == [(4,), (11,)]
    assert [each["probabilities"].shape for each in found["tags"]] == [(6, 3), (1, 3), (13, 3)]
    choices = [(2,), (3,), (1,)]
    assert [each["probabilities"].shape for each in found["choice"]] == choices
    assert [each["logits"].shape for each in found["choice"]] == choices
    for each in (*found["topic"], *found["choice"]):
        assert abs(float(each["probabilities"].sum()) - 1) <= 1e-6
    assert {float(each["probabilities"].sum()) for each in found["flags"]} != {1.0}


def choices_with(labels: list[int]) -> FeatureTable:
    return FeatureTable.from_features(
        Feature(each.example, each.rows, {"labels": np.array(label)}, {}, {})
        for each, label in zip(features("choice"), labels, strict=True)
    )


@pytest.mark.parametrize("training", [True, False])
def test_the_mean_loss_of_a_split(model, training) -> None:
    """Over all features that count, whatever the batches; dropout is off."""
    table, model = choices_with([1, 2, -1]), model.train(training)
    found = [
        mean_loss(model, "choice", table, settings=EvaluationSettings(batch_size=size))
        for size in (1, 2, 64)
    ]
    assert model.training == training
    answers = decode(model, "choice", table, settings=EvaluationSettings())
    expected = -np.mean(
        [np.log(answers[0]["probabilities"][1]), np.log(answers[1]["probabilities"][2])]
    )
    for each in found:
        assert each.keys() == {"choice"}
        assert abs(each["choice"] - expected) <= 1e-5


def test_what_nothing_counts_for_has_no_mean_loss(model) -> None:
    settings = EvaluationSettings()
    assert mean_loss(model, "choice", choices_with([-1, -1, -1]), settings=settings) == {}
    assert mean_loss(model, "choice", features("choice"), settings=settings) == {}
    assert (
        mean_loss(model, "tags", features("tags").take(np.array([], int)), settings=settings) == {}
    )


def test_rows_of_a_batch_are_as_long_as_its_heads_need(model) -> None:
    batch = collate(features("wide_span"), layout=model.head("wide_span").layout)
    assert batch.context.max_length == 20
