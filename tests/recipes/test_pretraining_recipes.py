"""The recipes of recipes/paper/ that pre-train: BERT base, and the 24 sizes that came later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertmod.cli import main
from bertmod.recipe.count import parameter_counts
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import load_registry

ROOT = Path(__file__).parents[2]
BASE = ROOT / "recipes/paper/bert_base_pretraining.json"
STUDENTS = ROOT / "recipes/paper/well_read_students"
SIZES = [(layers, hidden) for layers in (2, 4, 6, 8, 10, 12) for hidden in (128, 256, 512, 768)]

# Layers and hidden size to the parameters of the encoder, pooler included, as transformers counts
# them in google/bert_uncased_L-*_H-*.
RELEASED = {
    (2, 128): 4_385_920,
    (4, 256): 11_170_560,
    (4, 512): 28_763_648,
    (8, 512): 41_373_184,
    (12, 768): 109_482_240,
}


def resolved(path: Path) -> ResolvedRecipe:
    """The recipe, over any data folder."""
    return resolve(load_recipe(path), load_registry(), data="sample")


def values(path: Path) -> dict[str, Any]:
    return resolved(path).to_json()


def encoder_size(layers: int, hidden: int) -> int:
    """Embeddings and their LayerNorm, layers, pooler."""
    inner = 4 * hidden
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    feed_forward = hidden * inner + inner + inner * hidden + hidden + 2 * hidden
    embeddings = (30_522 + 512 + 2) * hidden + 2 * hidden
    return embeddings + layers * (attention + feed_forward) + hidden * hidden + hidden


def heads_size(hidden: int) -> int:
    """Transform with its LayerNorm, the output's bias, and two classes of next sentences."""
    return hidden * hidden + hidden + 2 * hidden + 30_522 + 2 * hidden + 2


def test_published_settings() -> None:
    recipe = values(BASE)
    training = recipe["training"]
    assert training["num_epochs"] * training["steps_per_epoch"] == 1_000_000
    assert training["global_batch_size"] == 256
    assert recipe["schedule"]["warmup_proportion"] * 1_000_000 == pytest.approx(10_000)
    optimizer = recipe["optimizer"]
    assert (optimizer["learning_rate"], optimizer["weight_decay"]) == (1e-4, 0.01)
    assert (optimizer["clip"], optimizer["max_grad_norm"]) == ("global", 1.0)
    assert (optimizer["name"], optimizer["betas"]) == ("bertmod/bert_adam", [0.9, 0.999])
    (task,) = recipe["tasks"]
    assert [(each["share"], each["train"]) for each in task["phases"]] == [
        (0.9, ["seq128"]),
        (0.1, ["seq512"]),
    ]
    assert (task["masking"]["kind"], task["next_sentence"]) == ("static", "nsp")


def test_every_size_has_a_recipe() -> None:
    names = {f"l{layers}_h{hidden}" for layers, hidden in SIZES}
    assert {path.stem for path in STUDENTS.iterdir()} == names


@pytest.mark.parametrize(("layers", "hidden"), SIZES)
def test_parameters_of_a_size(layers, hidden) -> None:
    path = STUDENTS / f"l{layers}_h{hidden}.json"
    schema = json.loads(path.read_text())["$schema"]
    assert (path.parent / schema).resolve() == ROOT / "recipe.schema.json"
    counts = parameter_counts(resolved(path))
    assert counts.encoder == encoder_size(layers, hidden)
    assert counts.encoder == RELEASED.get((layers, hidden), counts.encoder)
    assert sum(counts.heads.values()) == heads_size(hidden)
    recipe, base = values(path), values(BASE)
    assert {key for key in recipe if recipe[key] != base[key]} <= {"encoder"}
    assert recipe["encoder"]["num_attention_heads"] == hidden // 64


@pytest.fixture
def corpus(tmp_path, monkeypatch) -> Path:
    """The data that the recipes name, as tiny texts."""
    monkeypatch.setenv("BERTMOD_PLUGINS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("seq128", "seq512", "dev512"):
        sentences = "the cat sat here\nand the dog sat there\n\n"
        (tmp_path / name).write_text(sentences * 4)
    return tmp_path


@pytest.mark.parametrize("name", ["bert_base_pretraining", "well_read_students/l12_h768"])
def test_it_asks_for_data(name, corpus, capsys) -> None:
    assert main(["check", f"paper/{name}"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["check", f"paper/{name}", "--data", str(corpus)]) == 0


def test_the_plan_has_the_integers(corpus, capsys) -> None:
    assert main(["plan", "paper/well_read_students/l2_h128", "--data", str(corpus)]) == 0
    assert f"{encoder_size(2, 128):,}" in capsys.readouterr().out
