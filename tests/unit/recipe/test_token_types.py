"""Pairs of texts need an encoder that tells the two apart, which is known before any data is."""

from __future__ import annotations

import pytest

from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve

SINGLE = {"name": "bert", "type_vocab_size": 1}
REMEDY = "      take a task of single texts, or an encoder that was trained on pairs"


def problem(place: int, task: str) -> list[str]:
    what = f'task "{task}" has pairs of texts, of 2 token types, but encoder "bert" has'
    return [f"  tasks[{place}]", f"      {what} type_vocab_size 1", REMEDY]


def test_glue(report) -> None:
    names = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "xnli"]
    tasks = [{"name": name} for name in names] + [{"name": "ax", "uses": "mnli"}]
    text = report({"encoder": SINGLE, "tasks": tasks})
    expected = [
        line for place, task in enumerate([*names, "ax"][2:], 2) for line in problem(place, task)
    ]
    assert text.splitlines() == ["recipes/x.json: 9 problems", *expected]


@pytest.mark.parametrize(
    ("task", "num_types"),
    [
        ({"name": "table", "train": "a.tsv"}, 1),
        ({"name": "table", "train": "a.tsv", "text": ["a"]}, 1),
        ({"name": "table", "train": "a.tsv", "text": ["a", "b"]}, 2),
        ({"name": "table", "train": "a.tsv", "text": ["a", "b", "c"]}, 2),
        ({"name": "squad"}, 2),
        ({"name": "span_table", "train": "a.tsv"}, 2),
        ({"name": "swag"}, 2),
        ({"name": "choice_table", "train": "a.tsv"}, 2),
        ({"name": "conll"}, 1),
        ({"name": "tag_table", "train": "a.tsv"}, 1),
    ],
)
def test_other_tasks(report, write, registry, task, num_types) -> None:
    values = {"encoder": SINGLE, "tasks": [task]}
    if num_types == 1:
        assert resolve(load_recipe(write(values)), registry).shape.type_vocab_size == 1
    else:
        lines = ["recipes/x.json: 1 problem", *problem(0, task["name"])]
        assert report(values).splitlines() == lines


def test_an_encoder_of_pairs_takes_single_texts_too(write, registry) -> None:
    path = write({"tasks": [{"name": "cola"}, {"name": "rte"}]})
    assert resolve(load_recipe(path), registry).shape.type_vocab_size == 2
