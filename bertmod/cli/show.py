"""``bertmod show``: everything about one component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bertmod.cli.invocation import invocation
from bertmod.recipe.accepted import accepted
from bertmod.recipe.schema import slot_model
from bertmod.recipe.validate import json_schema
from bertmod.registry import Entry
from bertmod.specs import EncoderSpec, Spec
from bertmod.wording import counted, shown, table


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Kind: adapter or adapters.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="name or provider/name.")],
) -> None:
    """Print a component's summary, source, provider, options and slot keys."""
    entry = invocation().registry.get(kind, name)
    spec = entry.spec
    print(f"{spec.kind} {entry.full_name}")
    print(f"  {spec.summary}")
    facts = [("provider", f"{entry.provider} {entry.version}"), ("source", spec.source)]
    for line in table([fact for fact in facts if fact[1]]):
        print(f"  {line}")
    _print_fields("options", json_schema(spec.config))
    if spec.slot_keys:
        _print_fields("slot keys", json_schema(slot_model(spec.kind)))
    _print_sites(entry)


def _print_fields(title: str, schema: Mapping[str, Any]) -> None:
    fields: Mapping[str, Any] = schema.get("properties", {})
    print(f"\n{title}" + ("" if fields else ": none"))
    required = schema.get("required", ())
    for name, field in fields.items():
        default = "required" if name in required else f"default {_default(field)}"
        print(f"  {name}: {accepted(field, schema)}; {default}")
        if "description" in field:
            print(f"      {field['description']}")


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, dict) and all(value == [] for value in default.values()):
        return "{}"
    return shown(default)


def _print_sites(entry: Entry[Spec]) -> None:
    """The sites of an encoder with its default options."""
    spec = entry.spec
    if not isinstance(spec, EncoderSpec):
        return
    if any(field.is_required() for field in spec.config.model_fields.values()):
        return
    shape = spec.shape(spec.complete(spec.config()))
    depth = counted(shape.num_hidden_layers, "layer")
    print(f"\nsites (widths with default options: {depth} of {shape.hidden_size})")
    rows = [
        (name, site.kind, f"{site.in_width} to {site.out_width}")
        for name, site in shape.sites.items()
    ]
    for line in table(rows):
        print(f"  {line}")
