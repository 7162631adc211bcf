"""Tokenizer, encoder, adapters and heads of a resolved recipe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch.nn import Module

from bertmod.assemble.freezing import freeze_parameters
from bertmod.assemble.loading import fill_encoder, fill_parts
from bertmod.assemble.overruled import refuse_overruled
from bertmod.contracts.adapter import Adapter
from bertmod.contracts.checkpoint import LoadReport, TensorName
from bertmod.contracts.encoder import Encoder, EncoderContext, Part
from bertmod.contracts.head import Head, HeadContext, TaskInfo
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.engine.seeding import seed_torch
from bertmod.errors import PluginError
from bertmod.model.canonical import own_names
from bertmod.model.loading import Component
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.report import render_report
from bertmod.model.sites import adapter_context
from bertmod.nn.initialisation import initialise
from bertmod.recipe.resolved import ResolvedAdapter, ResolvedRecipe, ResolvedTask

LOG = logging.getLogger("bertmod")
Init = Callable[[Module], None]


def build_tokenizer(recipe: ResolvedRecipe) -> Tokenizer:
    """The recipe's tokenizer."""
    return cast(Tokenizer, recipe.tokenizer.spec.build(recipe.tokenizer.config))


def build_model(
    recipe: ResolvedRecipe, infos: Mapping[str, TaskInfo]
) -> tuple[MultiTaskModel, LoadReport | None]:
    """The recipe's model: built, loaded from its checkpoint, and frozen as the recipe says.

    Args:
        recipe: The recipe.
        infos: Label names or value range of each task that trains.

    Returns:
        The model on the CPU, fp32; and what became of the checkpoint's tensors, if there is one.

    Raises:
        CheckpointError: If the checkpoint does not fit.
        RecipeError: If a pattern of ``freeze`` matches nothing, or leaves a task nothing to train;
            or if an adapter throws away what one before it does.
    """
    encoder = build_encoder(recipe)
    wanted = _asked_for(recipe)
    report = None
    if recipe.checkpoint is not None:
        want = frozenset[Part]().union(*(_want(task) for task in recipe.training_tasks))
        report = fill_encoder(recipe, encoder, want)
    built = {
        task.id: build_task(recipe, task, encoder, infos[task.id]) for task in recipe.training_tasks
    }
    refuse_overruled(recipe, [adapters for adapters, _ in built.values()])
    model = MultiTaskModel(
        encoder,
        {task: adapters for task, (adapters, _) in built.items()},
        {task: head for task, (_, head) in built.items()},
        uses=borrowers(recipe),
    )
    if report is not None and wanted:
        labels = {task: model.head(task).info.labels for task in built}
        report = fill_parts(recipe, _parts(recipe, model, wanted), labels, report)
    if report is not None:
        _tell(recipe, report)
    freeze_parameters(recipe, model)
    return model, report


def build_encoder(recipe: ResolvedRecipe) -> Encoder:
    """The recipe's encoder with fresh values."""
    seed_torch(recipe.seed, "build", "encoder")
    context = EncoderContext(init=_init(recipe))
    return cast(Encoder, recipe.encoder.spec.build(recipe.encoder.config, context))


def build_task(
    recipe: ResolvedRecipe, task: ResolvedTask, encoder: Encoder, info: TaskInfo
) -> tuple[dict[str, Adapter], Head]:
    """A task's adapters by id, in the order in which they act, and its head, with fresh values.

    Args:
        recipe: The recipe.
        task: One of its tasks that train.
        encoder: The encoder that they will sit in, its checkpoint loaded.
        info: Label names or value range of the task.
    """
    adapters = {
        slot.id: _build_adapter(recipe, slot, task.id, encoder)
        for slot in recipe.adapters
        if task.id in slot.tasks
    }
    return adapters, _build_head(recipe, task, info)


def borrowers(recipe: ResolvedRecipe) -> dict[str, str]:
    """Tasks that do not train, and whose adapters and head they use."""
    return {task.id: task.lender for task in recipe.tasks if not task.trains}


def encoder_names(recipe: ResolvedRecipe) -> Sequence[TensorName]:
    """Names of the encoder's tensors."""
    return recipe.encoder.spec.names(recipe.encoder.config)


def adapter_names(
    recipe: ResolvedRecipe, slot: ResolvedAdapter, module: Module
) -> Sequence[TensorName]:
    """Names of an adapter's tensors; the module's own where its spec declares none."""
    if slot.spec.names is None:
        return own_names(module)
    return slot.spec.names(slot.config, recipe.shape, slot.layers)


def head_names(recipe: ResolvedRecipe, task: ResolvedTask, module: Module) -> Sequence[TensorName]:
    """Names of a head's tensors; the module's own where its spec declares none."""
    if task.head is None or task.head.spec.names is None:
        return own_names(module)
    return task.head.spec.names(task.head.config, recipe.shape)


def task_components(
    recipe: ResolvedRecipe,
    task: ResolvedTask,
    adapters: Mapping[str, Adapter],
    head: Head | None,
) -> list[Component]:
    """A task's parts with their names, each needed whole, as the task's own folder stores them.

    Args:
        recipe: The recipe.
        task: The task.
        adapters: Those of its adapters that are wanted, by id.
        head: Its head, if that is wanted.
    """
    components = [
        Component(
            f"adapters.{task.id}.{slot.id}",
            adapter_names(recipe, slot, cast(Module, adapters[slot.id])),
            cast(Module, adapters[slot.id]),
            stored_prefix=f"adapters.{slot.id}",
            required=True,
        )
        for slot in recipe.adapters
        if slot.id in adapters
    ]
    if head is not None:
        module = cast(Module, head)
        names = head_names(recipe, task, module)
        components.append(
            Component(f"heads.{task.id}", names, module, stored_prefix="head", required=True)
        )
    return components


def _init(recipe: ResolvedRecipe) -> Init:
    std = recipe.encoder.spec.initializer_range(recipe.encoder.config)

    def init(module: Module) -> None:
        initialise(module, std=std, layer_norm=recipe.init.layer_norm)

    return init


def _build_adapter(
    recipe: ResolvedRecipe, slot: ResolvedAdapter, task: str, encoder: Encoder
) -> Adapter:
    seed_torch(recipe.seed, "build", "adapter", task, slot.id)
    context = adapter_context(encoder, task, layers=slot.layers, init=_init(recipe))
    module = slot.spec.build(slot.config, context)
    if wrong := _unlike_spec(recipe, slot, module):
        owner = f'adapter "{slot.spec.name}" ({slot.provider} {slot.version})'
        raise PluginError(
            f"{owner} breaks the contract: {wrong}\n    its author finds more with the checks "
            "of bertmod.testing"
        )
    return cast(Adapter, module)


def _unlike_spec(recipe: ResolvedRecipe, slot: ResolvedAdapter, module: object) -> str:
    """How a module differs from what its spec says of it; empty if it does not.

    What was checked and printed before the run goes by the spec, what is trained by the module.
    """
    if not isinstance(module, Module):
        return f"its builder gives {type(module).__name__}, not a torch module"
    lacking = [name for name in ("sites", "replaces") if not hasattr(module, name)]
    if lacking:
        return f"its module has no {' and no '.join(lacking)}"
    told = _places(slot.spec.sites(slot.config, recipe.shape, slot.layers))
    own = _places(cast(Adapter, module).sites)
    if own != told:
        return f"its spec says that it acts at {told}, its module at {own}"
    count = slot.spec.num_parameters(slot.config, recipe.shape, slot.layers)
    found = sum(each.numel() for each in module.parameters() if each.requires_grad)
    if found != count:
        return f"num_parameters says {count:,}, its module has {found:,}"
    return ""


def _places(sites: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {site: tuple(layers) for site, layers in sites.items()}


def _build_head(recipe: ResolvedRecipe, task: ResolvedTask, info: TaskInfo) -> Head:
    seed_torch(recipe.seed, "build", "head", task.id)
    slot = _head_slot(task)
    context = HeadContext(
        task=task.id,
        shape=recipe.shape,
        info=info,
        init=_init(recipe),
        max_length=task.max_length,
    )
    return cast(Head, slot.spec.build(slot.config, context))


def _want(task: ResolvedTask) -> frozenset[Part]:
    slot = _head_slot(task)
    return cast(frozenset[Part], slot.spec.want(slot.config))


def _head_slot(task: ResolvedTask) -> Any:
    assert task.head is not None, "a task that trains has a head"
    return task.head


def _asked_for(recipe: ResolvedRecipe) -> frozenset[tuple[str, str]]:
    """(``heads`` or ``adapters``, task) pairs that the checkpoint slot's ``use`` names."""
    if recipe.checkpoint is None:
        return frozenset()
    use = set(recipe.checkpoint.keys.use)
    return frozenset(
        (kind, task.id)
        for task in recipe.training_tasks
        for kind in ("heads", "adapters")
        if kind in use or task.id in use
    )


def _parts(
    recipe: ResolvedRecipe, model: MultiTaskModel, wanted: frozenset[tuple[str, str]]
) -> dict[str, list[Component]]:
    """The heads and adapters asked for, by task."""
    return {
        task.id: task_components(
            recipe,
            task,
            model.task_adapters(task.id) if ("adapters", task.id) in wanted else {},
            model.head(task.id) if ("heads", task.id) in wanted else None,
        )
        for task in recipe.training_tasks
    }


def _tell(recipe: ResolvedRecipe, report: LoadReport) -> None:
    """Log which loader took the checkpoint, and what became of everything in it."""
    assert recipe.checkpoint is not None
    loader, path = recipe.checkpoint.full_name, recipe.checkpoint.keys.path
    LOG.info("checkpoint %s, read by the loader %s\n%s", path, loader, render_report(report))
    for head, labels in report.unnamed.items():
        LOG.warning(
            "%s: label names unknown in the file: its %s is taken to have them in the order %s; "
            "compare with the program that trained it",
            path,
            head,
            ", ".join(labels),
        )
