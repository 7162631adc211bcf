"""A stranger's plugin: a sampler with a state, an optimizer that does nothing, and the like."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bertmod import (
    EmptyConfig,
    OptimizerSpec,
    PluginError,
    SamplerSpec,
    TaskContext,
    TaskSpec,
    TrackerContext,
    TrackerSpec,
    hookimpl,
)

BERTMOD_CONTRACT = 1


class Listener:
    """Draws the tasks by weights that every evaluation changes."""

    def __init__(self, tasks: tuple[str, ...]) -> None:
        self.tasks, self.weights = tasks, [1.0] * len(tasks)

    def probabilities(self, step, epoch, num_epochs, running):
        return np.array(self.weights) / sum(self.weights)

    def observe(self, step: int, scores: Mapping[str, float]) -> None:
        self.weights = [
            weight * 0.5 + 1.0 + abs(scores[task])
            for task, weight in zip(self.tasks, self.weights, strict=True)
        ]

    def state_dict(self) -> Mapping[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weights = list(state["weights"])


def build_still(config, groups):
    from torch.optim import SGD

    class Still(SGD):
        def step(self, closure=None):
            return None

    return Still([{"params": [p for _, p in group.parameters]} for group in groups], lr=0.0)


class Service:
    """A tracking service's client, as a stranger writes it: one record a step, an id to resume by.

    Its calls are written down where a server would hear them.
    """

    def __init__(self, context: TrackerContext) -> None:
        self.calls = context.folder / "service.jsonl"
        run_id = f"{context.folder.name}-{context.recipe['seed']}"
        self._call("init", id=run_id, resume="allow", config=context.recipe)

    def resumed(self, step: int) -> None:
        self._call("define_rewind", step=step)

    def stepped(self, step: int, values: Mapping[str, Any]) -> None:
        task = values["task"]
        self._call("log", step=step, data={f"{task}/loss": values["loss"]})

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        self._call("log", step=step, data=dict(scores))

    def saved(self, step: int, path: Path) -> None:
        self._call("log_artifact", step=step, path=path.name)

    def close(self) -> None:
        self._call("finish")

    def _call(self, name: str, **arguments: Any) -> None:
        if "BERTMOD_TEST_NO_SERVICE" in os.environ:
            raise ConnectionError("no service")
        with self.calls.open("a") as stream:
            stream.write(json.dumps({"call": name, **arguments}) + "\n")


def build_unable(config, context):
    raise PluginError('needs a package that is not installed: pip install "a-client"')


@hookimpl
def bertmod_trackers() -> Iterator[TrackerSpec]:
    yield TrackerSpec(
        name="service",
        config=EmptyConfig,
        build=lambda _, context: Service(context),
        summary="Calls a tracking service.",
    )
    yield TrackerSpec(
        name="unable", config=EmptyConfig, build=build_unable, summary="Lacks a package."
    )


def rte() -> TaskSpec:
    from bertmod.builtin.tasks.plugin import bertmod_tasks as shipped

    return next(spec for spec in shipped() if spec.name == "rte")


def build_leaky(config, context: TaskContext):
    """RTE, whose spec is quiet on its pairs; writing, it finds the disk full and names no file."""
    task = rte().build(config, context)

    def write(*_: Any) -> list[Path]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    task.write = write
    return task


@hookimpl
def bertmod_tasks() -> Iterator[TaskSpec]:
    yield replace(rte(), name="leaky", build=build_leaky, num_types=None)


@hookimpl
def bertmod_samplers() -> Iterator[SamplerSpec]:
    yield SamplerSpec(
        name="listener",
        config=EmptyConfig,
        build=lambda _, context: Listener(context.tasks),
        summary="Tasks by weights that evaluations change.",
    )


@hookimpl
def bertmod_optimizers() -> Iterator[OptimizerSpec]:
    yield OptimizerSpec(
        name="still", config=EmptyConfig, build=build_still, summary="Moves nothing."
    )
