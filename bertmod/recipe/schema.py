"""The recipe's envelope: every key that does not belong to a component."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bertmod.recipe.envelope import Envelope
from bertmod.recipe.training_keys import TrainingKeys

SCHEMA_VERSION = 1

SAMPLE = "sample"
"""The value of ``data.dir`` that stands for the built-in sample."""

AUTO = "auto"
"""The loader name that stands for whichever loader knows the checkpoint."""

COMPONENTS = ("encoder", "adapters", "heads")
"""Parts of a model that ``optimizer.learning_rate`` may name."""

DEFAULT_SLOTS: dict[str, Any] = {
    "checkpoint": None,
    "encoder": {"name": "bertmod/bert"},
    "tokenizer": {"name": "bertmod/wordpiece"},
    "adapters": [],
    "sampler": {"name": "bertmod/anneal"},
    "optimizer": {"name": "bertmod/bert_adam"},
    "schedule": {"name": "bertmod/linear"},
    "trackers": [{"name": "bertmod/jsonl"}, {"name": "bertmod/tensorboard"}],
}
"""What a recipe uses where it states no slot."""

SLOT_KINDS: dict[str, str] = {
    "checkpoint": "loader",
    "encoder": "encoder",
    "tokenizer": "tokenizer",
    "tasks": "task",
    "adapters": "adapter",
    "sampler": "sampler",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "trackers": "tracker",
}
"""Top-level key to the kind of the components in it."""

LIST_SLOTS = ("tasks", "adapters", "trackers")

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Layers = (
    Literal["all", "top_half", "bottom_half"]
    | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
)


class DataKeys(Envelope):
    """Where the data is and how it becomes batches."""

    dir: str | None = Field(
        SAMPLE,
        description='Folder with the tasks\' files; "sample" is the built-in synthetic sample (a '
        'folder of that name is "./sample"); null must be filled by --data.',
        json_schema_extra={"format": "path"},
    )
    max_length: int = Field(
        128, ge=5, description="Longest row, tokens, special tokens counted; at least 5."
    )
    reshuffle: bool = Field(
        True, description="Whether each pass over a task's rows has an order of its own."
    )
    bucket_window: int = Field(
        8,
        ge=1,
        description="Batches whose rows are sorted by length together before they are cut, at "
        "least 1; 1 sorts nothing.",
    )


class InitKeys(Envelope):
    """How fresh parameters start."""

    layer_norm: Literal["ones", "normal"] = Field(
        "ones",
        description="Gain of fresh LayerNorms: ones, or normal with the encoder's initializer "
        "range as in Bert-n-Pals.",
    )


class EvaluationKeys(Envelope):
    """When and how dev splits are scored."""

    every_steps: int | None = Field(
        None, ge=1, description="Optimizer steps between evaluations; null: once an epoch."
    )
    batch_size: int = Field(64, ge=1, description="Features of an evaluation batch, at least 1.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Evaluations in a row without a better score of its metric after which a task "
        "is trained no more, at least 1; those before which it made no step do not count; null: "
        "every task trains to the end.",
    )
    select: Literal["mean", "sum"] = Field(
        "mean",
        description="mean keeps the best mean over tasks and each task's best; sum keeps the best "
        "sum alone.",
    )


class SavingKeys(Envelope):
    """When checkpoints are written."""

    every_steps: int | None = Field(
        None, ge=1, description="Optimizer steps between checkpoints; null: at every evaluation."
    )
    keep: int = Field(2, ge=1, description="Newest checkpoints kept, at least 1.")
    best: bool = Field(
        True,
        description="Whether best/ keeps the best states; false: of models there is final/ alone, "
        "the one at the last step.",
    )


class FreezeKeys(Envelope):
    """What does not train, part by part."""

    embeddings: bool = Field(False, description="Whether the encoder's embeddings are frozen.")
    layers: Layers | None = Field(
        None,
        description="Encoder layers that are frozen, from 0, or all, or one half; null: none.",
    )
    pooler: bool = Field(
        False, description="Whether what lies above the last layer, BERT's pooler, is frozen."
    )
    layer_norm: bool = Field(
        True,
        description="Whether the LayerNorms of the parts named above are frozen with them.",
    )
    patterns: tuple[str, ...] = Field(
        (),
        description="Shell patterns of names of further parameters that are frozen, of any part.",
    )


Freeze = Literal["none", "encoder", "encoder_except_layer_norm"] | FreezeKeys


class RecipeKeys(Envelope):
    """The part of a recipe that is no component."""

    schema_version: Literal[1] = Field(1, description="Version of the recipe's form; 1.")
    seed: int = Field(
        42, ge=0, lt=2**63, description="Seed of every random choice, from 0 to 2**63 - 1."
    )
    data: DataKeys = Field(DataKeys(), description="Where the data is and how it is batched.")
    init: InitKeys = Field(InitKeys(), description="How fresh parameters start.")
    freeze: Freeze = Field(
        "none", description="What does not train: a policy, or an object that names parts."
    )
    training: TrainingKeys = Field(TrainingKeys(), description="Length, batches and arithmetic.")
    evaluation: EvaluationKeys = Field(EvaluationKeys(), description="When dev splits are scored.")
    saving: SavingKeys = Field(SavingKeys(), description="When checkpoints are written.")


class NoKeys(Envelope):
    """The slot keys of a kind that has none."""


class TaskKeys(Envelope):
    """Slot keys of a task."""

    id: Id | None = Field(
        None,
        description="Names the task in metrics, folders and --task; lower_snake, unique; null: "
        "its name.",
    )
    uses: str | None = Field(
        None,
        description="Id of the task whose adapters, head and label names it borrows; it then "
        "trains nothing.",
    )
    head: dict[str, Any] | None = Field(None, description="Head slot; null: the task's own head.")
    metric: str | None = Field(
        None,
        description='Main metric as "split/metric"; null: the first metric of its first dev split.',
    )
    loss_weight: float = Field(1.0, gt=0, description="Factor of its loss, above 0, unitless.")
    max_length: int | None = Field(
        None, ge=5, description="Longest row, tokens, at least 5; null: data.max_length."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Features of one of its optimizer steps, at least 1; null: "
        "training.global_batch_size.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Evaluations without a better score of its metric after which it is trained "
        "no more, at least 1; null: evaluation.patience.",
    )


class AdapterKeys(Envelope):
    """Slot keys of an adapter."""

    id: Id | None = Field(
        None,
        description="Names the adapter in parameters and files; lower_snake, unique; null: its "
        "name.",
    )
    tasks: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all", description="Ids of the tasks that get one each, or all."
    )
    layers: Layers = Field(
        "all", description="Encoder layers it acts in, from 0, or all, or one half."
    )


class SamplerKeys(Envelope):
    """Slot keys of a sampler."""

    sizes: dict[str, Annotated[int, Field(ge=1)]] | None = Field(
        None,
        description="Task id to training features, at least 1, in place of the measured sizes; "
        "null: as measured.",
    )


class AllowKeys(Envelope):
    """What may go unmatched when a checkpoint is loaded: shell patterns of tensor names."""

    unexpected: tuple[str, ...] = Field(
        (), description="Names in the file that no component knows."
    )
    missing: tuple[str, ...] = Field(
        (), description="Canonical names absent from a component that the file has in part."
    )
    misshaped: tuple[str, ...] = Field((), description="Canonical names whose shapes differ.")
    unequal: tuple[str, ...] = Field(
        (), description="Canonical names of tensors whose copies in the file differ."
    )


class LoaderKeys(Envelope):
    """Slot keys of a checkpoint loader."""

    path: str | None = Field(
        None,
        description="File or folder of the checkpoint; null must be filled by --checkpoint.",
        json_schema_extra={"format": "path"},
    )
    allow: AllowKeys = Field(AllowKeys(), description="What may go unmatched.")
    use: tuple[str, ...] = Field(
        (),
        description='What is taken beside encoder and tokenizer: "heads", "adapters" (every '
        "task's), or ids of tasks (both of these tasks).",
    )
    tasks: tuple[str, ...] | None = Field(
        None, description="Task ids in the order of the file, where it does not say; else null."
    )


class OptimizerKeys(Envelope):
    """Slot keys of an optimizer."""

    learning_rate: (
        Annotated[float, Field(gt=0)]
        | Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    ) = Field(
        5e-5,
        description="Peak learning rate, above 0; or a mapping of encoder, adapters, heads and "
        "of shell patterns of parameter names, which come before these.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor of the encoder's learning rates from each layer to the one below it, "
        "above 0, at most 1: of n layers, number i from 0 has the rate times layer_decay to the "
        "power n - i, the embeddings to the power n + 1; the pooler, adapters and heads have "
        "their full rates.",
    )
    weight_decay: (
        Annotated[float, Field(ge=0)]
        | Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)]
    ) = Field(
        0.01,
        description="Share of a parameter that joins its update before the learning rate is "
        "applied, unitless, 0 or more; or a mapping as for learning_rate. Biases and LayerNorms "
        "never decay.",
    )
    clip: Literal["global", "per_tensor"] = Field(
        "global", description="Whether max_grad_norm bounds all gradients together or each alone."
    )
    max_grad_norm: float | None = Field(
        1.0, gt=0, description="Largest gradient norm, above 0; null: no clipping."
    )
    idle: Literal["lazy", "dense", "own_clock"] = Field(
        "lazy",
        description="What a step does to other tasks' parameters: lazy leaves them, dense gives "
        "them zero gradients, own_clock leaves them and counts their own updates.",
    )
    decay_vectors: bool = Field(
        False,
        description="Whether vectors and scalars other than biases and LayerNorms (LHUC's, for "
        "one) decay like matrices.",
    )


class ScheduleKeys(Envelope):
    """Slot keys of a schedule."""

    first_step: Literal[0, 1] = Field(0, description="What the first step counts as; 0 or 1.")


SLOT_KEYS: dict[str, type[Envelope]] = {
    "loader": LoaderKeys,
    "task": TaskKeys,
    "adapter": AdapterKeys,
    "sampler": SamplerKeys,
    "optimizer": OptimizerKeys,
    "schedule": ScheduleKeys,
}
"""Kind to the model of its slot keys; the other kinds have none."""


def slot_model(kind: str) -> type[Envelope]:
    """The model of a kind's slot keys."""
    return SLOT_KEYS.get(kind, NoKeys)
