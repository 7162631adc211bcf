"""When two recipes are the same: keys in any order, but patterns in theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bertmod.recipe.schema import COMPONENTS

PER_PARAMETER = ("learning_rate", "weight_decay")
"""Settings of an optimizer that may be mappings."""


def recipe_text(values: Mapping[str, Any]) -> str:
    """JSON that is equal for equal recipes, to be compared or hashed.

    The order of keys does not count, save that of name patterns, of which the first that matches
    does: patterns that are not in alphabetical order become a list.

    Args:
        values: A recipe's JSON values.
    """
    given = values.get("optimizer")
    optimizer = dict(given) if isinstance(given, Mapping) else {}
    for key in PER_PARAMETER:
        setting = optimizer.get(key)
        order = patterns(setting)
        if isinstance(setting, Mapping) and list(order) != sorted(order):
            whole = {name: setting[name] for name in setting if name not in order}
            optimizer[key] = [whole, *([name, setting[name]] for name in order)]
    changed = {"optimizer": optimizer} if optimizer else {}
    return json.dumps({**values, **changed}, sort_keys=True)


def patterns(setting: Any) -> tuple[str, ...]:
    """The name patterns of a setting, in the order in which they are tried."""
    if not isinstance(setting, Mapping):
        return ()
    return tuple(name for name in setting if name not in COMPONENTS)
