"""Everything that a plugin author or a user can name is documented, and on a page."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import bertmod
from bertmod import errors, hookspecs, specs
from bertmod.registry import KINDS, load_registry

HOOKS = {
    name: hook
    for name, hook in inspect.getmembers(hookspecs, inspect.isfunction)
    if name.startswith("bertmod_")
}
SPECS = [*specs.SPECS, specs.Spec, specs.CommandSpec]
ERRORS = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.BertmodError)
]
RECORDS = [
    value
    for name in bertmod.__all__
    if dataclasses.is_dataclass(value := getattr(bertmod, name)) and isinstance(value, type)
]


def reference(root: Path, name: str) -> str:
    """The text of a reference page."""
    return (root / "docs/reference" / f"{name}.md").read_text(encoding="utf-8")


def described(cls: type[Any]) -> set[str]:
    """Names that a class documents under Attributes or Args."""
    return set(re.findall(r"^\s+(\w+): \S", inspect.getdoc(cls) or "", re.MULTILINE))


def own_fields(cls: type[Any]) -> set[str]:
    """Fields that a dataclass declares itself; those of its bases are documented there."""
    inherited = {
        f.name
        for base in cls.__mro__[1:-1]
        for f in getattr(base, "__dataclass_fields__", {}).values()
    }
    return {field.name for field in dataclasses.fields(cls)} - inherited


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_hooks(name: str, root: Path) -> None:
    assert inspect.getdoc(HOOKS[name])
    assert f"| `{name}` |" in reference(root, "hooks")


def test_a_hook_for_every_kind() -> None:
    assert {f"bertmod_{kind}s" for kind in KINDS} | {"bertmod_commands"} == set(HOOKS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_specs(spec: type[Any], root: Path) -> None:
    page = reference(root, "hooks")
    section = page.split(f"### `{spec.__name__}`")[1].split("\n### ")[0]
    for field in own_fields(spec):
        assert field in described(spec)
        assert f"| `{field}` |" in section


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_records_of_the_contract(record: type[Any]) -> None:
    assert own_fields(record) <= described(record)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_errors(error: type[errors.BertmodError], root: Path) -> None:
    assert inspect.getdoc(error)
    section = reference(root, "errors").split(f"## `{error.__name__}`")[1].split("\n## ")[0]
    assert f"Exit status {error.exit_status}." in section


def test_every_exported_name_is_on_the_python_page(root: Path) -> None:
    shown = set(re.findall(r"^::: bertmod\.(\w+)$", reference(root, "python"), re.MULTILINE))
    records = {name for name in bertmod.__all__ if not name.startswith("__")}
    elsewhere = {cls.__name__ for cls in [*SPECS, *ERRORS]}
    assert shown >= records - elsewhere - {"CONTRACT", "hookimpl"}


def test_every_option_is_described(root: Path) -> None:
    """Components' options have descriptions, and all components are on the page."""
    page = reference(root, "components")
    for kind in KINDS:
        for entry in load_registry(strict=True).entries(kind):
            if entry.provider != "bertmod":
                continue
            assert f"{{ #{kind}-{entry.spec.name} }}" in page
            for name, field in entry.spec.config.model_fields.items():
                assert field.description, f"{entry.full_name}.{name}"
