"""The recipes and tables of the benchmarks; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import adapters, methods, mrpc, questions, tags
from benchmarks.peers import PEERS
from benchmarks.results import Results, Run, score_table
from benchmarks.settings import FineTuning
from benchmarks.single_task import VARIANTS, Comparison, Discipline
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import load_registry

MINILM = {
    "name": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
OURS = tuple(tool for method in adapters.METHODS for tool in method.ours)


def resolved(values: dict[str, Any]) -> ResolvedRecipe:
    """A recipe without the checkpoint that it names, at the size of MiniLM."""
    registry = load_registry()
    for adapter in values["adapters"]:
        if adapter["name"] not in registry.names("adapter"):
            pytest.skip(f"no adapter {adapter['name']} is installed")
    return resolve({**values, "checkpoint": None, "encoder": MINILM}, registry)


def own_parameters(recipe: ResolvedRecipe) -> int:
    return sum(
        adapter.spec.num_parameters(adapter.config, recipe.shape, adapter.layers)
        for adapter in recipe.adapters
    )


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_method_has_a_recipe(name: str) -> None:
    values = methods.recipe(methods.METHODS[name], data="sample", checkpoint="", steps=600)
    training = resolved(values).training
    assert training.num_epochs * training.steps_per_epoch == 600


def test_methods_that_can_be_made_as_large_are() -> None:
    sizes = [
        own_parameters(
            resolved(methods.recipe(methods.METHODS[name], data="sample", checkpoint=""))
        )
        for name in ("pals", "low_rank", "houlsby")
    ]
    assert sizes == [354_024, 352_968, 355_260]


@pytest.mark.parametrize("tool", OURS)
def test_adapters_are_as_large_as_the_peers(tool: str) -> None:
    comparison = adapters.Comparison("sample", "", pythons={}, work=None)  # type: ignore[arg-type]
    recipe = resolved(comparison.recipe(tool, seed=1))
    assert recipe.freeze == "encoder"
    assert own_parameters(recipe) == {"lora": 73_728, "bottleneck": 226_080}[tool.split()[1]]


def test_peers_of_the_adapters_have_environments() -> None:
    assert set(adapters.peers(adapters.TOOLS)) <= PEERS.keys()
    assert adapters.peers(OURS) == ()


def run(tool: str, **details: int) -> Run:
    return Run(tool, 1, {"accuracy": 0.5, "F1": 0.25}, "fp32", 3, 7.0, details)


def test_table_shows_chosen_details() -> None:
    results = Results({}, {}, (run("one", size=1234),))
    assert score_table(results, ["one", "two"], columns={"parameters": "size"}) == [
        "| tool | precision | seed | accuracy | F1 | parameters | steps | seconds |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| one | fp32 | 1 | 50.00 | 25.00 | 1,234 | 3 | 7 |",
        "| **one** | fp32 | mean of 1 | **50.00** | **25.00** |  |  | 7 |",
    ]


def test_other_numbers_of_parameters_are_told() -> None:
    ours = run("ours", adapter_parameters=10, head_parameters=2)
    theirs = run("theirs", adapter_parameters=10, head_parameters=2, encoder_parameters=0)
    assert adapters.parameters_verdict(ours, theirs) == "as many trained parameters"
    theirs = run("theirs", adapter_parameters=12, head_parameters=2, encoder_parameters=3)
    assert adapters.parameters_verdict(ours, theirs) == (
        "OTHER trained parameters: adapter 10 beside 12, encoder 0 beside 3"
    )


DISCIPLINES = (
    (mrpc.MRPC, FineTuning()),
    (questions.QUESTIONS, questions.SETTINGS),
    (tags.TAGS, tags.SETTINGS),
)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("discipline", "settings"), DISCIPLINES)
def test_single_tasks_have_recipes_that_train_everything(
    discipline: Discipline, settings: FineTuning, variant: str
) -> None:
    comparison = Comparison(discipline, "sample", "", Path(), Path(), settings)
    recipe = resolved(comparison.recipe(variant, seed=1))
    assert (recipe.freeze, recipe.adapters) == ("none", ())
    (task,) = recipe.tasks
    assert task.max_length == settings.max_length
    assert task.head is not None
    assert task.head.spec.name == discipline.head
    assert getattr(task.head.config, "dropout", None) == (
        settings.dropout if discipline.head_has_dropout else None
    )


def test_tools_make_as_many_steps() -> None:
    settings = FineTuning(num_epochs=3, batch_size=16)
    assert settings.num_steps(2549) == 3 * 160
    assert FineTuning(steps=7).num_steps(2549) == 7
