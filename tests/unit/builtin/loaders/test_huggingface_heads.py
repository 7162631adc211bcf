"""The heads of the hub's folders: what the architecture, the shapes and the labels tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod import CheckpointError, EmptyConfig, TaskInfo
from bertmod.builtin.loaders import huggingface
from bertmod.model.loading import load_tensors

OF_TEXTS = "BertForSequenceClassification"


@pytest.fixture
def write(tmp_path: Path, values, state):
    """Writes a checkpoint folder with more in its configuration and more tensors."""

    def write_folder(architecture=None, *, tensors=None, **config):
        named = {} if architecture is None else {"architectures": [architecture]}
        (tmp_path / "config.json").write_text(json.dumps(values | named | config))
        (tmp_path / "vocab.txt").write_text("".join(f"w{n}\n" for n in range(11)))
        save_file(state | (tensors or {}), tmp_path / "model.safetensors")
        return tmp_path

    return write_folder


def describe(folder: Path, tasks=None):
    return huggingface.describe(EmptyConfig(), str(folder), tasks)


def classifier(rows: int) -> dict[str, torch.Tensor]:
    return {"classifier.weight": torch.zeros(rows, 12), "classifier.bias": torch.zeros(rows)}


@pytest.mark.parametrize(
    ("rows", "problem_type", "name"),
    [
        (1, None, "regression"),
        (3, None, "classification"),
        (1, "regression", "regression"),
        (3, "single_label_classification", "classification"),
        (3, "multi_label_classification", "multi_label"),
    ],
)
def test_a_head_of_whole_texts(write, rows, problem_type, name) -> None:
    folder = write(OF_TEXTS, tensors=classifier(rows), problem_type=problem_type)
    slot = {"name": f"bertmod/{name}", "dropout": 0.1}
    assert describe(folder).heads == {"0": slot}
    assert describe(folder, ("topic",)).heads == {"topic": slot}
    assert describe(folder, ("topic",)).tasks == ("topic",)
    assert describe(folder, ()).heads == {}
    with pytest.raises(CheckpointError, match="one head at most, but 2 tasks are stated"):
        describe(folder, ("a", "b"))


@pytest.mark.parametrize(
    ("architecture", "layer", "slot"),
    [
        ("BertForMultipleChoice", "classifier", {"name": "multiple_choice", "dropout": 0.1}),
        (
            "BertForTokenClassification",
            "classifier",
            {"name": "token_classification", "dropout": 0.1},
        ),
        ("BertForQuestionAnswering", "qa_outputs", {"name": "span"}),
        ("BertForMaskedLM", "cls.predictions", {"name": "masked_lm", "hidden_act": "gelu"}),
        ("BertForNextSentencePrediction", "cls.seq_relationship", {"name": "next_sentence"}),
    ],
)
def test_a_head_that_the_architecture_tells(write, architecture, layer, slot) -> None:
    folder = write(architecture, tensors={f"{layer}.weight": torch.zeros(1, 12)})
    assert describe(folder).heads == {"0": {**slot, "name": f"bertmod/{slot['name']}"}}
    assert describe(write(architecture)).heads == {}


def test_the_two_heads_of_pretraining(write) -> None:
    tensors = {
        "cls.predictions.bias": torch.zeros(11),
        "cls.seq_relationship.bias": torch.zeros(2),
    }
    folder = write("BertForPreTraining", tensors=tensors, hidden_act="gelu_new")
    lm, nsp = {"name": "bertmod/masked_lm", "hidden_act": "gelu_tanh"}, "bertmod/next_sentence"
    assert describe(folder).heads == {"0": lm, "1": {"name": nsp}}
    assert describe(folder, ("lm", "nsp")).heads == {"lm": lm, "nsp": {"name": nsp}}
    with pytest.raises(CheckpointError) as caught:
        describe(folder, ("lm",))
    assert str(caught.value) == (
        f"{folder}: 2 heads, but 1 task is stated\n"
        "  state one for each, in this order: masked_lm, next_sentence"
    )


@pytest.mark.parametrize(
    ("config", "dropout"),
    [
        ({"hidden_dropout_prob": 0.2}, 0.2),
        ({"hidden_dropout_prob": 0.2, "classifier_dropout": None}, 0.2),
        ({"hidden_dropout_prob": 0.2, "classifier_dropout": 0.0}, 0.0),
    ],
)
def test_dropout_before_the_head(write, config, dropout) -> None:
    folder = write(OF_TEXTS, tensors=classifier(2), **config)
    assert describe(folder).heads["0"]["dropout"] == dropout


@pytest.mark.parametrize(
    ("architecture", "config", "why"),
    [
        ("BertCrf", {}, "part of a BertCrf, which bertmod does not know"),
        (
            OF_TEXTS,
            {"problem_type": "ranking"},
            'head for the problem_type "ranking", which bertmod does not know',
        ),
        (OF_TEXTS, {"problem_type": "regression"}, "head of 3 values; a regression head has one"),
    ],
)
def test_a_head_that_is_not_known_is_skipped_with_the_reason(
    write, architecture, config, why
) -> None:
    more = {**classifier(3), "crf.transitions[0]": torch.zeros(3, 3)}
    folder = write(architecture, tensors=more, **config)
    found = describe(folder)
    assert (found.heads, found.encoder["hidden_size"]) == ({}, 12)
    tensors = huggingface.tensors(str(folder))
    stored = {name: tensors[name] for name in more}
    assert load_tensors(stored, found, []).skipped == dict.fromkeys(more, why)


def test_an_encoder_without_an_architecture_has_no_head(write) -> None:
    for architecture in (None, "BertModel"):
        found = describe(write(architecture, tensors=classifier(3)))
        assert found.heads == {}
        assert found.skipped["classifier.weight"] == "task head that nobody asked for"


NAMED = {
    "id2label": {"0": "entailment", "2": "contradiction", "1": "neutral"},
    "label2id": {"neutral": 1, "contradiction": 2, "entailment": 0},
}
LABELS = ("entailment", "neutral", "contradiction")


@pytest.mark.parametrize("architecture", [OF_TEXTS, "BertForTokenClassification"])
def test_labels_are_in_the_order_of_the_outputs(write, architecture) -> None:
    found = describe(write(architecture, tensors=classifier(3), **NAMED))
    assert found.infos == {"0": TaskInfo(labels=LABELS)}
    found = describe(write(architecture, tensors=classifier(3), **NAMED), ("mnli",))
    assert found.infos == {"mnli": TaskInfo(labels=LABELS)}


@pytest.mark.parametrize(
    "config",
    [{}, {"id2label": {str(n): f"LABEL_{n}" for n in range(3)}}],
)
def test_labels_that_nobody_named(write, config) -> None:
    assert describe(write(OF_TEXTS, tensors=classifier(3), **config)).infos == {}


def test_labels_of_heads_that_have_none(write) -> None:
    config = {**NAMED, "problem_type": "regression"}
    assert describe(write(OF_TEXTS, tensors=classifier(1), **config)).infos == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "id2label names 2 labels, but the head has 3 outputs"),
        ({"id2label": {"0": "a", "1": "b", "3": "c"}}, "id2label has no name for output 2"),
        ({"id2label": {"0": "a", "1": "b", "2": "a"}}, 'id2label has two outputs called "a"'),
        (
            {**NAMED, "label2id": {"neutral": 0, "entailment": 1, "contradiction": 2}},
            'label2id has "neutral" at output 0, id2label "entailment"\n'
            "  correct the one that is wrong",
        ),
        (
            {**NAMED, "label2id": {"other": 7}},
            'label2id has "other" at output 7, id2label nothing\n  correct the one that is wrong',
        ),
        (
            {"id2label": ["a", "b", "c"]},
            "id2label or label2id is not a mapping between numbers and names",
        ),
        (
            {"id2label": {"zero": "a"}},
            "id2label or label2id is not a mapping between numbers and names",
        ),
    ],
)
def test_labels_that_cannot_be_right(write, config, message) -> None:
    folder = write(OF_TEXTS, tensors=classifier(3), **config)
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == f"{folder / 'config.json'}: {message}"
    assert describe(folder, ()).heads == {}, "the encoder alone needs no labels"


@pytest.mark.parametrize(
    "own",
    [
        "text",
        {"heads": []},
        {"heads": {"a": "text"}},
        {"heads": {"a": {"slot": None}}},
        {"heads": {"a": {"slot": {"name": "bertmod/span"}}}},
    ],
)
def test_what_bertmod_wrote_of_other_heads_does_not_count(write, own) -> None:
    found = describe(write(OF_TEXTS, tensors=classifier(3), bertmod=own))
    assert found.heads == {"0": {"name": "bertmod/classification", "dropout": 0.1}}


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": [["a"], 3]},
        {"architectures": "BertModel"},
        {"architectures": [OF_TEXTS], "problem_type": ["a"]},
    ],
)
def test_configurations_of_odd_types_have_no_head(write, config) -> None:
    assert describe(write(tensors=classifier(3), **config)).heads == {}


def test_a_classifier_of_no_shape(write) -> None:
    folder = write(OF_TEXTS, tensors={"classifier.weight": torch.tensor(1.0)})
    assert describe(folder).heads == {"0": {"name": "bertmod/classification", "dropout": 0.1}}


@pytest.mark.parametrize("info", [{"value_range": 3}, {"calibration": [1]}, []])
def test_what_bertmod_wrote_is_damaged(write, info) -> None:
    slot = {"name": "bertmod/classification"}
    folder = write(
        OF_TEXTS, tensors=classifier(3), bertmod={"heads": {"a": {"slot": slot, "info": info}}}
    )
    with pytest.raises(CheckpointError, match=r'config\.json: damaged under "bertmod": '):
        describe(folder)
