"""Pydantic's errors as problems, with the valid rest still usable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from bertmod.recipe.accepted import accepted, option_names, schema_at
from bertmod.recipe.paths import Path, present
from bertmod.wording import did_you_mean, listed, shown

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Finding:
    """One thing wrong, with its path as keys and indices."""

    path: Path
    what: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Validated(Generic[ModelT]):
    """The outcome of a validation.

    Attributes:
        value: The model; with the defaults of what is wrong at its top level; None if even
            that is impossible.
        findings: What is wrong, paths relative to the model.
        wrong: Top-level keys with something wrong in them.
    """

    value: ModelT | None
    findings: tuple[Finding, ...] = ()
    wrong: frozenset[str] = frozenset()


@cache
def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model."""
    return model.model_json_schema()


def validate(
    model: type[ModelT], values: Mapping[str, Any], *, owner: str, also: Iterable[str] = ()
) -> Validated[ModelT]:
    """Validate values as JSON, strictly.

    Args:
        model: What they should be.
        values: JSON values.
        owner: Who takes the keys, for messages: ``adapter "pals" (bertmod 0.3.0)``.
        also: Keys that are valid beside the model's own, for suggestions.
    """
    try:
        return Validated(_load(model, values))
    except ValidationError as error:
        findings = tuple(_findings(error, model, values, owner, tuple(also)))
    wrong = frozenset(str(finding.path[0]) for finding in findings if finding.path)
    rest = {key: value for key, value in values.items() if key not in wrong}
    try:
        return Validated(_load(model, rest), findings, wrong)
    except ValidationError:
        return Validated(None, findings, wrong)


def _load(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    return model.model_validate_json(json.dumps(values))


def _findings(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, Any],
    owner: str,
    also: tuple[str, ...],
) -> Iterable[Finding]:
    """One finding a path, and none for a value in which something smaller is wrong."""
    root = json_schema(model)
    found: dict[Path, Finding] = {}
    for item in error.errors(include_url=False):
        missing = item["type"] == "missing"
        path = _followed(item["loc"][:-1] if missing else item["loc"], values)
        if missing:
            path = (*path, item["loc"][-1])
        if path in found:
            continue
        if item["type"] == "extra_forbidden":
            found[path] = _unknown(path, root, owner, also)
        else:
            found[path] = _wrong_value(path, item, values, root)
    for path, finding in found.items():
        if not any(len(other) > len(path) and other[: len(path)] == path for other in found):
            yield finding


def _followed(location: tuple[str | int, ...], values: Any) -> Path:
    """A pydantic location without the names of union branches, which are no keys."""
    path: Path = ()
    for step in location:
        if present(values, (*path, step)):
            path = (*path, step)
    return path


def _unknown(path: Path, root: Mapping[str, Any], owner: str, also: tuple[str, ...]) -> Finding:
    parent = schema_at(root, path[:-1])
    own = option_names(parent, root) if parent else []
    names = [*own, *also] if len(path) == 1 else own
    taker = owner if len(path) == 1 else f'"{path[-2]}"'
    what = f"unknown option{did_you_mean(str(path[-1]), names)}"
    return Finding(path, what, (f"{taker} takes: {listed(names)}",))


def _wrong_value(
    path: Path, item: Mapping[str, Any], values: Mapping[str, Any], root: Mapping[str, Any]
) -> Finding:
    schema = schema_at(root, path)
    described = (str(schema["description"]),) if schema and "description" in schema else ()
    if item["type"] in ("value_error", "assertion_error") or schema is None or not path:
        text = str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return Finding(path, text, described)
    takes = accepted(schema, root)
    if item["type"] == "missing":
        return Finding(path, "missing", (f"expected {takes}", *described))
    value: Any = values
    for step in path:
        value = value[step]
    return Finding(path, f"expected {takes}, not {shown(value)}", described)
