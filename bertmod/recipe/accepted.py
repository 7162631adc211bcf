"""What an option accepts, in words, read off its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertmod.recipe.paths import Path
from bertmod.wording import shown

Schema = Mapping[str, Any]

_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def accepted(schema: Schema, root: Schema) -> str:
    """What a schema accepts: ``an integer, at least 1, or null``.

    Args:
        schema: The schema of one value.
        root: The schema that it is part of, for references.
    """
    schema = resolved(schema, root)
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        return _alternatives([shown(value) for value in schema["enum"]])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return _alternatives([accepted(branch, root) for branch in branches])
    return _of_type(schema, root)


def _of_type(schema: Schema, root: Schema) -> str:
    kind = schema.get("type")
    if kind == "array":
        item = schema.get("items")
        inner = f" of {_plural(accepted(item, root))}" if item else ""
        return f"a list{inner}" + (", not empty" if schema.get("minItems") else "")
    if kind == "object":
        values = schema.get("additionalProperties")
        inner = f" with {_plural(accepted(values, root))}" if isinstance(values, dict) else ""
        return f"an object{inner}"
    text = _TYPES.get(str(kind), "any value")
    if "pattern" in schema:
        text += f" that matches {schema['pattern']}"
    bounds = [f"{words} {shown(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([text, *bounds])


def _plural(text: str) -> str:
    for one, many in (("an integer", "integers"), ("a number", "numbers"), ("a string", "strings")):
        if text.startswith(one):
            return many + text[len(one) :]
    return f"entries, each {text}"


def _alternatives(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    joint = ", or " if any(", " in part for part in parts) else " or "
    return ", ".join(parts[:-1]) + joint + parts[-1]


def resolved(schema: Schema, root: Schema) -> Schema:
    """A schema with a reference at its top followed."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def option_names(schema: Schema, root: Schema) -> list[str]:
    """The keys that an object takes, or that any of the objects takes which a value may be."""
    schema = resolved(schema, root)
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    inner = [name for branch in branches for name in option_names(branch, root)]
    return [*schema.get("properties", ()), *inner]


def schema_at(root: Schema, path: Path) -> Schema | None:
    """The schema of the value at a path, or None if the path leads nowhere."""
    schema: Schema | None = root
    for step in path:
        schema = _child(schema, step, root) if schema is not None else None
    return schema


def _child(schema: Schema, step: str | int, root: Schema) -> Schema | None:
    schema = resolved(schema, root)
    candidates: list[Any] = []
    if isinstance(step, str):
        candidates = [schema.get("properties", {}).get(step), schema.get("additionalProperties")]
    elif "prefixItems" in schema and step < len(schema["prefixItems"]):
        candidates = [schema["prefixItems"][step]]
    else:
        candidates = [schema.get("items")]
    for branch in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        candidates.append(_child(branch, step, root))
    return next((found for found in candidates if isinstance(found, Mapping)), None)


def has_format(schema: Schema, name: str) -> bool:
    """Whether an option, or what a list or object in it holds, is of a format.

    Args:
        schema: The option's schema.
        name: ``path`` of a file or folder, or ``metric``, the name of one.
    """
    if schema.get("format") == name:
        return True
    parts = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    return any(isinstance(part, Mapping) and has_format(part, name) for part in parts)
