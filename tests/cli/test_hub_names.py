"""A run from a name on the hub: it needs the cache to begin, and no network ever after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names

FIRST, SECOND = "1" * 40, "2" * 40
NAME = "someone/tiny"


@pytest.fixture
def hub(tmp_path, monkeypatch, sample):
    """The hub's cache with a model at one commit, or its main branch at another one."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(commit: str) -> Path:
        repo = cache / f"models--{NAME.replace('/', '--')}"
        folder = repo / "snapshots" / commit
        (repo / "refs").mkdir(parents=True, exist_ok=True)
        (repo / "refs" / "main").write_text(commit)
        folder.mkdir(parents=True)
        shutil.copy(sample / "vocab.txt", folder)
        values = {
            "vocab_size": len((sample / "vocab.txt").read_text(encoding="utf-8").splitlines()),
            "hidden_size": 24,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            "type_vocab_size": 2,
        }
        (folder / "config.json").write_text(json.dumps({"model_type": "bert", **values}))
        rows = names(BertConfig.model_validate(values))
        tensors = {row.stored["huggingface"]: torch.randn(row.shape) / 50 for row in rows}
        save_file(tensors, folder / "model.safetensors")
        return folder

    return put


def test_run_resume_and_predict(here, recipe, hub, cola, table, tmp_path) -> None:
    snapshot = hub(FIRST)
    name = recipe(encoder={"name": "bert"}, evaluation={"every_steps": 3})
    words = ("run", name, "--data", cola, "--output", "out", "--quiet")
    result = here(*words, "--checkpoint", f"hf:{NAME}", "--set", "training.num_epochs=1")
    assert (result.returncode, result.stderr) == (
        0,
        "note: checkpoint.path: read as huggingface (a name on the Hugging Face hub)\n",
    )
    stored = json.loads((tmp_path / "out/recipe.json").read_text())
    pinned = f"hf:{NAME}@{FIRST}"
    assert stored["checkpoint"]["path"] == pinned
    locked = json.loads((tmp_path / "out/lock.json").read_text())
    assert {Path(path).parent for path in locked["checkpoint"]} == {snapshot}

    hub(SECOND)
    moved = here(*words, "--checkpoint", f"hf:{NAME}", "--resume")
    assert moved.returncode == 2
    assert f"{pinned} when the run began, hf:{NAME}@{SECOND} now" in moved.stderr
    resumed = here(*words, "--checkpoint", pinned, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert len((tmp_path / "out/metrics.jsonl").read_text().splitlines()) > 1

    shutil.rmtree(tmp_path / "hub")
    text = table("rows.jsonl", json.dumps({"sentence": "the cat sat"}) + "\n")
    answered = here(
        "predict", "out", "--task", "cola", "--input", text, "--output", "answers.jsonl"
    )
    assert answered.returncode == 0, answered.stderr
    gone = here(*words, "--checkpoint", pinned, "--resume")
    assert gone.returncode == 2
    assert f"hf download {NAME}" in gone.stderr
