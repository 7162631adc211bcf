"""A resolved recipe: every name found, every option checked, every default written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bertmod.contracts.checkpoint import CheckpointDescription
from bertmod.contracts.encoder import EncoderShape
from bertmod.recipe.envelope import Envelope
from bertmod.recipe.schema import (
    SCHEMA_VERSION,
    AdapterKeys,
    DataKeys,
    EvaluationKeys,
    Freeze,
    InitKeys,
    LoaderKeys,
    NoKeys,
    OptimizerKeys,
    SamplerKeys,
    SavingKeys,
    ScheduleKeys,
    TaskKeys,
)
from bertmod.recipe.training_keys import TrainingKeys
from bertmod.specs import (
    AdapterSpec,
    EncoderSpec,
    HeadSpec,
    LoaderSpec,
    OptimizerSpec,
    SamplerSpec,
    ScheduleSpec,
    Spec,
    TaskSpec,
    TokenizerSpec,
    TrackerSpec,
)

SpecT = TypeVar("SpecT", bound=Spec)
KeysT = TypeVar("KeysT", bound=Envelope)


@dataclass(frozen=True)
class ResolvedSlot(Generic[SpecT, KeysT]):
    """One component of a recipe.

    Attributes:
        id: What it is called in this recipe; its name unless tasks and adapters say otherwise.
        provider: The distribution it comes from.
        version: That distribution's version.
        spec: Its record.
        config: Its options, validated; an instance of ``spec.config``.
        keys: Its slot keys, defaults filled in.
    """

    id: str
    provider: str
    version: str
    spec: SpecT
    config: Any
    keys: KeysT

    @property
    def full_name(self) -> str:
        """``provider/name``."""
        return f"{self.provider}/{self.spec.name}"

    def to_json(self) -> dict[str, Any]:
        """The slot as a recipe would write it, every default written out."""
        return {
            "name": self.full_name,
            **self.config.model_dump(mode="json"),
            **self.keys.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class ResolvedTask(ResolvedSlot[TaskSpec, TaskKeys]):
    """A task with its head.

    Attributes:
        head: Its head; None if it borrows one.
        max_length: Longest row, tokens.
        batch_size: Features of one of its optimizer steps.
        patience: Evaluations without a better score after which it trains no more; None: never.
    """

    head: ResolvedSlot[HeadSpec, NoKeys] | None
    max_length: int
    batch_size: int
    patience: int | None

    @property
    def trains(self) -> bool:
        """Whether it trains; otherwise it borrows adapters, head and labels from ``keys.uses``."""
        return self.keys.uses is None

    @property
    def lender(self) -> str:
        """Id of the task whose adapters and head it runs with: its own unless it borrows them."""
        return self.keys.uses or self.id


@dataclass(frozen=True)
class ResolvedAdapter(ResolvedSlot[AdapterSpec, AdapterKeys]):
    """An entry of the recipe's adapter list.

    Attributes:
        layers: The layers it acts in, ascending, from 0.
        tasks: Ids of the tasks that get one each, in the recipe's order.
    """

    layers: tuple[int, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe that was proved: what ``assemble`` builds from.

    Attributes:
        title: What messages call the recipe.
        seed: Seed of every random choice.
        data: Where the data is; ``dir`` is ``"sample"`` or absolute.
        init: How fresh parameters start.
        freeze: What does not train.
        training: Length, batches and arithmetic.
        evaluation: When dev splits are scored.
        saving: When checkpoints are written.
        encoder: Encoder, every structural option filled in.
        tokenizer: Tokenizer, its vocabulary named.
        checkpoint: Loader of the checkpoint that training starts from, or None.
        description: What that checkpoint says of itself.
        tasks: Tasks, those that train and those that borrow, in the recipe's order.
        adapters: Adapters in the order in which they act.
        sampler: Sampler.
        optimizer: Optimizer.
        schedule: Schedule.
        trackers: Trackers.
        shape: The encoder's shape.
        notes: Which loader was found and what the command line replaced, one line each, to be told
            to the user; no part of the recipe.
    """

    title: str
    seed: int
    data: DataKeys
    init: InitKeys
    freeze: Freeze
    training: TrainingKeys
    evaluation: EvaluationKeys
    saving: SavingKeys
    encoder: ResolvedSlot[EncoderSpec, NoKeys]
    tokenizer: ResolvedSlot[TokenizerSpec, NoKeys]
    checkpoint: ResolvedSlot[LoaderSpec, LoaderKeys] | None
    description: CheckpointDescription | None
    tasks: tuple[ResolvedTask, ...]
    adapters: tuple[ResolvedAdapter, ...]
    sampler: ResolvedSlot[SamplerSpec, SamplerKeys]
    optimizer: ResolvedSlot[OptimizerSpec, OptimizerKeys]
    schedule: ResolvedSlot[ScheduleSpec, ScheduleKeys]
    trackers: tuple[ResolvedSlot[TrackerSpec, NoKeys], ...]
    shape: EncoderShape
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def training_tasks(self) -> tuple[ResolvedTask, ...]:
        """The tasks that train."""
        return tuple(task for task in self.tasks if task.trains)

    def to_json(self) -> dict[str, Any]:
        """The recipe with every default written out; resolving it gives the same recipe."""
        return {
            "schema_version": SCHEMA_VERSION,
            "seed": self.seed,
            "data": self.data.model_dump(mode="json"),
            "checkpoint": self.checkpoint.to_json() if self.checkpoint else None,
            "encoder": self.encoder.to_json(),
            "tokenizer": self.tokenizer.to_json(),
            "init": self.init.model_dump(mode="json"),
            "tasks": [_task_json(task) for task in self.tasks],
            "adapters": [adapter.to_json() for adapter in self.adapters],
            "freeze": _freeze_json(self.freeze),
            "sampler": self.sampler.to_json(),
            "optimizer": self.optimizer.to_json(),
            "schedule": self.schedule.to_json(),
            "training": self.training.model_dump(mode="json"),
            "evaluation": self.evaluation.model_dump(mode="json"),
            "saving": self.saving.model_dump(mode="json"),
            "trackers": [tracker.to_json() for tracker in self.trackers],
        }


def _freeze_json(freeze: Freeze) -> str | dict[str, Any]:
    return freeze if isinstance(freeze, str) else freeze.model_dump(mode="json")


def _task_json(task: ResolvedTask) -> dict[str, Any]:
    return {**task.to_json(), "head": task.head.to_json() if task.head else None}
