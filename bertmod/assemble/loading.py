"""A recipe's checkpoint into its model, with one account of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch.nn import Module

from bertmod.contracts.checkpoint import CheckpointDescription, LoadReport
from bertmod.contracts.encoder import Encoder, Part
from bertmod.errors import CheckpointError
from bertmod.model.canonical import module_hash, require_hash
from bertmod.model.label_order import label_order
from bertmod.model.loading import ENCODER, OWN_FORMAT, Component, load_tensors
from bertmod.recipe.resolved import ResolvedRecipe

Labels = Mapping[str, tuple[str, ...] | None]
"""Task id to its label names, in the order of the logits."""


def fill_encoder(recipe: ResolvedRecipe, encoder: Encoder, want: frozenset[Part]) -> LoadReport:
    """Put the checkpoint's encoder into the recipe's.

    Args:
        recipe: A recipe with a checkpoint.
        encoder: Its encoder.
        want: The parts of the output that any head reads; what serves others may be lacking.

    Raises:
        CheckpointError: If it does not fit, or is not the one that its folder was written for.
    """
    module, names = cast(Module, encoder), recipe.encoder.spec.names(recipe.encoder.config)
    component = Component(ENCODER, names, module, want=want, required=True)
    report = _load(recipe, [component])
    stored = _description(recipe).encoder_hash
    if stored and not (report.missing or report.misshaped):
        found = module_hash(module, names, prefix=f"{ENCODER}.", absent=report.initialised)
        require_hash(Path(_path(recipe)), found=found, stored=stored)
    return report


def fill_parts(
    recipe: ResolvedRecipe,
    parts: Mapping[str, Sequence[Component]],
    labels: Labels,
    encoder: LoadReport,
) -> LoadReport:
    """Put the checkpoint's heads and adapters that were asked for into the recipe's.

    Args:
        recipe: A recipe with a checkpoint.
        parts: Task id to its components that were asked for.
        labels: Label names of these tasks' heads.
        encoder: What became of the encoder's tensors.

    Returns:
        What became of every tensor, the encoder's included.

    Raises:
        CheckpointError: If something does not fit, or a head has other labels than its task.
    """
    names = recipe.encoder.spec.names(recipe.encoder.config)
    components = [Component(ENCODER, names)]
    for task, own in parts.items():
        index, order = _index(recipe, task), _order(recipe, task, labels[task])
        components += [
            replace(part, index=index, order=order if _is_head(part) else None, stored_prefix="")
            for part in own
        ]
    report = _together(encoder, _load(recipe, components))
    heads = {part.prefix: task for task, own in parts.items() for part in own if _is_head(part)}
    taken = {".".join(name.split(".")[:2]) for name in report.used.values()}
    unnamed = {
        prefix: wanted
        for prefix, task in heads.items()
        if prefix in taken
        and (wanted := labels[task])
        and _stored_labels(_description(recipe), task) is None
    }
    return replace(report, unnamed=unnamed)


def _is_head(part: Component) -> bool:
    return part.prefix.startswith("heads.")


def _index(recipe: ResolvedRecipe, task: str) -> int | None:
    """Number of a task in the checkpoint's own order, for formats that number tasks."""
    order = _description(recipe).tasks
    return order.index(task) if task in order else None


def _order(
    recipe: ResolvedRecipe, task: str, labels: tuple[str, ...] | None
) -> tuple[int, ...] | None:
    """Where each of a task's labels stands in the file; None if that is where the task has it."""
    found = _stored_labels(_description(recipe), task)
    if labels is None or found is None:
        return None
    return label_order(labels, found, source=f'{_path(recipe)}: head of "{task}"')


def _stored_labels(description: CheckpointDescription, task: str) -> tuple[str, ...] | None:
    """The label names that a file gives to a task's head; a file of one task may not say which."""
    if description.format != OWN_FORMAT and len(description.heads) == 1:
        (task,) = description.heads
    info = description.infos.get(task)
    return None if info is None else info.labels


def _together(encoder: LoadReport, parts: LoadReport) -> LoadReport:
    """One report of the same file, whose encoder was read first and the rest afterwards."""
    lists = ("initialised", "missing", "unequal", "rounded", "reordered")
    both: dict[str, Any] = {
        name: tuple(dict.fromkeys((*getattr(encoder, name), *getattr(parts, name))))
        for name in lists
    }
    return LoadReport(
        used={**encoder.used, **parts.used},
        skipped={name: why for name, why in encoder.skipped.items() if name not in parts.used},
        unexpected=tuple(name for name in encoder.unexpected if name in parts.unexpected),
        misshaped={**encoder.misshaped, **parts.misshaped},
        **both,
    )


def _description(recipe: ResolvedRecipe) -> CheckpointDescription:
    if recipe.description is None:
        raise CheckpointError("the recipe names no checkpoint")
    return recipe.description


def _path(recipe: ResolvedRecipe) -> str:
    if recipe.checkpoint is None or recipe.checkpoint.keys.path is None:
        raise CheckpointError("the recipe names no checkpoint")
    return str(recipe.checkpoint.keys.path)


def _load(recipe: ResolvedRecipe, components: Sequence[Component]) -> LoadReport:
    path, slot = _path(recipe), cast(Any, recipe.checkpoint)
    return load_tensors(
        slot.spec.tensors(path),
        _description(recipe),
        components,
        allow=slot.keys.allow.model_dump(),
        source=path,
    )
