"""Reading a recipe: its file, its parent, and what the command line sets."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from bertmod.errors import Problem, RecipeError
from bertmod.recipe.jsontext import parse_json
from bertmod.recipe.paths import Path, parse_path, path_text
from bertmod.recipe.schema import DEFAULT_SLOTS, LIST_SLOTS, SLOT_KINDS
from bertmod.wording import shown

REMOTE = re.compile(r"[a-z][a-z0-9]+:[^/\\]")
"""How a checkpoint begins that is no path: ``hf:google-bert/bert-base-uncased``."""


@dataclass(frozen=True)
class Origin:
    """Where a value was written.

    Attributes:
        label: What messages call it; empty for the recipe's own file.
        folder: The folder that relative paths start from.
    """

    label: str
    folder: FilePath


@dataclass(frozen=True)
class RawRecipe:
    """A recipe as JSON values, not yet checked, that knows where each value came from.

    Attributes:
        title: What messages call the recipe: its file as the user wrote it.
        values: The document, parent and command line merged in.
        origins: Where the value at a path, and what lies below it, was written; the longest
            path decides.
    """

    title: str
    values: Mapping[str, Any]
    origins: Mapping[Path, Origin] = field(default_factory=dict)

    def origin(self, path: Path) -> Origin:
        """Where the value at a path was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin("", FilePath.cwd())

    def absolute(self, path: Path, value: str) -> str:
        """A file path written at a place in the recipe, made absolute; ``hf:NAME`` stays."""
        if REMOTE.match(value):
            return value
        return os.path.abspath(self.origin(path).folder / value)

    def having(self, path: Path, value: Any, origin: Origin) -> RawRecipe:
        """The same recipe with the value at a path replaced, objects on the way made."""
        values = copy.deepcopy(dict(self.values))
        target: Any = values
        for step in path[:-1]:
            target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
        target[path[-1]] = value
        kept = {at: o for at, o in self.origins.items() if at[: len(path)] != path}
        return replace(self, values=values, origins={**kept, path: origin})


def raw_recipe(values: Mapping[str, Any], *, title: str = "recipe") -> RawRecipe:
    """A recipe from Python values; relative paths start from the working folder."""
    return RawRecipe(title, copy.deepcopy(dict(values)), {(): Origin("", FilePath.cwd())})


def load_recipe(file: str | FilePath, *, overrides: Sequence[str] = ()) -> RawRecipe:
    """Read a recipe, merge it into its parent, and apply overrides.

    Args:
        file: The recipe's file.
        overrides: ``path=json`` texts, applied in order.

    Raises:
        RecipeError: If a file cannot be read or is no recipe, or an override cannot be applied.
    """
    title = str(file)
    values = _read(FilePath(file), title)
    raw = RawRecipe(title, values, {(): Origin("", FilePath(file).absolute().parent)})
    if "extends" in values:
        raw = _extended(raw)
    return apply_overrides(raw, overrides)


def _read(file: FilePath, title: str, *, child: str = "") -> dict[str, Any]:
    """The object in a file; ``child`` is the recipe that names it as its parent."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem("(file)", f"not UTF-8 text: byte {error.start} cannot be decoded")
        raise RecipeError(title, [problem]) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        what = f"cannot read {title}: {reason}" if child else f"cannot be read: {reason}"
        path = "extends" if child else "(file)"
        raise RecipeError(child or title, [Problem(path, what)]) from None
    values, problems = parse_json(text)
    if not problems and not isinstance(values, dict):
        problems = [Problem("", f"a recipe is a JSON object, not {shown(values)}")]
    if problems:
        raise RecipeError(title, problems)
    return dict(values)


def _extended(child: RawRecipe) -> RawRecipe:
    """A recipe merged into the parent that its ``extends`` names."""
    named = child.values["extends"]
    if not isinstance(named, str):
        problem = Problem("extends", f"expected the path of one recipe, not {shown(named)}")
        raise RecipeError(child.title, [problem])
    label = os.path.normpath(os.path.join(os.path.dirname(child.title), named))
    file = child.origin(()).folder / named
    parent = _read(file, label, child=child.title)
    if "extends" in parent:
        what = f"{label} extends {shown(parent['extends'])} itself"
        raise RecipeError(
            child.title, [Problem("extends", what, ("a parent has no parent of its own",))]
        )
    merge = _Merge(Origin(label, file.absolute().parent))
    own = {key: value for key, value in child.values.items() if key != "extends"}
    values = merge.objects(parent, own, ())
    if merge.problems:
        raise RecipeError(child.title, merge.problems)
    return RawRecipe(child.title, values, {**child.origins, **merge.origins})


class _Merge:
    """Merging a child into its parent, remembering what came from the parent."""

    def __init__(self, parent: Origin) -> None:
        self.parent = parent
        self.origins: dict[Path, Origin] = {}
        self.problems: list[Problem] = []

    def objects(
        self, parent: Mapping[str, Any], child: Mapping[str, Any], path: Path
    ) -> dict[str, Any]:
        """The child's keys in the child's order, then those that only the parent has."""
        merged: dict[str, Any] = {}
        for key, value in child.items():
            merged[key] = self._value(parent.get(key), value, (*path, key))
        for key, value in parent.items():
            if key not in child:
                merged[key] = value
                self.origins[(*path, key)] = self.parent
        return merged

    def _value(self, parent: Any, child: Any, path: Path) -> Any:
        if not (isinstance(parent, dict) and isinstance(child, dict)):
            return child
        if len(path) == 1 and path[0] in SLOT_KINDS:
            if "name" not in child:
                named = shown(parent.get("name"))
                what = f'a component repeats its name; {self.parent.label} says "name": {named}'
                self.problems.append(Problem(path_text(path), what))
                return child
            if not _same_component(parent.get("name"), child["name"]):
                return child
        return self.objects(parent, child, path)


def _same_component(first: Any, second: Any) -> bool:
    if not (isinstance(first, str) and isinstance(second, str)):
        return False
    bare = "/" not in first or "/" not in second
    return first == second or (bare and first.split("/")[-1] == second.split("/")[-1])


def apply_overrides(raw: RawRecipe, overrides: Sequence[str]) -> RawRecipe:
    """A recipe with ``path=json`` texts applied in order.

    Raises:
        RecipeError: With one problem for each text that cannot be applied.
    """
    problems: list[Problem] = []
    for text in overrides:
        try:
            raw = _apply(raw, text)
        except _BadOverride as error:
            problems.append(error.problem)
    if problems:
        raise RecipeError(raw.title, problems)
    return raw


class _BadOverride(Exception):
    """An override cannot be applied."""

    def __init__(self, path: str, what: str, *more: str) -> None:
        self.problem = Problem(path, what, more, "--set")
        super().__init__(what)


def _apply(raw: RawRecipe, text: str) -> RawRecipe:
    path, rest = parse_path(text)
    if not path or not rest.startswith("="):
        example = "--set 'training.num_epochs=5'"
        raise _BadOverride(text, "not of the form path=json", f"for example {example}")
    value = _override_value(path, rest[1:])
    origin = Origin("--set", FilePath.cwd())
    if path[0] not in raw.values and len(path) > 1:
        start = _absent_start(path)
        raw = raw.having(path[:1], start, Origin("--set", FilePath.cwd()))
    _check_way(raw.values, path)
    return raw.having(path, value, origin)


def _override_value(path: Path, text: str) -> Any:
    value, problems = parse_json(text)
    if not problems:
        return value
    where = path_text(path)
    if value is not None:  # JSON, but with a key twice or a number that is not finite
        raise _BadOverride(where, problems[0].what, *problems[0].more)
    if text and not any(mark in text for mark in '"{}[]'):
        quoted = f"--set '{where}={json.dumps(text, ensure_ascii=False)}'"
        raise _BadOverride(where, f"{text} is not JSON", f"a string needs its quotes: {quoted}")
    raise _BadOverride(where, f"{text or 'nothing'} is not JSON", problems[0].what)


def _absent_start(path: Path) -> Any:
    """What a top-level key that the recipe leaves out holds before something in it is set."""
    key = path[0]
    if key in SLOT_KINDS and key not in LIST_SLOTS:
        return copy.deepcopy(DEFAULT_SLOTS[str(key)]) or {"name": "auto"}
    return copy.deepcopy(DEFAULT_SLOTS.get(str(key), [] if key in LIST_SLOTS else {}))


def _check_way(values: Any, path: Path) -> None:
    """Whether a value can be set at a path: what is on the way holds such a key or index."""
    for depth, step in enumerate(path):
        where = path_text(path[:depth]) or "a recipe"
        if isinstance(values, list):
            if not isinstance(step, int):
                raise _BadOverride(path_text(path), f"{where} is a list: write {where}[0]")
            if step >= len(values):
                what = f"{where} has {len(values)} of them, counted from 0"
                raise _BadOverride(path_text(path), what)
        elif not isinstance(values, dict) or isinstance(step, int):
            what = f"{where} is {shown(values)}, nothing can be set in it"
            raise _BadOverride(path_text(path), what)
        elif step not in values:
            return
        values = values[step]
