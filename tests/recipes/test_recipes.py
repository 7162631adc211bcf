"""Every recipe in recipes/ checks, and runs two steps on a tiny encoder and tiny data.

Those in recipes/paper/ are large: they check.
"""

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
from bertmod.recipe.count import parameter_counts
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry
from bertmod.sample import sample_folder

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.json"))
PAPERS = sorted((ROOT / "recipes/paper").glob("*.json"))
SAMPLERS = ("proportional", "sqrt", "anneal")

# What each method of the PALs paper adds to BERT base for all eight tasks, parameters.
ADDED = {
    "shared": 0,
    "top_attention": 8 * 1_320_444,
    "top_layer": 8 * 7_087_872,
    "pals": 14_558_688,
    "pals_top_half": 8_536_608,
    "pals_bottom_half": 8_536_608,
    "low_rank": 8 * 1_853_616,
    "houlsby": 8 * 1_862_832,
    "houlsby_pals": 8 * 2_053_668,
    "lhuc": 8 * 9_216,
}
ON_THE_SAMPLE = {
    "shared",
    "pals_anneal",
    "pals_top_half",
    "pals_bottom_half",
    "pals_lhuc",
    "low_rank",
    "houlsby",
    "houlsby_pals",
    "lhuc",
    "top_attention",
    "top_layer",
}
SAMPLE = [path for path in RECIPES if path.stem in ON_THE_SAMPLE]
FROM_SCRATCH = [path for path in RECIPES if path.stem.startswith("pretrain")]
WITH_DATA = [path for path in RECIPES if path not in (*SAMPLE, *FROM_SCRATCH)]
PRETRAINING = [path for path in PAPERS if path.stem.endswith("pretraining")]
FINE_TUNING = [path for path in PAPERS if path not in PRETRAINING]
PAPER = [path for path in FINE_TUNING if not path.stem.startswith(("squad", "swag"))]
SIZES = {
    **{"cola": 6680, "mrpc": 2865, "mnli": 306798, "rte": 1945},
    **{"stsb": 4491, "sst2": 52616, "qqp": 284257, "qnli": 84715},
}
FEW = ["cola", "mnli", "stsb"]
SAMPLE_PARENT = ROOT / "recipes/pals_anneal.json"
PUBLISHED = ROOT / "recipes/paper/pals_anneal.json"
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


SHORT = (
    *("training.num_epochs=2", "training.steps_per_epoch=1", "training.global_batch_size=4"),
    *("evaluation.every_steps=2", "saving.every_steps=1", "evaluation.batch_size=512"),
)
"""Two steps, each saved, the second one scored."""


def row_lengths(path: Path) -> list[str]:
    """What makes the rows of a recipe short enough for the tiny encoder."""
    values = load_recipe(path).values
    stated = {"data": values.get("data", {}).get("max_length", 0)}
    stated |= {
        f"tasks[{index}]": task.get("max_length", 0) for index, task in enumerate(values["tasks"])
    }
    longest = TINY["max_position_embeddings"]
    return [f"{where}.max_length={longest}" for where, length in stated.items() if length > longest]


def small_adapters(path: Path) -> list[str]:
    """What makes the adapters of a recipe narrow enough for the tiny encoder."""
    return [
        f"adapters[{index}].bottleneck_size=12"
        for index, adapter in enumerate(load_recipe(path).values.get("adapters", ()))
        if "bottleneck_size" in adapter
    ]


def shown(path: Path) -> str:
    """A recipe's path inside the checkout."""
    return path.relative_to(ROOT).as_posix()


def test_a_recipe_for_every_method() -> None:
    assert {path.stem for path in SAMPLE} == ON_THE_SAMPLE
    assert {"conll", "swag"} <= {path.stem for path in WITH_DATA}
    assert {path.stem for path in PAPER} == {f"{m}_{s}" for m in ADDED for s in SAMPLERS}


@pytest.mark.parametrize("path", [*RECIPES, *PAPERS], ids=shown)
def test_it_names_the_schema(path) -> None:
    schema = json.loads(path.read_text())["$schema"]
    assert (path.parent / schema).resolve() == ROOT / "recipe.schema.json"


@pytest.mark.parametrize("path", [*SAMPLE, *FROM_SCRATCH], ids=shown)
def test_it_checks(path, given, capsys) -> None:
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: no problems\n")


@pytest.mark.parametrize("path", [*WITH_DATA, *FINE_TUNING], ids=shown)
def test_it_asks_for_data_and_checkpoint(path, given, capsys) -> None:
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert "--data" in told
    assert "--checkpoint" in told
    lengths = [word for option in row_lengths(path) for word in ("--set", option)]
    assert main(["check", str(path), *given, *lengths]) == 0
    assert capsys.readouterr().out.startswith(f"{path}: no problems\n")


@pytest.mark.parametrize("path", PAPER, ids=shown)
def test_the_published_parameters_and_settings(path) -> None:
    base = ("checkpoint=null", 'encoder.size="base"', "encoder.vocab_size=30522")
    recipe = resolve(load_recipe(path, overrides=base), load_registry(), data="sample")
    counts = parameter_counts(recipe)
    method, _, sampler = path.stem.rpartition("_")
    assert (counts.encoder, sum(counts.heads.values())) == (109_482_240, 12_304)
    assert sum(counts.adapters.values()) == ADDED[method]
    assert recipe.sampler.spec.name == sampler
    assert recipe.sampler.keys.sizes == SIZES
    values = recipe.to_json()
    parent = resolve(
        load_recipe(PUBLISHED, overrides=base), load_registry(), data="sample"
    ).to_json()
    assert {key for key in values if values[key] != parent[key]} <= {"adapters", "sampler"}


@pytest.mark.parametrize("path", SAMPLE, ids=shown)
def test_it_runs_two_steps(path, given, capsys, tmp_path) -> None:
    recipe = load_recipe(path).values
    assert recipe["tasks"] == load_recipe(SAMPLE_PARENT).values["tasks"]
    tasks = [task["name"] for task in recipe["tasks"]] if path == SAMPLE_PARENT else FEW
    few = f"tasks={json.dumps([{'name': task} for task in tasks])}"
    two_steps([path, *given], [*small_adapters(path), few], tmp_path / "run")
    assert tasks_of(capsys.readouterr().out, tasks) == set(tasks)


@pytest.mark.parametrize("path", [*WITH_DATA, *FROM_SCRATCH], ids=shown)
def test_it_runs_two_steps_on_tiny_data(path, given, tiny_data, capsys, tmp_path) -> None:
    tasks = [task["name"] for task in load_recipe(path).values["tasks"]]
    more = [*small_adapters(path), *row_lengths(path)]
    two_steps([path, *given, "--data", tiny_data], more, tmp_path / "run")
    assert tasks_of(capsys.readouterr().out, tasks) == set(tasks)


def two_steps(words, settings, run) -> None:
    """Run two steps, both of them saved."""
    more = [word for option in (*SHORT, *settings) for word in ("--set", option)]
    assert main(["run", *map(str, words), "--output", str(run), "--quiet", *more]) == 0
    steps = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert steps == ["step-00000001", "step-00000002"]


def tasks_of(table: str, tasks) -> set[str]:
    """The tasks that have a line in the table of scores."""
    return {task for line in table.splitlines() for task in tasks if line.startswith(f"{task} ")}


def test_a_shipped_recipe_by_its_name(given, capsys) -> None:
    assert main(["check", "low_rank"]) == 0
    assert "low_rank.json: no problems" in capsys.readouterr().out
