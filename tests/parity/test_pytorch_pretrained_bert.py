"""Old files of the first PyTorch port, taken as a recipe's checkpoint, give its outputs."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bertmod import Feature, TaskInfo
from bertmod.assemble.components import build_model
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.library import installed
from bertmod.recipe.resolve import resolve

pytestmark = pytest.mark.shared
SEQUENCE = "01_sequence_classification"
FILES = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv"}
TASKS = {
    SEQUENCE: {"name": "table", **FILES, "text": "body", "label": "kind"},
    "01_question_answering": {"name": "squad", "max_query_length": 6},
    "01_multiple_choice": {"name": "swag"},
    "01_token_classification": {"name": "conll"},
}
LABELS = {SEQUENCE: 5, "01_token_classification": 4}


@pytest.fixture(params=["folder", "file", "archive"])
def checkpoint(request, tmp_path: Path, monkeypatch):
    """Writes the tensors of a case as the port's own programs did; gives what a user names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
        folder = tmp_path / "old"
        folder.mkdir()
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in tensors.items()
        }
        assert not any("LayerNorm.weight" in name for name in old)
        torch.save(old, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
        (folder / "bert_config.json").write_text(json.dumps(values), encoding="utf-8")
        entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(4, 71))]
        (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
        if request.param == "archive":
            with tarfile.open(tmp_path / "old.tar.gz", "w:gz") as made:
                made.add(folder, ".")
            return tmp_path / "old.tar.gz"
        return folder / "pytorch_model.bin" if request.param == "file" else folder

    return write


def feature(index: int, tensors: Mapping[str, Tensor], kind: str) -> Feature:
    """One feature of a case; its rows, as many tokens as its mask says."""
    rows = []
    names = ("input_ids", "token_type_ids", "attention_mask")
    whole = (torch.atleast_2d(tensors[f"input/{name}"][index]) for name in names)
    for ids, types, mask in zip(*whole, strict=True):
        length = int(mask.sum())
        kept = {"input_ids": ids[:length].numpy().astype(np.int32)}
        kept["token_type_ids"] = types[:length].numpy().astype(np.uint8)
        rows.append(kept)
    if kind == "conll":
        labels = tensors["input/labels"][index, :length].numpy()
        return Feature(index, tuple(rows), {"labels": labels}, {"words": np.arange(length)}, {})
    if kind == "squad":
        places = {side: int(tensors[f"input/{side}_positions"][index]) for side in ("start", "end")}
        return Feature(index, tuple(rows), {}, places, {})
    return Feature(index, tuple(rows), {"labels": int(tensors["input/labels"][index])}, {}, {})


def expected(
    tensors: Mapping[str, Tensor], kind: str, index: int, length: int
) -> dict[str, Tensor]:
    if kind == "squad":
        sides = (f"{side}_logits" for side in ("start", "end"))
        return {side: tensors[f"output/{side}"][index, :length] for side in sides}
    logits = tensors["output/logits"][index]
    return {"probabilities": (logits[:length] if kind == "conll" else logits).softmax(-1)}


@pytest.mark.parametrize("name", TASKS)
def test_heads_that_the_recipe_takes(golden_case, checkpoint, name) -> None:
    """The head comes from the file, because ``use`` names its task."""
    case, kind = golden_case(name), TASKS[name]["name"]
    tensors = case.tensors
    weights = {key[7:]: value for key, value in tensors.items() if key.startswith("weight/")}
    path = checkpoint(case.info["config"], weights)
    values = {
        "data": {"dir": "sample", "max_length": 16},
        "checkpoint": {"name": "auto", "path": str(path), "use": [kind]},
        "tokenizer": {"name": "wordpiece", "lower_case": True},
        "tasks": [TASKS[name]],
    }
    recipe = resolve(values, installed())
    assert recipe.checkpoint.full_name == "bertmod/pytorch_pretrained_bert"
    labels = tuple(map(str, range(LABELS[name]))) if name in LABELS else None
    model, report = build_model(recipe, {kind: TaskInfo(labels)})
    assert len(report.used) == len(weights)
    assert (report.skipped, report.initialised, report.unexpected) == ({}, (), ())
    table = FeatureTable.from_features(
        feature(index, tensors, kind) for index in range(len(tensors["input/input_ids"]))
    )
    found = decode(model.eval(), kind, table, settings=EvaluationSettings())
    for index, arrays in enumerate(found):
        wanted = expected(tensors, kind, index, int(table.row_lengths[index]))
        for key, value in wanted.items():
            np.testing.assert_allclose(arrays[key], value.numpy(), rtol=0, atol=1e-5)


def test_every_layer_without_a_prefix(reference, golden_case, checkpoint) -> None:
    case = golden_case("01_bert_model")
    path = checkpoint(case.info["config"], reference.weights(case.tensors))
    loaded = reference.Loaded("pytorch_pretrained_bert", path)
    rows = reference.Rows(case.tensors, "packed")
    with torch.no_grad():
        output = loaded.model.encoder(rows.batch(), want=frozenset({"layers", "pooled"}))
    names = ["embedding_output", "encoder_layer_0", "encoder_layer_1"]
    for name, found in zip(names, output.layers, strict=True):
        wanted = case.tensors[f"output/{name}"][rows.real]
        torch.testing.assert_close(rows.tokens(found), wanted, rtol=0, atol=1e-5)
    pooled = case.tensors["output/pooled_output"]
    torch.testing.assert_close(output.pooled_RH, pooled, rtol=0, atol=1e-5)


def test_heads_of_pretraining(reference, golden_case, checkpoint) -> None:
    """Both are told from their names, and every tensor finds its place."""
    case = golden_case("01_pretraining_heads")
    weights = reference.weights(case.tensors)
    path = checkpoint(case.info["config"], weights)
    loaded = reference.Loaded("pytorch_pretrained_bert", path, tasks=("pieces", "order"))
    assert loaded.description.heads == {
        "pieces": {"name": "bertmod/masked_lm", "hidden_act": "gelu"},
        "order": {"name": "bertmod/next_sentence"},
    }
    assert len(loaded.report.used) == len(weights)
    head = loaded.model.head("order")
    found = dict(head.named_parameters())["classifier.weight"]
    assert torch.equal(found, weights["cls.seq_relationship.weight"])
