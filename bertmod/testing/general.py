"""What every component promises, of whatever kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from bertmod.recipe.validate import json_schema
from bertmod.registry import load_registry
from bertmod.specs import Spec
from bertmod.testing.light import LightRun
from bertmod.testing.subject import Subject, problems_of, require, validated
from bertmod.wording import listed, shown


def light_functions(spec: Spec, run: LightRun) -> None:
    """Importing a plugin, and calling every function of a spec except build and tensors, never
    imports torch: recipes are proved without it.
    """
    wrong = run.found(spec)["light"]
    require(not wrong, f"{wrong}; import it inside the builder, or under TYPE_CHECKING")


def shown_by_the_program(spec: Spec, run: LightRun) -> None:
    """``bertmod show KIND NAME`` prints the summary and every option."""
    text = run.found(spec)["show"]
    require(text, f"bertmod show {spec.kind} {spec.name} failed")
    missing = [name for name in spec.config.model_fields if f"  {name}: " not in text]
    require(spec.summary in text, "bertmod show does not print its summary")
    require(not missing, f"bertmod show does not print {listed(missing)}")


def hook_is_pure(spec: Spec, run: LightRun) -> None:
    """A hook takes no arguments and may be called twice: it yields the same records again."""
    first, second = (_records(spec.kind, run.distribution) for _ in range(2))
    require(first == second, "calling its hook twice gives different records")
    require(spec.name in first, "calling its hook again does not yield it any more")


def record(subject: Subject) -> None:
    """A record has a lower_snake name and a summary of one line, at most 120 characters."""
    spec = subject.spec
    require(re.fullmatch(r"[a-z][a-z0-9_]*", spec.name), f'name "{spec.name}" is not lower_snake')
    lines = spec.summary.splitlines()
    require(len(lines) == 1 and lines[0].strip() == spec.summary, "its summary is not one line")
    require(len(spec.summary) <= 120, "its summary is longer than 120 characters")


def options_documented(subject: Subject) -> None:
    """Every option, nested ones included, has a description; the options have a JSON Schema, and
    none is called like a key of the recipe's slot.
    """
    spec = subject.spec
    schema = json_schema(spec.config)
    json.dumps(schema)
    bare = [path for path, about in _fields(schema) if not about.get("description")]
    require(not bare, f"no description of {listed(bare)}: give Field(description=...)")
    clashes = [key for key in ("name", *spec.slot_keys) if key in spec.config.model_fields]
    require(not clashes, f"its options declare {listed(clashes)}, which belongs to the slot")


def options_resolve_twice(subject: Subject) -> None:
    """Options written as JSON and read again are the same options: no validator changes a value,
    and completing them a second time changes nothing.
    """
    config = subject.config
    written = json.dumps(config.model_dump(mode="json"))
    again = subject.spec.config.model_validate_json(written)
    require(again == config, f"{shown(json.loads(written))} is read back as something else")
    if subject.spec.kind in ("encoder", "tokenizer"):
        require(subject.spec.complete(config) == config, "completing its options twice differs")


def options_are_strict(subject: Subject) -> None:
    """Options derive from ComponentConfig: unknown ones are refused, and none can be set later."""
    spec = subject.spec
    try:
        validated(spec, {**subject.options, "no_such_option": 1})
    except ValidationError:
        pass
    else:
        raise AssertionError("an unknown option is accepted")
    for name in spec.config.model_fields:
        try:
            setattr(subject.config, name, None)
        except (ValidationError, AttributeError):
            continue
        raise AssertionError(f'option "{name}" can be changed after validation')


def check_is_pure(subject: Subject) -> None:
    """Checking the same options twice gives the same problems."""
    first, second = (problems_of(subject.spec, subject.config) for _ in range(2))
    require(list(first) == list(second), "its check gives different problems the second time")


CHECKS = (record, options_documented, options_resolve_twice, options_are_strict, check_is_pure)
COMPONENT_CHECKS = (light_functions, shown_by_the_program, hook_is_pure)


def _records(kind: str, distribution: str) -> Mapping[str, tuple[Any, ...]]:
    """The records of a kind that a distribution yields now, as far as they can be compared."""
    entries = [e for e in load_registry().entries(kind) if e.provider == distribution]
    return {
        entry.spec.name: (type(entry.spec), entry.spec.config, entry.spec.summary)
        for entry in entries
    }


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and schema of every option of a model and of the models inside it."""
    for owner, model in (("", schema), *schema.get("$defs", {}).items()):
        for name, about in model.get("properties", {}).items():
            yield f"{owner}.{name}" if owner else name, about
