"""The page on the recipe's envelope: top level, nested objects, slot keys."""

from __future__ import annotations

import json
from typing import get_args

from pydantic import BaseModel

from bertmod.recipe.schema import DEFAULT_SLOTS, LIST_SLOTS, SLOT_KEYS, SLOT_KINDS, RecipeKeys
from reference_pages.markdown import code, escaped, options_table, page, table

INTRO = """
A recipe is a JSON file with an object of these keys. Every key has a default but `tasks`; what a
run really used, with all defaults, is in the run folder's `recipe.json`. Unknown keys, a key
written twice, numbers that are not finite and values of another type are problems, and `bertmod
check` lists all of them at once.
"""

SLOTS = """
## Slots

A **slot** holds a component: an object whose `name` picks the component, as `name` or
`provider/name`, or a list of such objects. The component's own options stand beside the name
([components](components.md)), and so do the slot keys below.
"""

SLOT_KEYS_INTRO = """
## Slot keys

These keys belong to the recipe and not to a component: every component of the kind takes them,
those of other people's plugins too.
"""

REUSE = """
## Reuse

`extends`
:   Path of one parent recipe, relative to this file; the parent has no parent. Objects merge key by
    key. Lists are replaced, and so is a component by one of another name; a component in a child
    repeats its `name`.

`--set path=json`
:   On the command line, any number of times: `--set seed=7`, `--set optimizer.learning_rate=3e-5`,
    `--set 'tasks[0].loss_weight=2.0'`. The value is JSON, so a text has quotation marks. It is
    checked like the rest.

`$schema`
:   For editors; ignored otherwise. `bertmod schema` writes a schema of everything installed.

Paths in a recipe are relative to the file that states them. There is no interpolation, no import
path and no code in a recipe.
"""


def recipe_page() -> str:
    """Everything in a recipe but the components' own options."""
    parts = [INTRO, "## Top level", _top_level()]
    for name, model in _nested().items():
        parts += [f"## {code(name)}", options_table(model)]
    parts += [SLOTS, _slots(), SLOT_KEYS_INTRO]
    for kind, model in SLOT_KEYS.items():
        parts += [f"### {kind.capitalize()}s", options_table(model)]
        parts += [
            text
            for name, inner in _inner(model).items()
            for text in (f"`{name}` is an object of", options_table(inner))
        ]
    return page("Recipe", *parts, REUSE)


def _inner(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Keys of a model that hold, or may hold, a model of their own."""
    return {
        name: each
        for name, field in model.model_fields.items()
        for each in (field.annotation, *get_args(field.annotation))
        if isinstance(each, type) and issubclass(each, BaseModel)
    }


def _nested() -> dict[str, type[BaseModel]]:
    return _inner(RecipeKeys)


def _top_level() -> str:
    return options_table(RecipeKeys)


def _slots() -> str:
    rows = [
        [
            code(key),
            kind if key not in LIST_SLOTS else f"a list, each one {kind}",
            "required" if key not in DEFAULT_SLOTS else escaped_default(key),
        ]
        for key, kind in SLOT_KINDS.items()
    ]
    return table(["key", "holds", "default"], rows)


def escaped_default(key: str) -> str:
    """The default of a slot, as JSON."""
    text = json.dumps(DEFAULT_SLOTS[key])
    return code(text) if text != "null" else escaped("null: training starts from random weights")
