"""A small model in the folders that a run would leave."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from bertmod.assemble.components import build_model, build_tokenizer
from bertmod.assemble.writer import ModelWriter
from bertmod.contracts.head import TaskInfo
from bertmod.library import installed
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.resolve import resolve

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sat", "the", "dog", "ran", ".")
PALS = {"name": "pals", "bottleneck_size": 12, "num_heads": 2}
RECIPE = {
    "data": {"max_length": 12},
    "encoder": {
        "name": "bert",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 16,
    },
    "tasks": [
        {"name": "cola"},
        {"name": "sst2", "max_length": 9},
        {"name": "mnli"},
        {"name": "stsb"},
        {"name": "rte"},
        {"name": "qnli"},
        {"name": "qqp"},
    ],
    "adapters": [
        {**PALS, "tasks": ["cola", "sst2", "mnli", "stsb"]},
        {
            "name": "bottleneck",
            "bottleneck_size": 4,
            "layer_norms": ["output_norm"],
            "tasks": ["rte", "qnli"],
        },
        {**PALS, "id": "wide", "bottleneck_size": 24, "tasks": ["qqp"]},
    ],
}
INFOS = {
    "cola": TaskInfo(labels=("0", "1")),
    "sst2": TaskInfo(labels=("0", "1"), calibration={"threshold": 0.25}),
    "mnli": TaskInfo(labels=("contradiction", "entailment", "neutral")),
    "stsb": TaskInfo(value_range=(0.0, 5.0)),
    "rte": TaskInfo(labels=("not_entailment", "entailment")),
    "qnli": TaskInfo(labels=("not_entailment", "entailment")),
    "qqp": TaskInfo(labels=("0", "1")),
}


class State(NamedTuple):
    """A model and the folder of its files; nobody writes into it."""

    folder: Path
    model: MultiTaskModel
    hash: str
    writer: ModelWriter


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    """Seven tasks: PALs, bottlenecks with LayerNorms of their own, wider PALs."""
    folder = tmp_path_factory.mktemp("state")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    tokenizer = {"name": "wordpiece", "vocab": str(folder / "vocab.txt")}
    recipe = resolve({**RECIPE, "tokenizer": tokenizer}, installed())
    model, _ = build_model(recipe, INFOS)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    writer = ModelWriter(recipe, model, build_tokenizer(recipe))
    found = writer.encoder_hash()
    (folder / "encoder").mkdir()
    writer.write_encoder(folder / "encoder", found)
    for task in model.tasks:
        facts = {"encoder_hash": found, "metric": "dev/accuracy", "score": 0.5, "step": 7}
        writer.write_task(folder / task, task, facts)
    return State(folder, model.eval(), found, writer)
