from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bertmod.recipe.report import recipe_schema
from bertmod.recipe.schema import SLOT_KEYS
from bertmod.recipe.shipped import shipped_recipes
from bertmod.specs import SPECS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def validator(registry):
    schema = recipe_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_models_of_slot_keys_are_what_the_specs_declare(spec):
    model = SLOT_KEYS.get(spec.kind)
    assert tuple(model.model_fields if model else ()) == spec.slot_keys


def test_every_field_of_the_envelope_is_described(registry):
    from bertmod.recipe.schema import RecipeKeys

    for model in [RecipeKeys, *SLOT_KEYS.values()]:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_recipes_that_ship_are_valid(validator, name):
    validator.validate(json.loads(shipped_recipes()[name].read_text(encoding="utf-8")))


GOOD = {
    "$schema": "../recipe.schema.json",
    "checkpoint": {"name": "auto", "path": None},
    "tasks": [{"name": "cola", "head": {"name": "classification"}}, {"name": "bertmod/rte"}],
    "adapters": [{"name": "pals", "layers": [0, 1]}],
    "optimizer": {"name": "adamw", "learning_rate": {"*": 1e-5}},
}


def test_a_good_recipe_is_valid(validator):
    validator.validate(GOOD)
    validator.validate({"extends": "base.json"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"adapters": [{"name": "pals", "botleneck_size": 3}]},
        {"adapters": [{"name": "palls"}]},
        {"adapters": [{"bottleneck_size": 3}]},
        {"tasks": [{"name": "cola", "head": {"name": "pals"}}]},
        {"tasks": []},
        {"checkpoint": {"name": "auto", "allow": {"mising": []}}},
        {"optimizer": {"name": "adamw", "learning_rate": 0}},
        {"training": {"num_epochs": "3"}},
        {"seeds": 1},
    ],
)
def test_what_is_wrong_is_invalid(validator, wrong):
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**GOOD, **wrong})


def test_the_schema_in_the_repository_is_up_to_date(registry):
    written = json.loads((ROOT / "recipe.schema.json").read_text(encoding="utf-8"))
    assert written == recipe_schema(registry), "run: make generated"
