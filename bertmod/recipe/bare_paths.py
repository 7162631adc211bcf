"""Recipes to be shown to others, who have no use for where files lay."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from typing import Any

from bertmod.recipe.draft import path_options
from bertmod.recipe.schema import LIST_SLOTS, SLOT_KINDS
from bertmod.registry import Registry, UnknownNameError


def bare_paths(recipe: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """A resolved recipe with the last part alone of each absolute path.

    Args:
        recipe: JSON values.
        registry: What is installed; options of any other component stay as they are.
    """
    values = copy.deepcopy(dict(recipe))
    for kind, slot in _slots(values):
        try:
            model = registry.get(kind, slot["name"]).spec.config
        except UnknownNameError:
            continue
        for key in path_options(kind, model) & slot.keys():
            slot[key] = _bare(slot[key])
    for part, key in (("data", "dir"), ("checkpoint", "path")):
        if values[part] is not None:
            values[part][key] = bare_path(values[part][key])
    return values


def _slots(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every component's slot, its kind before it."""
    for key, kind in SLOT_KINDS.items():
        for slot in values[key] if key in LIST_SLOTS else [values[key]]:
            if slot is not None:
                yield kind, slot
    for task in values["tasks"]:
        if task["head"] is not None:
            yield "head", task["head"]


def bare_path(path: str) -> str:
    """The last part of an absolute path; anything else, such as ``hf:NAME``, as it is."""
    return os.path.basename(path) or path if os.path.isabs(path) else path


def _bare(value: Any) -> Any:
    """A path, or every one in a list or object, by its last part."""
    if isinstance(value, str):
        return bare_path(value)
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    return value
