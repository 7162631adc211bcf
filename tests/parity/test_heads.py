"""Heads for spans, choices and tags against outputs of the first PyTorch ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bertmod import Feature, HeadContext, TaskInfo
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode, mean_loss
from bertmod.nn.initialisation import initialise

pytestmark = pytest.mark.shared
LAYOUTS = ("packed", "padded")
ARCHITECTURES = {
    "01_question_answering": "BertForQuestionAnswering",
    "01_multiple_choice": "BertForMultipleChoice",
    "01_token_classification": "BertForTokenClassification",
}


@pytest.fixture
def loaded(reference, golden_case, tmp_path: Path):
    """The tensors of a case, and its model, whose head the checkpoint's architecture tells."""

    def load(name: str, num_labels: int = 0) -> tuple[Mapping[str, Tensor], Any]:
        case = golden_case(name)
        values = {**case.info["config"], "architectures": [ARCHITECTURES[name]]}
        weights = reference.weights(case.tensors)
        reference.write_folder(tmp_path, values, weights, file="model.safetensors")
        labels = {"task": num_labels}
        found = reference.Loaded("huggingface", tmp_path, tasks=("task",), num_labels=labels)
        assert not found.report.skipped
        return case.tensors, found.model

    return load


def row(ids: Tensor, types: Tensor, length: int) -> dict[str, np.ndarray]:
    return {
        "input_ids": ids[:length].numpy().astype(np.int32),
        "token_type_ids": types[:length].numpy().astype(np.uint8),
    }


def rows_of(tensors: Mapping[str, Tensor], *, masked: bool = True) -> list[dict[str, np.ndarray]]:
    """The rows of a case, real tokens alone; every token is real where the mask is left out."""
    ids, types, mask = (
        tensors[f"input/{name}"].flatten(0, -2)
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    lengths = mask.sum(1).tolist() if masked else [ids.shape[1]] * len(ids)
    return [row(*each) for each in zip(ids, types, lengths, strict=True)]


def span_features(tensors: Mapping[str, Tensor], suffix: str) -> FeatureTable:
    sides = {side: tensors[f"input/{side}_positions{suffix}"].numpy() for side in ("start", "end")}
    return FeatureTable.from_features(
        Feature(i, (own,), {}, {side: places[i] for side, places in sides.items()}, {})
        for i, own in enumerate(rows_of(tensors))
    )


def evaluated(model: Any, table: FeatureTable, layout: str) -> dict[str, float]:
    settings = EvaluationSettings(batch_size=2, layout=layout)
    return mean_loss(model, "task", table, settings=settings)


def with_padding(model: Any, width: int) -> None:
    """Put a span head in place whose softmax takes padding in, with the weights that were there."""
    from bertmod.builtin.heads.plugin import SpanConfig, build_span

    _, old = model.detach("task")
    context = HeadContext("task", model.encoder.shape, TaskInfo(), initialise, width)
    head = build_span(SpanConfig(mask_padding=False), context)
    head.load_state_dict(old.state_dict())
    model.attach("task", {}, head)
    assert head.layout == width


@pytest.mark.parametrize("suffix", ["", "_out_of_range"])
def test_the_span_loss_of_the_original_takes_padding_in(loaded, suffix) -> None:
    """The padding of the case has tokens of its own, where a batch of a run has zeros."""
    tensors, model = loaded("01_question_answering")
    with_padding(model, 16)
    table = span_features(tensors, suffix)
    batch = replace(
        collate(table, layout=model.head("task").layout),
        input_ids_T=tensors["input/input_ids"].flatten(),
        token_type_ids_T=tensors["input/token_type_ids"].flatten(),
    )
    with torch.no_grad():
        losses = model(batch, "task").losses
    counts = model.head("task").num_targets(host_targets(table), table.row_lengths)
    found = sum(weight * float(value) / counts[side] for side, (value, weight) in losses.items())
    name = "loss_out_of_range_positions" if suffix else "loss"
    assert abs(found - float(tensors[f"output/{name}"])) <= 1e-5


def masked_span_loss(tensors: Mapping[str, Tensor]) -> float:
    """The mean of both sides' cross entropies over real tokens, from the logits of the case."""
    real = tensors["input/attention_mask"].bool()
    total = 0.0
    for side in ("start", "end"):
        logits = tensors[f"output/{side}_logits"].masked_fill(~real, -torch.inf)
        places = tensors[f"input/{side}_positions"]
        total += float(torch.nn.functional.cross_entropy(logits, places)) / 2
    return total


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_span_loss_without_padding(loaded, layout) -> None:
    tensors, model = loaded("01_question_answering")
    found = evaluated(model, span_features(tensors, ""), layout)
    assert abs((found["start"] + found["end"]) / 2 - 2.406) <= 1e-3
    expected = masked_span_loss(tensors)
    assert abs((found["start"] + found["end"]) / 2 - expected) <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_span_logits(loaded, layout) -> None:
    tensors, model = loaded("01_question_answering")
    table = span_features(tensors, "_out_of_range")
    targets = host_targets(table)
    assert (targets["start"].tolist(), targets["end"].tolist()) == ([0, 3, 4], [15, -1, 4])
    found = decode(model, "task", table, settings=EvaluationSettings(layout=layout))
    for i, arrays in enumerate(found):
        for side in ("start", "end"):
            expected = tensors[f"output/{side}_logits"][i, : table.row_lengths[i]].numpy()
            np.testing.assert_allclose(arrays[f"{side}_logits"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mask_padding", [True, False])
def test_gradients_of_the_span_loss(loaded, mask_padding) -> None:
    """Against the same loss written as the original wrote it, over the padded rows."""
    tensors, model = loaded("01_question_answering")
    if not mask_padding:
        with_padding(model, 16)
    table = span_features(tensors, "_out_of_range")
    batch = collate(table, layout="packed" if mask_padding else 16)
    losses = model(batch, "task").losses
    sum(weight * value / 3 for value, weight in losses.values()).backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    padded = collate(table, layout=16)
    logits = model(padded, "task").logits
    real = tensors["input/attention_mask"].bool()
    terms = []
    for side, places in host_targets(table).items():
        rows = logits[side].view(3, 16)
        rows = rows.masked_fill(~real, -torch.inf) if mask_padding else rows
        places = torch.from_numpy(places)
        terms.append(
            torch.nn.functional.cross_entropy(rows, places, ignore_index=-1, reduction="sum") / 6
        )
    sum(terms).backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        limit = max(1e-6, 1e-4 * float(gradient.abs().max()))
        assert float((found[name] - gradient).abs().max()) <= limit, name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_multiple_choice(loaded, layout) -> None:
    tensors, model = loaded("01_multiple_choice")
    rows, labels = rows_of(tensors), tensors["input/labels"].numpy()
    table = FeatureTable.from_features(
        Feature(i, tuple(rows[3 * i : 3 * i + 3]), {"labels": label}, {}, {})
        for i, label in enumerate(labels)
    )
    found = decode(model, "task", table, settings=EvaluationSettings(layout=layout))
    expected = tensors["output/logits"]
    for arrays, logits in zip(found, expected, strict=True):
        np.testing.assert_allclose(arrays["logits"], logits.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(arrays["probabilities"], logits.softmax(0), rtol=0, atol=1e-5)
    losses = evaluated(model, table, layout)
    assert losses.keys() == {"choice"}
    assert abs(losses["choice"] - float(tensors["output/loss"])) <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masked", [True, False])
def test_token_classification(loaded, layout, masked) -> None:
    """Without a mask the original attends to padding and counts it: every token is real."""
    tensors, model = loaded("01_token_classification", num_labels=4)
    rows, labels = rows_of(tensors, masked=masked), tensors["input/labels"].numpy()
    lengths = [len(each["input_ids"]) for each in rows]
    table = FeatureTable.from_features(
        Feature(i, (own,), {"labels": labels[i, :n]}, {"words": np.arange(n)}, {})
        for i, (own, n) in enumerate(zip(rows, lengths, strict=True))
    )
    name = "loss" if masked else "loss_without_attention_mask"
    losses = evaluated(model, table, layout)
    assert losses.keys() == {"tags"}
    assert abs(losses["tags"] - float(tensors[f"output/{name}"])) <= 1e-5
    if masked:
        found = decode(model, "task", table, settings=EvaluationSettings(layout=layout))
        for i, arrays in enumerate(found):
            expected = tensors["output/logits"][i, : lengths[i]].softmax(-1)
            np.testing.assert_allclose(arrays["probabilities"], expected, rtol=0, atol=1e-5)
