"""The parameters of a recipe's model, as far as they are known before it is built.

A parameter is called what the model calls it: ``encoder.layer.0.attention.qkv.weight``, and not
``...query.weight``, which is the canonical name of a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from bertmod.contracts.checkpoint import TensorName
from bertmod.contracts.encoder import Part
from bertmod.recipe.adapters import chosen_layers, chosen_tasks
from bertmod.recipe.draft import Draft, Half

WILD = "*?["
"""What makes a name a pattern."""


@dataclass(frozen=True)
class Parameter:
    """A parameter that can be trained or not.

    Attributes:
        name: Its name in the model.
        parts: Canonical names of the tensors stacked in it; empty if it is one tensor.
        depth: How far from the input it lies in the encoder; None elsewhere, or if not declared.
        norm: Whether it belongs to a LayerNorm of the encoder.
        part: The part of the encoder's output that it serves, if it serves one alone.
    """

    name: str
    parts: tuple[str, ...] = ()
    depth: int | None = None
    norm: bool = False
    part: Part | None = None


@dataclass(frozen=True)
class Parameters:
    """All parameters of a recipe's model.

    Attributes:
        declared: Those that the specs declare, the encoder's first.
        prefixes: What the names of all others begin with: ``heads.cola.``.
    """

    declared: tuple[Parameter, ...]
    prefixes: tuple[str, ...]


def declared(prefix: str, rows: Iterable[TensorName]) -> list[Parameter]:
    """The parameters that hold a component's tensors.

    Args:
        prefix: What their names begin with, with its dot: ``encoder.``.
        rows: The component's tensors; those it borrows from the encoder are left out.
    """
    stacks: dict[str, list[TensorName]] = {}
    for row in rows:
        if row.tied is None:
            stacks.setdefault(row.parameter, []).append(row)
    return [
        Parameter(
            f"{prefix}{name}",
            tuple(f"{prefix}{row.canonical}" for row in held if row.fused is not None),
            held[0].depth,
            held[0].norm,
            held[0].part,
        )
        for name, held in stacks.items()
    ]


def parameters_of(draft: Draft) -> Parameters | None:
    """The parameters of a draft's model; None if its encoder is not known."""
    shape, encoder = draft.shape, draft.encoder
    if shape is None or not encoder.ready():
        return None
    found = declared("encoder.", encoder.ask(encoder.spec.names, encoder.config))
    unknown: list[str] = []
    for half in draft.adapters:
        about = (shape, chosen_layers(half, shape.num_hidden_layers))
        for owner in chosen_tasks(draft, half):
            _add(half, f"adapters.{owner}.{half.id}.", found, unknown, *about)
    for task, head in zip(draft.tasks, draft.heads, strict=True):
        if head is not None:
            _add(head, f"heads.{task.id}.", found, unknown, shape)
    return Parameters(tuple(found), tuple(unknown))


def _add(half: Half, prefix: str, found: list[Parameter], unknown: list[str], *about: Any) -> None:
    """Add a component's parameters, or its prefix if it does not declare any."""
    declare = half.spec.names if half.entry and half.ready() else None
    if declare is None:
        unknown.append(prefix)
    else:
        found.extend(declared(prefix, half.ask(declare, half.config, *about)))


def pattern_problem(pattern: str, parameters: Parameters) -> tuple[str, ...] | None:
    """What is wrong with a pattern of parameter names, in lines; None if nothing is.

    A pattern has to match a parameter, and if it matches tensors that are stacked in one, all of
    them and the parameter itself: they cannot be told apart in training.
    """
    for parameter in parameters.declared:
        held = [name for name in parameter.parts if fnmatchcase(name, pattern)]
        whole = len(held) == len(parameter.parts) and fnmatchcase(parameter.name, pattern)
        if held and not whole:
            what = f"{held[0]} is a part of {parameter.name}, which trains as a whole"
            return (what, "name the whole of it")
    if any(fnmatchcase(parameter.name, pattern) for parameter in parameters.declared):
        return None
    if any(may_match(pattern, prefix) for prefix in parameters.prefixes):
        return None
    return ("no parameter has a name that matches", f"names look like {_example(parameters)}")


def _example(parameters: Parameters) -> str:
    return parameters.declared[-1].name


def may_match(pattern: str, prefix: str) -> bool:
    """Whether a pattern could match a name that begins with a prefix."""
    wild = min((pattern.find(sign) for sign in WILD if sign in pattern), default=len(pattern))
    literal = pattern[:wild]
    return literal.startswith(prefix) or prefix.startswith(literal)


def covers(pattern: str, prefix: str) -> bool:
    """Whether a pattern is sure to match every name that begins with a prefix."""
    return pattern.endswith("*") and fnmatchcase(prefix, pattern)


def below(names: Iterable[str], prefixes: Sequence[str]) -> Iterator[str]:
    """The names that begin with one of some prefixes."""
    return (name for name in names if name.startswith(tuple(prefixes)))
