"""The pages on hooks, specs and errors, from their docstrings."""

from __future__ import annotations

import ast
from typing import Any

import griffe

from reference_pages.markdown import code, escaped, page, table

INTRO = """
A plugin is a module named by an entry point of the group `bertmod`. It states the contract that it
was made for, `BERTMOD_CONTRACT = {contract}`, and implements any of these hooks with
`@bertmod.hookimpl`. Hooks take no arguments, are pure, may be called more than once, and yield
frozen records. [Write a plugin](../how-to/plugin.md) has a whole example.
"""

LIGHT = """
## Specs

Functions of a spec, except `build` and a loader's `tensors`, are **light**: pure functions of the
options that never import PyTorch. Problems that they return have paths relative to the component.
Every spec has the fields of `Spec`; those with a default may be left out.
"""

ERRORS = """
Errors that bertmod raises on purpose. Commands print their message without a traceback (`--debug`
shows it) and end with the exit status. A message says where, what is wrong, what is accepted and
what to do.

| exit status | means |
|---|---|
| 0 | done |
| 1 | a run that failed for a reason that is known, or a bug (then with a traceback) |
| 2 | something in what the user gave: recipe, options, data, checkpoint, plugin, folder |
| 130 | interrupted, after saving |
"""


def _load(module: str) -> griffe.Module:
    loaded = griffe.load(module, allow_inspection=False)
    assert isinstance(loaded, griffe.Module)
    return loaded


def hooks_page() -> str:
    """Every hook with the record it yields, and every record's fields."""
    hooks = [
        f for f in _load("bertmod.hookspecs").functions.values() if f.name.startswith("bertmod_")
    ]
    rows = [
        [code(hook.name), f"[`{_yields(hook)}`](#{_yields(hook).lower()})", escaped(_text(hook))]
        for hook in hooks
    ]
    specs = _load("bertmod.specs").classes.values()
    shown = [cls for cls in specs if cls.name.endswith("Spec")]
    contract = _load("bertmod.hookspecs").attributes["CONTRACT"].value
    intro = INTRO.format(contract=contract)
    hook_table = table(["hook", "yields", "what the records are"], rows)
    return page("Hooks and specs", intro, "## Hooks", hook_table, LIGHT, *map(_spec, shown))


def errors_page() -> str:
    """Every error class with its meaning and exit status."""
    module = _load("bertmod.errors")
    parts = [ERRORS]
    inherited = "2"
    for cls in module.classes.values():
        if not cls.name.endswith("Error"):
            continue
        status = cls.attributes.get("exit_status")
        shown = str(status.value) if status is not None else inherited
        parts += [f"## {code(cls.name)}", f"{escaped(_text(cls))} Exit status {shown}."]
    return page("Errors", *parts)


def _text(item: griffe.Object) -> str:
    """The docstring's text before its first section, as one paragraph."""
    sections = item.docstring.parse("google") if item.docstring else []
    first = next((s.value for s in sections if s.kind is griffe.DocstringSectionKind.text), "")
    return " ".join(str(first).split())


def _yields(hook: griffe.Function) -> str:
    return str(hook.returns).removeprefix("Iterable[").removesuffix("]")


def _spec(cls: griffe.Class) -> str:
    meanings = field_meanings(cls)
    rows = [
        [code(name), code(str(field.annotation)), _default(field), escaped(meanings.get(name, ""))]
        for name, field in fields(cls).items()
    ]
    keys = cls.members.get("slot_keys")
    parts = [f"### {code(cls.name)} {{ #{cls.name.lower()} }}", escaped(_text(cls))]
    parts.append(table(["field", "type", "default", "meaning"], rows))
    names = ast.literal_eval(str(keys.value)) if isinstance(keys, griffe.Attribute) else ()
    if names:
        shown = " ".join(code(name) for name in names)
        parts.append(f"Keys of the recipe's slot, which its options must not declare: {shown}.")
    return "\n\n".join(parts)


def fields(cls: griffe.Class) -> dict[str, griffe.Attribute]:
    """The fields that a record declares itself, by name."""
    return {
        name: member
        for name, member in cls.members.items()
        if isinstance(member, griffe.Attribute) and "instance-attribute" in member.labels
    }


def _default(field: griffe.Attribute) -> str:
    return "required" if field.value is None else code(str(field.value).replace("'", '"'))


def field_meanings(cls: griffe.Class) -> dict[str, str]:
    """Field name to the line on it in the docstring's Attributes section."""
    sections: list[Any] = cls.docstring.parse("google") if cls.docstring else []
    return {
        item.name: " ".join(item.description.split())
        for section in sections
        if section.kind is griffe.DocstringSectionKind.attributes
        for item in section.value
    }
