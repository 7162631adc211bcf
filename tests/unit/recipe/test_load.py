from __future__ import annotations

from pathlib import Path

import pytest

from bertmod.errors import RecipeError
from bertmod.recipe.jsontext import parse_json
from bertmod.recipe.load import load_recipe
from bertmod.recipe.paths import parse_path, path_text, whole_path


def failing(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides=overrides)
    return str(caught.value)


def test_text_that_is_no_json_is_told_with_line_and_column(write):
    assert failing(write('{"tasks": [\n  {"name" "cola"}]}')) == (
        "recipes/x.json: 1 problem\n  line 2, column 11\n      not JSON: expecting ':' delimiter"
    )


def test_repeated_keys_and_infinite_numbers_are_told_with_their_place(write):
    text = '{"seed": 1,\n "data": {"dir": "a", "dir": "b"},\n "x": [1, NaN, -1e999, 1e99]}'
    assert failing(write(text)) == (
        "recipes/x.json: 3 problems\n"
        "  data.dir\n"
        "      written twice, again at line 2, column 23\n"
        "      leave one of the two\n"
        "  x[1]\n"
        "      NaN at line 3, column 11 is not a finite number\n"
        "  x[2]\n"
        "      -1e999 at line 3, column 16 is not a finite number"
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a\\"": 1, "a\\"": 2}', '["a\\""]'),
        ('{"a": "NaN, {", "b": [{"c": 1, "c": 1}]}', "b[0].c"),
    ],
)
def test_braces_and_quotes_inside_texts_do_not_mislead(text, where):
    assert [problem.path for problem in parse_json(text)[1]] == [where]


def test_the_same_key_in_two_objects_is_no_repetition():
    assert parse_json('[{"a": 1}, {"a": {"a": []}}]') == ([{"a": 1}, {"a": {"a": []}}], [])


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000])
def test_monstrous_texts_are_refused(write, text):
    assert "not a recipe: " in failing(write(text))


def test_what_is_not_a_recipe_file_is_told(write):
    assert failing(write("[1]")) == (
        "recipes/x.json: 1 problem\n  (top level)\n      a recipe is a JSON object, not [1]"
    )
    Path("bytes.json").write_bytes(b'{"a": "\xff"}')
    assert failing("bytes.json") == (
        "bytes.json: 1 problem\n  (file)\n      not UTF-8 text: byte 7 cannot be decoded"
    )
    assert failing("recipes") == (
        "recipes: 1 problem\n  (file)\n      cannot be read: Is a directory"
    )


def test_a_byte_order_mark_is_let_pass(write):
    assert load_recipe(write('\ufeff{"seed": 1}')).values == {"seed": 1}


BASE = {
    "seed": 1,
    "data": {"dir": "glue", "max_length": 64},
    "sampler": {"name": "anneal", "drop": 0.5},
    "optimizer": {"name": "adamw", "clip": "global"},
    "tasks": [{"name": "cola"}],
}


def test_a_child_is_merged_into_its_parent(write):
    write(BASE, "recipes/base.json")
    child = {
        "extends": "base.json",
        "data": {"max_length": 32},
        "sampler": {"name": "sqrt"},
        "optimizer": {"name": "adamw", "idle": "dense"},
        "tasks": [{"name": "rte"}],
    }
    raw = load_recipe(write(child))
    assert raw.values == {
        "data": {"max_length": 32, "dir": "glue"},
        "sampler": {"name": "sqrt"},
        "optimizer": {"name": "adamw", "idle": "dense", "clip": "global"},
        "tasks": [{"name": "rte"}],
        "seed": 1,
    }
    assert raw.origin(("data", "dir")).label == "recipes/base.json"
    assert raw.origin(("data", "max_length")).label == ""


def test_paths_start_from_the_file_that_wrote_them(write, tmp_path):
    write({"data": {"dir": "glue"}}, "shared/base.json")
    raw = load_recipe(write({"extends": "../shared/base.json"}))
    assert raw.absolute(("data", "dir"), "glue") == str(tmp_path / "shared/glue")
    raw = load_recipe(write({"data": {}}), overrides=['data.dir="glue"'])
    assert raw.absolute(("data", "dir"), "glue") == str(tmp_path / "glue")


def test_a_component_in_a_child_repeats_its_name(write):
    write(BASE, "recipes/base.json")
    assert failing(write({"extends": "base.json", "sampler": {"drop": 1.0}})) == (
        "recipes/x.json: 1 problem\n"
        "  sampler\n"
        '      a component repeats its name; recipes/base.json says "name": "anneal"'
    )


def test_a_parent_has_no_parent(write):
    write({"extends": "old.json"}, "recipes/base.json")
    assert failing(write({"extends": "base.json"})) == (
        "recipes/x.json: 1 problem\n"
        "  extends\n"
        '      recipes/base.json extends "old.json" itself\n'
        "      a parent has no parent of its own"
    )


def test_a_missing_parent_is_told_at_extends(write):
    assert failing(write({"extends": "base.json"})) == (
        "recipes/x.json: 1 problem\n"
        "  extends\n"
        "      cannot read recipes/base.json: No such file or directory"
    )
    assert failing(write({"extends": ["a"]})) == (
        'recipes/x.json: 1 problem\n  extends\n      expected the path of one recipe, not ["a"]'
    )


def test_overrides_reach_lists_objects_and_slots_that_are_left_out(write):
    path = write({"tasks": [{"name": "cola"}], "optimizer": {"name": "adamw"}})
    raw = load_recipe(
        path,
        overrides=[
            'tasks[0].metric="dev/accuracy"',
            "optimizer.learning_rate.encoder=1e-5",
            'optimizer.learning_rate["heads.*"]=1e-4',
            "sampler.drop=0.5",
            "training.num_epochs=9",
        ],
    )
    assert raw.values == {
        "tasks": [{"name": "cola", "metric": "dev/accuracy"}],
        "optimizer": {"name": "adamw", "learning_rate": {"encoder": 1e-5, "heads.*": 1e-4}},
        "sampler": {"name": "bertmod/anneal", "drop": 0.5},
        "training": {"num_epochs": 9},
    }
    assert raw.origin(("tasks", 0, "metric")).label == "--set"
    assert raw.origin(("tasks", 0, "name")).label == ""


def test_every_override_that_cannot_be_applied_is_told(write):
    path = write({"tasks": [{"name": "cola"}], "seed": 1})
    assert failing(
        path, "sampler.name=sqrt", "foo", "tasks[1].id=1", "tasks.id=1", "seed.x=1", "seed=NaN"
    ) == (
        "recipes/x.json: 6 problems\n"
        "  sampler.name (--set)\n"
        "      sqrt is not JSON\n"
        "      a string needs its quotes: --set 'sampler.name=\"sqrt\"'\n"
        "  foo (--set)\n"
        "      not of the form path=json\n"
        "      for example --set 'training.num_epochs=5'\n"
        "  tasks[1].id (--set)\n"
        "      tasks has 1 of them, counted from 0\n"
        "  tasks.id (--set)\n"
        "      tasks is a list: write tasks[0]\n"
        "  seed.x (--set)\n"
        "      seed is 1, nothing can be set in it\n"
        "  seed (--set)\n"
        "      NaN at line 1, column 1 is not a finite number"
    )


@pytest.mark.parametrize(
    "path", [("tasks", 0, "metric"), ("a", "encoder.layer.*", 3), ("$schema",), ("x", "a b")]
)
def test_paths_are_read_as_they_are_written(path):
    assert parse_path(path_text(path) + "=1") == (path, "=1")


def test_what_is_no_path_is_one_key():
    assert whole_path("a..b") == ("a..b",)
