"""What is told of recipes: the JSON Schema of all that is installed, and a short summary."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bertmod.recipe.count import parameter_counts
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.schema import (
    AUTO,
    DEFAULT_SLOTS,
    LIST_SLOTS,
    SLOT_KINDS,
    LoaderKeys,
    RecipeKeys,
    slot_model,
)
from bertmod.recipe.validate import json_schema
from bertmod.registry import Entry, Registry
from bertmod.specs import Spec
from bertmod.wording import counted

DIALECT = "https://json-schema.org/draft/2020-12/schema"

SLOT_HELP = {
    "checkpoint": "Checkpoint that training starts from; null: from scratch.",
    "encoder": "Encoder that all tasks share.",
    "tokenizer": "Tokenizer.",
    "tasks": "Tasks, at least one.",
    "adapters": "Adapters, in the order in which they act.",
    "sampler": "How the task of each step is drawn.",
    "optimizer": "Optimizer.",
    "schedule": "Learning-rate schedule.",
    "trackers": "What hears about the run.",
}


def recipe_schema(registry: Registry) -> dict[str, Any]:
    """The JSON Schema of a recipe, with the options of every installed component."""
    definitions: dict[str, Any] = {}
    kinds = [*dict.fromkeys(SLOT_KINDS.values()), "head"]
    for kind in kinds:
        definitions[kind] = {"oneOf": _alternatives(registry, kind, definitions)}
    properties = _hoisted(json_schema(RecipeKeys), "recipe", definitions)["properties"]
    for key, kind in SLOT_KINDS.items():
        properties[key] = _slot_schema(key, kind)
    text = {"type": "string"}
    properties["$schema"] = {**text, "description": "Where this schema is, for editors."}
    properties["extends"] = {**text, "description": "Recipe that this one is merged into."}
    return {
        "$schema": DIALECT,
        "title": "bertmod recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["tasks"]}, {"required": ["extends"]}],
        "$defs": definitions,
    }


def _slot_schema(key: str, kind: str) -> dict[str, Any]:
    one = {"$ref": f"#/$defs/{kind}"}
    extra: dict[str, Any] = {"description": SLOT_HELP[key]}
    if key in DEFAULT_SLOTS:
        extra["default"] = DEFAULT_SLOTS[key]
    if key in LIST_SLOTS:
        least = {"minItems": 1} if key == "tasks" else {}
        return {"type": "array", "items": one, **least, **extra}
    if key == "checkpoint":
        return {"anyOf": [one, {"type": "null"}], **extra}
    return {**one, **extra}


def _alternatives(
    registry: Registry, kind: str, definitions: dict[str, Any]
) -> list[dict[str, str]]:
    """References to one definition for each component of a kind."""
    found = []
    bare = set(registry.names(kind))
    for entry in registry.entries(kind):
        name = f"{kind}:{entry.full_name}".replace("/", ".")
        definitions[name] = _component(entry, kind, bare, definitions)
        found.append({"$ref": f"#/$defs/{name}"})
    if kind == "loader":
        own = _hoisted(json_schema(LoaderKeys), "loader:auto", definitions)
        definitions["loader:auto"] = _named(own, [AUTO], "Whichever loader knows the checkpoint.")
        found.append({"$ref": "#/$defs/loader:auto"})
    return found


def _component(
    entry: Entry[Spec], kind: str, bare: set[str], definitions: dict[str, Any]
) -> dict[str, Any]:
    spec = entry.spec
    label = f"{kind}:{entry.full_name}".replace("/", ".")
    options = _hoisted(json_schema(spec.config), label, definitions)
    keys = _hoisted(json_schema(slot_model(kind)), label, definitions)
    if kind == "task":
        head = keys["properties"]["head"]
        head["anyOf"] = [{"$ref": "#/$defs/head"}, {"type": "null"}]
    merged = {
        **options,
        "properties": {**options.get("properties", {}), **keys.get("properties", {})},
    }
    names = [*([spec.name] if spec.name in bare else []), entry.full_name]
    return _named(merged, names, spec.summary)


def _named(schema: dict[str, Any], names: list[str], summary: str) -> dict[str, Any]:
    """An object schema with ``name`` as its first, required property."""
    return {
        "type": "object",
        "description": summary,
        "properties": {"name": {"enum": names}, **schema.get("properties", {})},
        "required": ["name", *schema.get("required", ())],
        "additionalProperties": False,
    }


def _hoisted(schema: Mapping[str, Any], label: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A copy whose own definitions have moved to ``definitions``, their names after ``label``."""
    own = copy.deepcopy(dict(schema))
    inner = own.pop("$defs", {})
    for name, definition in inner.items():
        definitions[f"{label}:{name}"] = _pointed(definition, label)
    moved = _pointed(own, label)
    assert isinstance(moved, dict)
    return moved


def _pointed(value: Any, label: str) -> Any:
    """A schema with its references led to where its definitions moved; no titles."""
    if isinstance(value, list):
        return [_pointed(item, label) for item in value]
    if not isinstance(value, dict):
        return value
    pointed = {
        key: _pointed(item, label)
        for key, item in value.items()
        if not (key == "title" and isinstance(item, str))
    }
    if isinstance(pointed.get("$ref"), str):
        name = pointed["$ref"].rsplit("/", 1)[-1]
        pointed["$ref"] = f"#/$defs/{label}:{name}"
    return pointed


def summary(recipe: ResolvedRecipe) -> list[str]:
    """A few lines on a recipe that was proved: tasks, sizes and parameters."""
    counts = parameter_counts(recipe)
    shape, encoder = recipe.shape, recipe.encoder.full_name
    depth = f"{counted(shape.num_hidden_layers, 'layer')} of {shape.hidden_size}"
    lines = [f"encoder: {encoder}, {depth}, {counts.encoder:,} parameters"]
    if recipe.checkpoint is not None:
        lines.append(f"checkpoint: {recipe.checkpoint.full_name}, {recipe.checkpoint.keys.path}")
    for adapter in recipe.adapters:
        each = adapter.spec.num_parameters(adapter.config, shape, adapter.layers)
        count = len(adapter.tasks)
        lines.append(
            f"adapter {adapter.id}: {counted(each, 'parameter')} a task, "
            f"{count * each:,} for {counted(count, 'task')}"
        )
    if recipe.adapters:
        total = counts.encoder + sum(counts.adapters.values())
        lines.append(
            f"encoder and adapters: {total:,} parameters, {counts.multiple:.3f} times the encoder"
        )
    for task in recipe.tasks:
        if task.head is None:
            lines.append(f"task {task.id}: uses {task.keys.uses}")
        else:
            own = counted(counts.adapters[task.id], "adapter parameter")
            scored = task.keys.metric or "not scored (it has no dev rows)"
            lines.append(f"task {task.id}: {task.head.full_name}, {scored}, {own}")
    return lines
