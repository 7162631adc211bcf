"""The built-in trackers."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from bertmod import ComponentConfig, Tracker, TrackerContext, TrackerSpec, hookimpl

BERTMOD_CONTRACT = 1


class JsonlConfig(ComponentConfig):
    """Options of the JSON lines."""

    every_steps: int = Field(
        1,
        ge=1,
        description="Write every so many optimizer steps, 1 or more; evaluations and checkpoints "
        "are always written.",
    )


class TensorBoardConfig(ComponentConfig):
    """Options of the TensorBoard curves."""

    every_steps: int = Field(
        10,
        ge=1,
        description="Write each task's steps once in so many optimizer steps, 1 or more; "
        "evaluations are always written.",
    )


def build_jsonl(config: JsonlConfig, context: TrackerContext) -> Tracker:
    """A tracker that writes ``metrics.jsonl``."""
    from bertmod.builtin.trackers.jsonl import JsonlTracker

    return JsonlTracker(context.folder, every_steps=config.every_steps)


def build_tensorboard(config: TensorBoardConfig, context: TrackerContext) -> Tracker:
    """A tracker that writes TensorBoard's event files."""
    from bertmod.builtin.trackers.tensorboard import TensorBoardTracker

    return TensorBoardTracker(context.folder, every_steps=config.every_steps)


@hookimpl
def bertmod_trackers() -> Iterator[TrackerSpec]:
    """The trackers that ship with bertmod."""
    yield TrackerSpec(
        name="jsonl",
        config=JsonlConfig,
        build=build_jsonl,
        summary="Every step, evaluation and checkpoint as a line of metrics.jsonl.",
    )
    yield TrackerSpec(
        name="tensorboard",
        config=TensorBoardConfig,
        build=build_tensorboard,
        summary="Losses, learning rates and dev scores as TensorBoard curves.",
    )
