"""Spec records: what a hook returns for each component.

The functions of a spec, except ``build`` and ``tensors``, are *light*: pure functions of the
options that never import torch, so that a recipe is proved before a tensor is made. Problems they
return have paths relative to the component.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bertmod.contracts.checkpoint import (
    CheckpointDescription,
    CheckpointWriter,
    StoredTensor,
    TensorName,
)
from bertmod.contracts.config import ComponentConfig
from bertmod.contracts.encoder import EncoderShape, Part
from bertmod.contracts.exporter import ExportContext, Exported
from bertmod.contracts.task import Role
from bertmod.spec_defaults import (
    Problems,
    checkpoint_wins,
    marks_alone,
    no_problems,
    no_sites,
    unchanged,
)

if TYPE_CHECKING:
    from torch.nn import Module

Config = Any  # each function of a spec takes the config model that its own spec names
Slot = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every component declares.

    Attributes:
        kind: The component's kind, as in ``bertmod list``.
        name: Registered name, ``lower_snake``.
        config: Options model.
        summary: One line on what it does.
        source: Paper or program that defines it; empty if none.
    """

    kind: ClassVar[str]
    slot_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of the recipe's envelope that this kind's slots take beside the options."""

    name: str
    config: type[ComponentConfig]
    summary: str
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """An encoder.

    Attributes:
        build: (config, EncoderContext) to an ``Encoder`` module.
        complete: Config with every null structural option filled in.
        shape: Config to shape.
        names: Config to the names of its tensors.
        check: Problems of the options among themselves.
        may_state: (option, stated, found): whether a recipe's value wins over the checkpoint's.
        initializer_range: Standard deviation of fresh weights.
    """

    kind: ClassVar[str] = "encoder"

    build: Callable[[Config, Any], Module]
    complete: Callable[[Config], Config]
    shape: Callable[[Config], EncoderShape]
    names: Callable[[Config], Sequence[TensorName]]
    initializer_range: Callable[[Config], float]
    check: Callable[[Config], Problems] = no_problems
    may_state: Callable[[str, Any, Any], bool] = checkpoint_wins


@dataclass(frozen=True, kw_only=True)
class TokenizerSpec(Spec):
    """A tokenizer.

    Attributes:
        build: (config) to a ``Tokenizer``.
        complete: Config with the null options filled in that the vocabulary tells; after ``check``.
        vocab_size: Config to the number of vocabulary entries; reads the vocabulary file.
        files: Config to the files it is made from.
        check: Problems of the options and the vocabulary file.
        pipeline: Config to the text of a ``tokenizer.json`` of the same pieces; None if none is.
    """

    kind: ClassVar[str] = "tokenizer"

    build: Callable[[Config], Any]
    vocab_size: Callable[[Config], int]
    files: Callable[[Config], Sequence[str]]
    complete: Callable[[Config], Config] = unchanged
    check: Callable[[Config], Problems] = no_problems
    pipeline: Callable[[Config], str] | None = None


@dataclass(frozen=True, kw_only=True)
class AdapterSpec(Spec):
    """An adapter.

    Attributes:
        build: (config, AdapterContext) to an ``Adapter`` module; runs once per task.
        sites: (config, shape, layers) to the sites it acts at and the layers there.
        num_parameters: (config, shape, layers) to the trainable parameters of one task.
        names: (config, shape, layers) to its tensors' names; None: its own, in bertmod's format.
        needs_output: (config, shape) to those of its sites where it changes what is there and
            adds nothing of its own: at a delta site an earlier adapter of the recipe must act.
        check: (config, shape, layers) to problems.
    """

    kind: ClassVar[str] = "adapter"
    slot_keys: ClassVar[tuple[str, ...]] = ("id", "tasks", "layers")

    build: Callable[[Config, Any], Module]
    sites: Callable[[Config, EncoderShape, tuple[int, ...]], Mapping[str, tuple[int, ...]]]
    num_parameters: Callable[[Config, EncoderShape, tuple[int, ...]], int]
    names: Callable[[Config, EncoderShape, tuple[int, ...]], Sequence[TensorName]] | None = None
    needs_output: Callable[[Config, EncoderShape], frozenset[str]] = no_sites
    check: Callable[[Config, EncoderShape, tuple[int, ...]], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Spec):
    """A head.

    Attributes:
        build: (config, HeadContext) to a ``Head`` module.
        want: Config to the parts of the encoder's output it reads.
        targets: Config to the targets it reads, name to kind (``class``, ``value`` ...).
        num_parameters: (config, shape, number of labels) to its parameters.
        names: (config, shape) to the names of its tensors; None as for adapters.
        labels: Names of labels, where it takes so many alone; used if the task names none.
        check: Problems of the options among themselves.
    """

    kind: ClassVar[str] = "head"

    build: Callable[[Config, Any], Module]
    want: Callable[[Config], frozenset[Part]]
    targets: Callable[[Config], Mapping[str, str]]
    num_parameters: Callable[[Config, EncoderShape, int], int]
    names: Callable[[Config, EncoderShape], Sequence[TensorName]] | None = None
    labels: tuple[str, ...] | None = None
    check: Callable[[Config], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class TaskSpec(Spec):
    """A task.

    Attributes:
        build: (config, TaskContext) to a ``Task``.
        splits: Config to its splits and what each is for.
        head: Config to the head slot it uses unless the recipe states one.
        metrics: Config to the metric names of each split that is scored, the main one first. A
            test split among them is scored by ``bertmod evaluate`` alone, where it has labels.
        targets: Config to the targets its features carry, name to kind.
        num_labels: Config to the number of labels; None if only the data tells.
        min_length: Config to the shortest ``max_length`` that leaves room for its rows, tokens.
        num_types: Config to the token types in its rows, 2 for pairs; None: only they tell.
        check: Problems of the options among themselves.
    """

    kind: ClassVar[str] = "task"
    slot_keys: ClassVar[tuple[str, ...]] = (
        "id",
        "uses",
        "head",
        "metric",
        "loss_weight",
        "max_length",
        "batch_size",
        "patience",
    )

    build: Callable[[Config, Any], Any]
    splits: Callable[[Config], Mapping[str, Role]]
    head: Callable[[Config], Slot]
    metrics: Callable[[Config], Mapping[str, tuple[str, ...]]]
    targets: Callable[[Config], Mapping[str, str]]
    num_labels: Callable[[Config], int | None]
    min_length: Callable[[Config], int] = marks_alone
    num_types: Callable[[Config], int] | None = None
    check: Callable[[Config], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class SamplerSpec(Spec):
    """A sampler.

    Attributes:
        build: (config, SamplerContext) to a ``Sampler``.
        check: (config, ids of the tasks that train) to problems.
    """

    kind: ClassVar[str] = "sampler"
    slot_keys: ClassVar[tuple[str, ...]] = ("sizes",)

    build: Callable[[Config, Any], Any]
    check: Callable[[Config, tuple[str, ...]], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec(Spec):
    """An optimizer.

    Attributes:
        build: (config, sequence of ``ParameterGroup``) to a ``torch.optim.Optimizer``.
        per_parameter: Whether each parameter's update depends on that parameter alone.
        state_per_parameter: Bytes of state per trainable parameter, for memory estimates.
        check: Problems of the options among themselves.
    """

    kind: ClassVar[str] = "optimizer"
    slot_keys: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "layer_decay",
        "weight_decay",
        "clip",
        "max_grad_norm",
        "idle",
        "decay_vectors",
    )

    build: Callable[[Config, Any], Any]
    per_parameter: bool = False
    state_per_parameter: int = 8
    check: Callable[[Config], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec(Spec):
    """A learning-rate schedule.

    Attributes:
        build: (config) to a ``Schedule``.
        check: Problems of the options among themselves.
    """

    kind: ClassVar[str] = "schedule"
    slot_keys: ClassVar[tuple[str, ...]] = ("first_step",)

    build: Callable[[Config], Any]
    check: Callable[[Config], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class LoaderSpec(Spec):
    """A checkpoint loader: one container and naming format.

    Attributes:
        can_load: Path to the reason why the checkpoint is of this kind, or None.
        describe: (config, path, task ids) to what the checkpoint says of itself; None for all
            tasks, empty for the encoder alone.
        tensors: (path) to its tensors by their names in the file; imports torch.
        writer: How the format is written, for ``bertmod convert --to NAME``; None if it is not.
    """

    kind: ClassVar[str] = "loader"
    slot_keys: ClassVar[tuple[str, ...]] = ("path", "allow", "use", "tasks")

    can_load: Callable[[str], str | None]
    describe: Callable[[Config, str, tuple[str, ...] | None], CheckpointDescription]
    tensors: Callable[[str], Mapping[str, StoredTensor]]
    writer: CheckpointWriter | None = None


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric.

    Attributes:
        build: (config) to a ``Metric``.
    """

    kind: ClassVar[str] = "metric"

    build: Callable[[Config], Any]


@dataclass(frozen=True, kw_only=True)
class TrackerSpec(Spec):
    """A tracker.

    Attributes:
        build: (config, TrackerContext) to a ``Tracker``.
    """

    kind: ClassVar[str] = "tracker"

    build: Callable[[Config, Any], Any]


@dataclass(frozen=True, kw_only=True)
class ExporterSpec(Spec):
    """An exporter, for ``bertmod export --to NAME``.

    Attributes:
        export: (config, ExportContext, folder) to ``Exported``; fills the folder, imports torch.
        exact: Whether outputs are the model's but for rounding; if not, dev rows are scored.
        check: Problems of the options, and libraries that it needs and that are not installed.
        open: From a folder that it filled to the same ``Exported``, for ``bertmod predict
            --export``; None: its files are not run again.
    """

    kind: ClassVar[str] = "exporter"

    export: Callable[[Config, ExportContext, Path], Exported]
    exact: bool = True
    open: Callable[[Path], Exported] | None = None
    check: Callable[[Config], Problems] = no_problems


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A command of the program.

    Attributes:
        name: What the user types after ``bertmod``.
        function: A function with typer's annotations; imports torch only when called.
        summary: One line for ``bertmod --help``.
    """

    name: str
    function: Callable[..., Any]
    summary: str


class EmptyConfig(ComponentConfig):
    """The options of a component that has none."""


SPECS: tuple[type[Spec], ...] = (
    EncoderSpec,
    TokenizerSpec,
    AdapterSpec,
    HeadSpec,
    TaskSpec,
    SamplerSpec,
    OptimizerSpec,
    ScheduleSpec,
    LoaderSpec,
    MetricSpec,
    TrackerSpec,
    ExporterSpec,
)
"""Every spec class, in the order in which ``bertmod list`` shows the kinds."""


__all__ = [
    "SPECS",
    "AdapterSpec",
    "CommandSpec",
    "EmptyConfig",
    "EncoderSpec",
    "ExporterSpec",
    "HeadSpec",
    "LoaderSpec",
    "MetricSpec",
    "OptimizerSpec",
    "SamplerSpec",
    "ScheduleSpec",
    "Spec",
    "TaskSpec",
    "TokenizerSpec",
    "TrackerSpec",
]
