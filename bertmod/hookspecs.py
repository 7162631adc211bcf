"""The hooks: one per kind of component, and one for commands.

A plugin is a module named by an entry point of the group ``bertmod``. It sets
``BERTMOD_CONTRACT = 1`` and implements any of these hooks with ``@bertmod.hookimpl``. Hooks are
pure, take no arguments, yield frozen records, and may be called more than once.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from bertmod.specs import (
    AdapterSpec,
    CommandSpec,
    EncoderSpec,
    ExporterSpec,
    HeadSpec,
    LoaderSpec,
    MetricSpec,
    OptimizerSpec,
    SamplerSpec,
    ScheduleSpec,
    TaskSpec,
    TokenizerSpec,
    TrackerSpec,
)

CONTRACT = 1
"""The contract that this version of bertmod offers to plugins."""

hookspec = pluggy.HookspecMarker("bertmod")
hookimpl = pluggy.HookimplMarker("bertmod")


@hookspec
def bertmod_encoders() -> Iterable[EncoderSpec]:
    """Encoders: token ids to hidden states, with named sites for adapters."""
    return ()


@hookspec
def bertmod_tokenizers() -> Iterable[TokenizerSpec]:
    """Tokenizers: texts to vocabulary indices."""
    return ()


@hookspec
def bertmod_adapters() -> Iterable[AdapterSpec]:
    """Adapters: one task's small modules at an encoder's sites."""
    return ()


@hookspec
def bertmod_heads() -> Iterable[HeadSpec]:
    """Heads: encoder output to logits, losses and answers."""
    return ()


@hookspec
def bertmod_tasks() -> Iterable[TaskSpec]:
    """Tasks: files to examples and features, outputs to predictions and scores."""
    return ()


@hookspec
def bertmod_samplers() -> Iterable[SamplerSpec]:
    """Samplers: how probable each task is at a step."""
    return ()


@hookspec
def bertmod_optimizers() -> Iterable[OptimizerSpec]:
    """Optimizers over named parameter groups."""
    return ()


@hookspec
def bertmod_schedules() -> Iterable[ScheduleSpec]:
    """Schedules: step to learning-rate multiplier."""
    return ()


@hookspec
def bertmod_loaders() -> Iterable[LoaderSpec]:
    """Checkpoint loaders: one container and naming format each."""
    return ()


@hookspec
def bertmod_metrics() -> Iterable[MetricSpec]:
    """Metrics over whole splits."""
    return ()


@hookspec
def bertmod_trackers() -> Iterable[TrackerSpec]:
    """Trackers: what hears about a run."""
    return ()


@hookspec
def bertmod_exporters() -> Iterable[ExporterSpec]:
    """Exporters: a trained model to files that other programs run."""
    return ()


@hookspec
def bertmod_commands() -> Iterable[CommandSpec]:
    """Commands added to the program."""
    return ()
