"""Which checks each kind of component must pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from bertmod.testing import (
    adapters,
    adapters_in_model,
    encoder_sites,
    encoders,
    exporters,
    general,
    heads,
    loaders,
    metrics,
    optimizers,
    samplers,
    schedules,
    task_answers,
    tasks,
    tokenizers,
    trackers,
)
from bertmod.testing.subject import Subject

Check = Callable[[Subject], None]

COMPONENT_CHECKS = general.COMPONENT_CHECKS
"""Checks of a record, and of the plugin that it comes from."""

SUITES: Mapping[str, tuple[Check, ...]] = {
    kind: (*general.CHECKS, *own)
    for kind, own in (
        ("encoder", (*encoders.CHECKS, *encoder_sites.CHECKS)),
        ("tokenizer", tokenizers.CHECKS),
        ("adapter", (*adapters.CHECKS, *adapters_in_model.CHECKS)),
        ("head", heads.CHECKS),
        ("task", (*tasks.CHECKS, *task_answers.CHECKS)),
        ("sampler", samplers.CHECKS),
        ("optimizer", optimizers.CHECKS),
        ("schedule", schedules.CHECKS),
        ("loader", loaders.CHECKS),
        ("metric", metrics.CHECKS),
        ("tracker", trackers.CHECKS),
        ("exporter", exporters.CHECKS),
    )
}
"""Kind to the checks of a component with one set of options."""


@contextmanager
def quiet() -> Iterator[None]:
    """Run a check from the same random numbers every time, and leave the caller's as they were."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(0)
        yield
