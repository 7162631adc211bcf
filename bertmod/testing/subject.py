"""What a check examines: a component with one set of options, and what its work needs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bertmod.contracts.encoder import EncoderShape
from bertmod.errors import Problem
from bertmod.recipe.foundation import cached_sample
from bertmod.registry import load_registry
from bertmod.specs import Spec
from bertmod.wording import shown

Options = Mapping[str, Any]

Source = str | Path | Callable[[Path], Any]
"""A path; or a function that gets an empty folder, fills it, and returns the path to use (None
for the folder itself)."""

TASKS = ("small", "middle", "large")
"""Ids of the tasks that samplers are checked with."""

SIZES = (10.0, 200.0, 3000.0)
"""Training features of those tasks."""

HOST = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}
"""Options of the BERT encoder that adapters and heads are checked in."""


@dataclass(frozen=True)
class Material:
    """What the work of some kinds needs beside options.

    Attributes:
        data: Data folder of a task.
        checkpoint: A checkpoint that a loader knows.
        targets: For a head: (generator, lengths of the features' rows) to its targets by name.
    """

    data: Source | None = None
    checkpoint: Source | None = None
    targets: Callable[[Any, Any], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Subject:
    """A component with one set of options.

    Attributes:
        spec: Its record.
        config: The options, validated and completed.
        options: The options as they were written.
        material: What its work needs.
    """

    spec: Any
    config: Any
    options: Options
    material: Material = field(default_factory=Material)


def require(kept: object, what: str) -> None:
    """Say what breaks the contract, unless it is kept.

    Not an ``assert``: it holds under ``python -O`` too, and the text is complete without pytest.

    Raises:
        AssertionError: If ``kept`` is false.
    """
    if not kept:
        raise AssertionError(what)


def subjects(
    spec: Spec, examples: Sequence[Options], material: Material | None = None
) -> tuple[Subject, ...]:
    """A component with its defaults, if they can serve, and with each of the author's options.

    An encoder's defaults are left out where the author gave options: they may be very large.

    Raises:
        AssertionError: If an author's options are not valid, or there are no options at all.
    """
    found, about = [], material or Material()
    if not (examples and spec.kind == "encoder") and {} not in examples:
        default = _default(spec)
        if default is not None:
            found.append(Subject(spec, default, {}, about))
    found += [Subject(spec, _given(spec, options), options, about) for options in examples]
    require(
        found,
        "its default options cannot serve here, so give some that do: "
        f'configs={{"{spec.name}": [{{...}}]}}',
    )
    return tuple(found)


def validated(spec: Spec, options: Options) -> Any:
    """Options as a recipe's JSON gives them, with the sample's vocabulary where one is wanted.

    Raises:
        pydantic.ValidationError: If an option is unknown or wrong.
    """
    if "vocab" in spec.config.model_fields and options.get("vocab") is None:
        options = {**options, "vocab": str(cached_sample() / "vocab.txt")}
    return spec.config.model_validate_json(json.dumps(options))


def completed(spec: Any, config: Any) -> Any:
    """Options with every null one filled in, for the kinds that do so."""
    return spec.complete(config) if spec.kind in ("encoder", "tokenizer") else config


def problems_of(spec: Any, config: Any) -> Sequence[Problem]:
    """What the component's own check finds wrong with its options."""
    if spec.kind == "adapter":
        shape = host_shape()
        return tuple(spec.check(config, shape, tuple(range(shape.num_hidden_layers))))
    if spec.kind == "sampler":
        return tuple(spec.check(config, TASKS))
    return tuple(spec.check(config)) if hasattr(spec, "check") else ()


@cache
def host_shape() -> EncoderShape:
    """Shape of the encoder that adapters and heads are checked in."""
    spec: Any = load_registry().get("encoder", "bertmod/bert").spec
    shape: EncoderShape = spec.shape(spec.config(**HOST))
    return shape


def located(source: Source) -> Path:
    """The path that a source stands for; a function is called once, its folder kept to the end."""
    return _filled(source)[1] if callable(source) else Path(source)


@cache
def _filled(
    fill: Callable[[Path], Any],
) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory(prefix="bertmod-conformance-")
    made = fill(Path(folder.name))
    return folder, Path(folder.name if made is None else made)


def _default(spec: Spec) -> Any | None:
    """The default options, or None where some are required or do not suit the small models."""
    if any(field.is_required() for field in spec.config.model_fields.values()):
        return None
    config = validated(spec, {})
    if problems_of(spec, config):
        return None
    return completed(spec, config)


def _given(spec: Spec, options: Options) -> Any:
    try:
        config = validated(spec, options)
    except ValueError as error:
        raise AssertionError(f"configs: {shown(options)} are not its options: {error}") from error
    found = problems_of(spec, config)
    told = "; ".join(f"{problem.path}: {problem.what}" for problem in found)
    require(not found, f"configs: its own check refuses {shown(options)}: {told}")
    return completed(spec, config)
