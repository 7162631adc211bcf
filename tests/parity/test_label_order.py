"""A head that another program trained, with its labels in another order, answers by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from bertmod import CheckpointError, TaskInfo
from bertmod.assemble.components import build_model
from bertmod.model.report import render_report
from bertmod.recipe.foundation import cached_sample
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry
from bertmod.testing.bench import batch_of, rows_of

LABELS = ("contradiction", "entailment", "neutral")
OTHERS = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")
HEAD = ("heads.mnli.classifier.weight", "heads.mnli.classifier.bias")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Any]:
    """Saves a model of transformers' in a folder, with these label names, and gives it back."""

    def write(labels: tuple[str, ...] | None) -> Any:
        vocab = (cached_sample() / "vocab.txt").read_bytes()
        (tmp_path / "vocab.txt").write_bytes(vocab)
        torch.manual_seed(0)
        named = {} if labels is None else {"id2label": dict(enumerate(labels))}
        config = BertConfig(
            vocab_size=vocab.count(b"\n"),
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=32,
            initializer_range=0.5,
            num_labels=3,
            **named,
        )
        model = BertForSequenceClassification(config).eval()
        model.save_pretrained(tmp_path)
        return model

    return write


def loaded(folder: Path, *, labels: tuple[str, ...] = LABELS, **slot: Any) -> Any:
    """The model of a recipe that takes that head, and the load report."""
    values = {
        "data": {"max_length": 32},
        "checkpoint": {"name": "auto", "path": str(folder), "use": ["heads"], **slot},
        "tokenizer": {"name": "wordpiece", "lower_case": True},
        "tasks": [{"name": "mnli"}],
    }
    recipe = resolve(raw_recipe(values, title="x.json"), load_registry())
    model, report = build_model(recipe, {"mnli": TaskInfo(labels=labels)})
    return model.eval(), report


@pytest.mark.parametrize("labels", [LABELS, LABELS[::-1], OTHERS])
@pytest.mark.parametrize("tasks", [None, ["mnli"], ["nli"]])
def test_probabilities_by_name_are_those_of_transformers(written, tmp_path, labels, tasks) -> None:
    theirs = written(labels)
    model, report = loaded(tmp_path, tasks=tasks)
    rows = rows_of()
    batch = batch_of(rows)
    with torch.no_grad():
        decoded = model.head("mnli").decode(model(batch, "mnli"), batch)
        for row, arrays in zip(rows, decoded, strict=True):
            ids = torch.from_numpy(row)[None]
            types = (torch.arange(ids.shape[1]) >= (ids.shape[1] + 1) // 2).long()[None]
            (logits,) = theirs(ids, token_type_ids=types).logits
            expected = dict(zip((n.lower() for n in labels), logits.softmax(0), strict=True))
            for name, found in zip(LABELS, arrays["probabilities"], strict=True):
                assert abs(found - float(expected[name])) <= 1e-5
    assert report.reordered == (() if labels == LABELS else HEAD)
    assert report.unnamed == {}
    text = render_report(report)
    assert text.startswith("41 tensors used: encoder 39, heads.mnli 2")
    told = "2 tensors put into the order of the task's label names\n  heads.mnli.classifier.weight"
    assert (told in text) is (labels != LABELS)


def test_labels_that_nobody_named(written, tmp_path, caplog) -> None:
    written(None)
    _, report = loaded(tmp_path)
    assert "label names unknown in the file: its heads.mnli is taken" in caplog.text
    assert report.unnamed == {"heads.mnli": LABELS}
    assert render_report(report) == (
        "41 tensors used: encoder 39, heads.mnli 2\n"
        "label names unknown in the file: heads.mnli taken in the task's order contradiction, "
        "entailment, neutral"
    )


def test_labels_of_another_task(written, tmp_path) -> None:
    written(("negative", "neutral", "positive"))
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path)
    assert str(caught.value).startswith(
        f'{tmp_path}: head of "mnli": the labels are not the task\'s\n'
        "  in the file: negative, neutral, positive\n"
        "  of the task: contradiction, entailment, neutral\n"
    )


def test_a_file_without_the_head_that_was_asked_for(written, tmp_path) -> None:
    written(None).bert.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} does not fit the model\n"
        "  2 tensors missing from the file:\n"
        "      heads.mnli.classifier.weight\n      heads.mnli.classifier.bias\n"
        "  if that is meant, allow names by pattern in the checkpoint slot: "
        '"allow": {"missing": [...]}'
    )
    _, report = loaded(tmp_path, allow={"missing": ["heads.*"]})
    assert (report.missing, report.unnamed) == (HEAD, {})
    assert render_report(report).startswith(
        "39 tensors used: encoder 39\n2 tensors missing, allowed\n"
    )


def test_a_head_that_nobody_asked_for_may_have_any_labels(written, tmp_path) -> None:
    written(("negative", "neutral", "positive"))
    _, report = loaded(tmp_path, use=[])
    assert (report.reordered, report.unnamed) == ((), {})
    assert set(report.skipped) == {"classifier.weight", "classifier.bias"}
