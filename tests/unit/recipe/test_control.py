"""Patience, limits of time and averages: what a recipe may say of them."""

from __future__ import annotations

import itertools

from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve


def test_numbers_out_of_range(report) -> None:
    values = {
        "tasks": [{"name": "cola", "patience": 0}],
        "training": {"ema": 1.0, "max_minutes": 0},
        "evaluation": {"patience": 0},
    }
    lines = [line.strip() for line in report(values).splitlines()]
    found = {path: what for path, what in itertools.pairwise(lines) if what.startswith("expected")}
    assert found == {
        "tasks[0].patience": "expected an integer, at least 1, or null, not 0",
        "training.max_minutes": "expected a number, above 0, or null, not 0",
        "training.ema": "expected a number, above 0, below 1, or null, not 1.0",
        "evaluation.patience": "expected an integer, at least 1, or null, not 0",
    }


def test_patience_of_a_task_that_trains_nothing(report) -> None:
    tasks = [{"name": "mnli"}, {"name": "ax", "uses": "mnli", "patience": 2}]
    assert report({"tasks": tasks}) == (
        "recipes/x.json: 1 problem\n"
        "  tasks[1].patience\n"
        '      "ax" uses "mnli" and trains nothing\n'
        "      leave it out"
    )


def test_a_task_has_the_patience_of_the_run_or_its_own(write, registry) -> None:
    tasks = [{"name": "cola", "patience": 2}, {"name": "rte"}]
    path = write({"tasks": tasks, "evaluation": {"patience": 5}})
    assert [task.patience for task in resolve(load_recipe(path), registry).tasks] == [2, 5]
    path = write({"tasks": tasks})
    assert [task.patience for task in resolve(load_recipe(path), registry).tasks] == [2, None]


def test_what_chooses_a_best_state_that_is_not_kept(report, write, registry) -> None:
    values = {"tasks": [{"name": "cola"}], "saving": {"best": False}}
    assert report({**values, "evaluation": {"select": "sum"}}) == (
        "recipes/x.json: 1 problem\n"
        "  evaluation.select\n"
        '      "sum" chooses the best state, and saving.best is false\n'
        "      leave it out, or keep the best states"
    )
    assert not resolve(load_recipe(write(values)), registry).saving.best
