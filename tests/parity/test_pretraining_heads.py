"""Heads of pre-training against outputs of the first PyTorch port and of Google's program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from bertmod import (
    CheckpointDescription,
    EncoderContext,
    Feature,
    HeadContext,
    StoredTensor,
    TaskInfo,
)
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode, mean_loss
from bertmod.model.loading import Component, load_tensors
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.initialisation import initialise

pytestmark = pytest.mark.shared
LAYOUTS = ("packed", "padded")
PORT, GOOGLE = "01_pretraining_heads", "04_tf_bert"
FORMATS = {PORT: ("huggingface", "bert."), GOOGLE: ("tensorflow", "bert/")}
SKIPPED = {"*/adam_[mv]": "optimizer slot", "global_step": "counter"}


class Pretrained(NamedTuple):
    """A case and its model, whose tasks are ``pieces`` and ``order``, and ``both`` in one head."""

    tensors: Mapping[str, Tensor]
    model: MultiTaskModel
    report: Any


@pytest.fixture
def loaded(reference, golden_case):
    """Both heads of a case on its encoder, every tensor of the case used."""

    def load(name: str, act: str = "gelu", *, top_k: int = 5) -> Pretrained:
        case = golden_case(name)
        options = {**case.info["config"], "hidden_act": act}
        spec = reference.spec("encoder", "bert")
        config = spec.config(**options)
        encoder = spec.build(config, EncoderContext(initialise))
        components = [Component("encoder", spec.names(config), encoder, required=True)]
        heads = {}
        pieces = {"hidden_act": act, "top_k": top_k}
        for task, kind, own in (("pieces", "masked_lm", pieces), ("order", "next_sentence", {})):
            about = reference.spec("head", kind)
            chosen = about.config(**own)
            context = HeadContext(task, encoder.shape, TaskInfo(), initialise)
            heads[task] = about.build(chosen, context)
            names = about.names(chosen, encoder.shape)
            components.append(Component(f"heads.{task}", names, heads[task], required=True))
        about = reference.spec("head", "pretraining")
        chosen = about.config(**pieces)
        heads["both"] = about.build(
            chosen, HeadContext("both", encoder.shape, TaskInfo(), initialise)
        )
        names = about.names(chosen, encoder.shape)
        own = Component("heads.both", names, heads["both"], required=True)
        format_, prefix = FORMATS[name]
        stored = {
            each: StoredTensor(each.removeprefix(prefix), tuple(value.shape), lambda v=value: v)
            for each, value in reference.weights(case.tensors).items()
        }
        description = CheckpointDescription(format_, skipped=SKIPPED)
        report = load_tensors(stored, description, components)
        load_tensors(stored, description, [components[0], own])
        return Pretrained(case.tensors, MultiTaskModel(encoder, {}, heads).eval(), report)

    return load


def rows(tensors: Mapping[str, Tensor], mask: str, types: str) -> list[dict[str, np.ndarray]]:
    ids, kinds = tensors["input/input_ids"].numpy(), tensors[f"input/{types}"].numpy()
    lengths = tensors[f"input/{mask}"].sum(1).tolist()
    return [
        {"input_ids": ids[i, :n].astype(np.int32), "token_type_ids": kinds[i, :n].astype(np.uint8)}
        for i, n in enumerate(lengths)
    ]


def features(own: list[dict[str, np.ndarray]], **columns: list[Any]) -> FeatureTable:
    """A feature per row; ``words`` are positions, what else there is are targets."""
    return FeatureTable.from_features(
        Feature(
            i,
            (row,),
            {name: np.asarray(each[i]) for name, each in columns.items() if name != "words"},
            {name: each[i] for name, each in columns.items() if name == "words"},
            {},
        )
        for i, row in enumerate(own)
    )


def bare(table: FeatureTable) -> FeatureTable:
    """Features of which every token is asked about."""
    return replace(table, targets={}, positions={})


def together(pieces: FeatureTable, nexts: FeatureTable) -> FeatureTable:
    """Features with the targets of both losses."""
    following = {"next_sentence": nexts.targets["labels"]}
    return replace(pieces, targets={**pieces.targets, **following})


def losses(model: MultiTaskModel, table: FeatureTable, layout: str) -> dict[str, float]:
    """The means of both losses of the head that has both."""
    return mean_loss(model, "both", table, settings=EvaluationSettings(batch_size=2, layout=layout))


def loss(model: MultiTaskModel, task: str, table: FeatureTable, layout: str) -> float:
    settings = EvaluationSettings(batch_size=2, layout=layout)
    (found,) = mean_loss(model, task, table, settings=settings).values()
    return found


def port_tables(tensors: Mapping[str, Tensor]) -> tuple[FeatureTable, FeatureTable]:
    own = rows(tensors, "attention_mask", "token_type_ids")
    labels = tensors["input/masked_lm_labels"].numpy()
    words = [np.flatnonzero(each >= 0) for each in labels]
    assert all((each < len(row["input_ids"])).all() for each, row in zip(words, own, strict=True))
    pieces = [each[places] for each, places in zip(labels, words, strict=True)]
    nexts = list(tensors["input/next_sentence_label"].numpy())
    return features(own, labels=pieces, words=words), features(own, labels=nexts)


def google_tables(tensors: Mapping[str, Tensor]) -> tuple[FeatureTable, FeatureTable]:
    own = rows(tensors, "input_mask", "segment_ids")
    there = tensors["input/masked_lm_weights"].numpy() > 0
    places = tensors["input/masked_lm_positions"].numpy().astype(np.int64)
    ids = tensors["input/masked_lm_ids"].numpy().astype(np.int64)
    words = [each[kept] for each, kept in zip(places, there, strict=True)]
    pieces = [each[kept] for each, kept in zip(ids, there, strict=True)]
    nexts = list(tensors["input/next_sentence_labels"].numpy()[:, 0].astype(np.int64))
    return features(own, labels=pieces, words=words), features(own, labels=nexts)


def test_every_tensor_of_both_heads_is_used(loaded) -> None:
    for name in (PORT, GOOGLE):
        case = loaded(name)
        assert set(case.report.skipped.values()) <= set(SKIPPED.values())
        assert case.report.initialised == ()
    lent = "encoder.embeddings.word_embeddings.weight"
    assert loaded(PORT).report.used["cls.predictions.decoder.weight"] == lent


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_ports_logits_and_loss(loaded, layout) -> None:
    tensors, model, _ = loaded(PORT)
    pieces, nexts = port_tables(tensors)
    for i, length in enumerate(pieces.row_lengths):
        batch = collate(bare(pieces.take(np.array([i]))), layout=layout)
        with torch.no_grad():
            found = model(batch, "pieces").logits["logits"][:length]
        expected = tensors["output/prediction_logits"][i, :length]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    settings = EvaluationSettings(layout=layout)
    for arrays, logits in zip(
        decode(model, "order", nexts, settings=settings),
        tensors["output/seq_relationship_logits"],
        strict=True,
    ):
        np.testing.assert_allclose(arrays["probabilities"], logits.softmax(0), rtol=0, atol=1e-5)
    total = loss(model, "pieces", pieces, layout) + loss(model, "order", nexts, layout)
    assert abs(total - float(tensors["output/loss"])) <= 1e-5
    found = losses(model, together(pieces, nexts), layout)
    assert found.keys() == {"masked_lm", "next_sentence"}
    assert abs(sum(found.values()) - float(tensors["output/loss"])) <= 1e-5


@pytest.mark.parametrize(("act", "output"), [("gelu", "output_erf"), ("gelu_tanh", "output")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_googles_log_probabilities_and_losses(loaded, layout, act, output) -> None:
    """Google adds 1e-5 to the number of words; the sum over words is the same."""
    tensors, model, _ = loaded(GOOGLE, act, top_k=133)
    pieces, nexts = google_tables(tensors)
    there = tensors["input/masked_lm_weights"] > 0
    expected = tensors[f"{output}/masked_lm_log_probs"].view(*there.shape, -1)
    decoded = decode(model, "pieces", pieces, settings=EvaluationSettings(layout=layout))
    places = tensors["input/masked_lm_positions"]
    for i, arrays in enumerate(decoded):
        assert arrays["tokens"].tolist() == places[i][there[i]].tolist()
        order = arrays["pieces"].argsort(1)
        found = np.take_along_axis(arrays["log_probabilities"], order, 1)
        np.testing.assert_allclose(found, expected[i][there[i]], rtol=0, atol=1e-5)
    count = float(there.sum())
    told = float(tensors[f"{output}/masked_lm_loss"]) * (count + 1e-5) / count
    assert abs(loss(model, "pieces", pieces, layout) - told) <= 1e-5
    assert abs(losses(model, together(pieces, nexts), layout)["masked_lm"] - told) <= 1e-5
    told = float(tensors[f"{output}/next_sentence_loss"])
    assert abs(loss(model, "order", nexts, layout) - told) <= 1e-5
    logs = tensors[f"{output}/next_sentence_log_probs"]
    for arrays, log in zip(
        decode(model, "order", nexts, settings=EvaluationSettings(layout=layout)), logs, strict=True
    ):
        np.testing.assert_allclose(arrays["probabilities"], log.exp(), rtol=0, atol=1e-5)


def test_gradients_are_those_of_projecting_every_token(loaded) -> None:
    tensors, model, _ = loaded(PORT)
    table, _ = port_tables(tensors)
    batch = collate(table)
    output = model(batch, "pieces")
    assert not output.logits
    output.losses["masked_lm"][0].backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == model.active("pieces")
    model.zero_grad()
    encoded = model.encode(batch, "pieces", want=model.head("pieces").want)
    logits = model.head("pieces").project(encoded.hidden_TH, encoded.word_embeddings_VH)
    labels = torch.full((len(logits),), -1)
    labels[batch.targets["words"]] = batch.targets["labels"]
    torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1, reduction="sum").backward()
    for name, parameter in model.named_parameters():
        if name in found:
            limit = max(1e-6, 1e-4 * float(parameter.grad.abs().max()))
            assert float((found[name] - parameter.grad).abs().max()) <= limit, name
