"""What trains, and how fast: whether a recipe's freezing, rates and decay fit its model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.freezing import frozen_depths, is_frozen
from bertmod.recipe.layers import layer_problem
from bertmod.recipe.parameters import (
    WILD,
    Parameters,
    below,
    covers,
    parameters_of,
    pattern_problem,
)
from bertmod.recipe.paths import Path
from bertmod.recipe.schema import COMPONENTS, FreezeKeys
from bertmod.wording import did_you_mean, listed

PER_PARAMETER = ("learning_rate", "weight_decay")
"""Slot keys of an optimizer that may differ from parameter to parameter."""


def check_what_trains(draft: Draft) -> None:
    """Freezing fits the model and leaves each task something; every part has its numbers."""
    parameters = parameters_of(draft)
    if parameters is not None and _freezing_fits(draft, parameters):
        _check_tasks(draft, parameters)
    for key in PER_PARAMETER:
        values = getattr(draft.optimizer.keys, key)
        if isinstance(values, dict):
            _check_mapping(draft, key, values, parameters)


def _freezing_fits(draft: Draft, parameters: Parameters) -> bool:
    """Whether what ``freeze`` names is there."""
    freeze = draft.keys.freeze
    if "freeze" in draft.wrong:
        return False
    if not isinstance(freeze, FreezeKeys):
        return True
    problems = [
        *_part_problems(draft, freeze, parameters),
        *_pattern_problems(("freeze", "patterns"), enumerate(freeze.patterns), parameters),
    ]
    named = freeze.embeddings or freeze.pooler or freeze.layers is not None
    if not named and not freeze.patterns:
        problems.append((("freeze",), ("it names nothing", 'write "none" to freeze nothing')))
    elif not named and not freeze.layer_norm:
        what = "no part is named whose LayerNorms it could spare; patterns freeze all they match"
        more = "name embeddings, layers or pooler beside it, or leave it out"
        problems.append((("freeze", "layer_norm"), (what, more)))
    for path, lines in problems:
        draft.add(path, *lines)
    return not problems


def _part_problems(
    draft: Draft, freeze: FreezeKeys, parameters: Parameters
) -> list[tuple[Path, tuple[str, ...]]]:
    """Layers that the encoder lacks, and parts of it without a parameter."""
    assert draft.shape is not None
    depth = draft.shape.num_hidden_layers
    if freeze.layers is not None and (what := layer_problem(freeze.layers, depth)):
        return [(("freeze", "layers"), (what,))]
    known = {parameter.depth for parameter in parameters.declared} - {None}
    label = draft.encoder.label
    if not known and dict(frozen_depths(freeze, depth)):
        more = "name its parameters in patterns"
        return [(("freeze",), (f"{label} does not say where its parameters lie", more))]
    return [
        (("freeze", key), (f"{label} has no parameter there",))
        for key, depths in frozen_depths(freeze, depth)
        if not depths & known
    ]


def _pattern_problems(
    path: Path, patterns: Iterable[tuple[str | int, str]], parameters: Parameters
) -> list[tuple[Path, tuple[str, ...]]]:
    """What is wrong with patterns, each at its place below a path."""
    checked = [((*path, at), pattern_problem(pattern, parameters)) for at, pattern in patterns]
    return [(at, lines) for at, lines in checked if lines is not None]


def _check_tasks(draft: Draft, parameters: Parameters) -> None:
    """Every task has something to train."""
    idle = [
        task
        for task, head in zip(draft.tasks, draft.heads, strict=True)
        if head is not None and head.ready() and not _trains(draft, parameters, task, head)
    ]
    if not idle:
        return
    if len(idle) == len(draft.trained()):
        draft.add(("freeze",), "nothing is left to train", "leave out what should train")
        return
    for task in idle:
        draft.add(
            ("freeze",),
            f'task "{task.id}" has nothing left to train: all that it uses is frozen',
            f"leave out heads.{task.id}.*, or the task",
        )


def _trains(draft: Draft, parameters: Parameters, task: Half, head: Half) -> bool:
    """Whether something that a task uses trains, as far as that is known."""
    want = head.ask(head.spec.want, head.config)
    own = (f"adapters.{task.id}.", f"heads.{task.id}.")
    left = _left(draft, parameters)
    encoder = {p.name for p in parameters.declared if p.part is None or p.part in want}
    return any(
        name.startswith(own) or (name.startswith("encoder.") and name in encoder) for name in left
    )


def _left(draft: Draft, parameters: Parameters) -> list[str]:
    """Names that train, and prefixes below which something may."""
    assert draft.shape is not None
    freeze, depth = draft.keys.freeze, draft.shape.num_hidden_layers
    names = [p.name for p in parameters.declared if not is_frozen(freeze, p, depth)]
    patterns = freeze.patterns if isinstance(freeze, FreezeKeys) else ()
    return names + [
        prefix for prefix in parameters.prefixes if not any(covers(p, prefix) for p in patterns)
    ]


def _check_mapping(
    draft: Draft, key: str, values: Mapping[str, Any], parameters: Parameters | None
) -> None:
    """A mapping of numbers names what there is, and leaves no part that trains without one."""
    path = (*draft.optimizer.path, key)
    unknown = False
    for name in values:
        if name in COMPONENTS or set(name) & set(f"{WILD}."):
            continue
        unknown = True
        what = f'no part of the model is called "{name}"{did_you_mean(name, COMPONENTS)}'
        draft.add((*path, name), what, f"parts: {listed(COMPONENTS)}; or a pattern of names")
    if parameters is None:
        return
    patterns = [name for name in values if set(name) & set(f"{WILD}.")]
    for at, lines in _pattern_problems(path, zip(patterns, patterns, strict=True), parameters):
        draft.add(at, *lines)
    if unknown or "freeze" in draft.wrong:
        return  # what the unknown name was meant for cannot be told
    left = _left(draft, parameters)
    for part in COMPONENTS:
        if part not in values and (without := _without(patterns, below(left, [f"{part}."]))):
            whole = len(without) == len(list(below(left, [f"{part}."])))
            what = f"no {key.replace('_', ' ')} for {part if whole else without[0]}"
            draft.add(path, what, f'add "{part}", or "*" for the rest')


def _without(patterns: list[str], names: Iterable[str]) -> list[str]:
    """The names, or prefixes of names, that no pattern is sure to match."""
    return [
        name
        for name in names
        if not any(
            covers(pattern, name) if name.endswith(".") else fnmatchcase(name, pattern)
            for pattern in patterns
        )
    ]
