"""When two recipes are the same."""

from __future__ import annotations

import json

import pytest

from bertmod.errors import RecipeError
from bertmod.library import installed
from bertmod.recipe.identity import recipe_text
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resume import resumed_recipe

PATTERNS = {"*.bias": 1e-3, "encoder.layers.*": 1e-4}
WHOLE = {"encoder": 2e-5, "heads": 3e-5}


def turned(values: dict) -> dict:
    return dict(reversed(values.items()))


@pytest.mark.parametrize("key", ["learning_rate", "weight_decay"])
def test_patterns_have_an_order_and_nothing_else_has(key) -> None:
    def text(setting: object) -> str:
        return recipe_text({"seed": 1, "optimizer": {"name": "a", key: setting}})

    assert text({**PATTERNS, **WHOLE}) != text({**turned(PATTERNS), **WHOLE})
    assert text({**turned(PATTERNS), **WHOLE}) == text({**turned(WHOLE), **turned(PATTERNS)})
    assert text(WHOLE) == text(turned(WHOLE))
    for setting in (0.1, WHOLE, {**PATTERNS, **WHOLE}):
        values = {"seed": 1, "optimizer": {key: setting, "name": "a"}}
        assert recipe_text(values) == json.dumps(values, sort_keys=True)


def test_a_recipe_without_optimizer() -> None:
    assert recipe_text({"b": 1, "a": [2]}) == '{"a": [2], "b": 1}'


def test_a_run_goes_on_with_patterns_in_its_own_order() -> None:
    def made(patterns: dict) -> object:
        optimizer = {"name": "adamw", "learning_rate": {"*": 1e-5, **patterns}}
        return resolve({"tasks": [{"name": "cola"}], "optimizer": optimizer}, installed())

    patterns = {"heads.*": 1e-3, "encoder.*": 1e-4}
    stored = made(patterns)
    assert resumed_recipe(stored, made(patterns)) == stored
    with pytest.raises(RecipeError) as caught:
        resumed_recipe(stored, made(turned(patterns)))
    assert "*, heads.*, encoder.* when the run began, *, encoder.*, heads.* now" in str(
        caught.value
    )
