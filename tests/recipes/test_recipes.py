"""Every recipe in recipes/ checks, and runs two steps on a tiny encoder and the sample."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names
from bertmod.cli import main
from bertmod.sample import sample_folder

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.json"))
TINY = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "type_vocab_size": 2,
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache of the session's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A tiny encoder in the hub's layout with the sample's vocabulary."""
    folder = tmp_path_factory.mktemp("checkpoint")
    shutil.copy(sample_folder(cache / "bertmod") / "vocab.txt", folder)
    pieces = (folder / "vocab.txt").read_text().splitlines()
    config = {"vocab_size": len(pieces), **TINY}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    tensors = {
        row.stored["huggingface"]: 0.02 * torch.randn(row.shape)
        for row in names(BertConfig(**config))
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def given(cache, checkpoint, monkeypatch):
    """What the command line gives a recipe: the sample as data, the tiny encoder."""
    monkeypatch.setenv("BERTMOD_PLUGINS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return ["--data", str(sample_folder(cache / "bertmod")), "--checkpoint", str(checkpoint)]


def test_there_are_recipes() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in RECIPES}
    assert names >= {"recipes/pals_anneal.json", "recipes/paper/pals_anneal.json"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_the_schema(path) -> None:
    schema = json.loads(path.read_text())["$schema"]
    assert (path.parent / schema).resolve() == ROOT / "recipe.schema.json"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_checks(path, given, capsys) -> None:
    values = json.loads(path.read_text())
    complete = values.get("data", {}).get("dir", "") is not None
    assert main(["check", str(path), *([] if complete else given)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: no problems\n")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_it_runs_two_steps(path, given, capsys, tmp_path) -> None:
    adapters = json.loads(path.read_text()).get("adapters", [])
    small = [
        f"adapters[{index}].bottleneck_size=12"
        for index, adapter in enumerate(adapters)
        if "bottleneck_size" in adapter
    ]
    short = [
        *("training.num_epochs=2", "training.steps_per_epoch=1", "training.global_batch_size=4"),
        *("evaluation.every_steps=2", "saving.every_steps=1", "evaluation.batch_size=512"),
    ]
    words = [word for option in (*short, *small) for word in ("--set", option)]
    output = str(tmp_path / "run")
    assert main(["run", str(path), "--output", output, "--quiet", *given, *words]) == 0
    tasks = [task.get("id", task["name"]) for task in json.loads(path.read_text())["tasks"]]
    table = capsys.readouterr().out.splitlines()
    assert {task for line in table for task in tasks if line.startswith(f"{task} ")} == set(tasks)
    steps = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert steps == ["step-00000001", "step-00000002"]
