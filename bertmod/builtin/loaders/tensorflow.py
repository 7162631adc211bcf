"""Checkpoints of Google's TensorFlow programs, as they release them and after fine-tuning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor, TaskInfo
from bertmod.builtin.loaders.dialect import UNWANTED_HEAD, UNWANTED_PRETRAINING, wordpiece_slot
from bertmod.builtin.loaders.tensorflow_config import WORDS, OwnKey, Shapes, read_config
from bertmod.builtin.loaders.tensorflow_files import claim, locate
from bertmod.builtin.loaders.tensorflow_tensors import (
    require_tensorflow,
    shapes_and_files,
    tensor_reader,
)

OBJECTS = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What names end with that TensorFlow 2 makes from the attributes of objects."""

CLASSIFIER = "output_weights"
HEADS = {
    "span": "cls/squad/output_weights",
    "masked_lm": "cls/predictions/transform/dense/kernel",
    "next_sentence": "cls/seq_relationship/output_weights",
}
"""Head to a tensor that a checkpoint with it has; one of whole texts has ``CLASSIFIER``."""
BOTH = "pretraining"
"""The head that is ``masked_lm`` and ``next_sentence``; a checkpoint does not tell it from these
two, unless bertmod wrote that down."""

SLOT = "optimizer slot"
AVERAGE = "moving average that training kept beside the variable"
RATE = "bookkeeping of the learning rate"
SCALE = "bookkeeping of the loss scale"
SKIPPED = {
    "*/adam_[mv]": SLOT,
    "*/adam_[mv]_[0-9]*": SLOT,
    "*/Adam": SLOT,
    "*/Adam_[0-9]*": SLOT,
    "*/AdamWeightDecayOptimizer*": SLOT,
    "*/BERTAdam*": SLOT,
    "*/LAMB*": SLOT,
    "*/lamb_[mv]": SLOT,
    "*/Momentum": SLOT,
    "*/Adagrad": SLOT,
    "*/RMSProp": SLOT,
    "*/RMSProp_[0-9]*": SLOT,
    "*/ExponentialMovingAverage": AVERAGE,
    "global_step": "step counter",
    "*/global_step": "step counter",
    "*beta[12]_power": RATE,
    "learning_rate": RATE,
    "signal_early_stopping/*": "bookkeeping of early stopping",
    "*loss_scale*": SCALE,
    "good_steps": SCALE,
    "output_weights": UNWANTED_HEAD,
    "output_bias": UNWANTED_HEAD,
    "cls/squad/*": UNWANTED_HEAD,
    "cls/predictions/*": UNWANTED_PRETRAINING,
    "cls/seq_relationship/*": UNWANTED_PRETRAINING,
}
"""Pattern of a name to the reason; slots come first, since heads have them too."""


class FoundHead(NamedTuple):
    """A head in a checkpoint, and what bertmod wrote of its task."""

    slot: dict[str, Any]
    info: TaskInfo | None = None


def can_load(path: str) -> str | None:
    """Why a path is a TensorFlow checkpoint, or None."""
    return claim(Path(path))


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a TensorFlow checkpoint has.

    Args:
        config: No options.
        path: Prefix, one of its files, folder, SavedModel, or an archive of these.
        tasks: Id to give to the head, if there is one alone; those wanted, if there are more.

    Raises:
        CheckpointError: If a file is missing or damaged, if the configuration disagrees with the
            tensors, if it is no BERT, or if TensorFlow is not installed.
    """
    del config
    found = locate(path)
    require_tensorflow(f"{found.prefix}: reading its tensors")
    stored, files = shapes_and_files(found)
    names = _format_names(stored, found.prefix)
    shapes = {names[name]: shape for name, shape in stored.items()}
    encoder, own = read_config(found, shapes)
    heads = _heads(shapes, own, act=encoder["hidden_act"], config=found.config)
    heads = _chosen(heads, tasks, source=found.prefix)
    options = own.tokenizer if own else {}
    tokenizer = wordpiece_slot(found.vocab, encoder, options=options) if found.vocab else None
    return CheckpointDescription(
        format="tensorflow",
        encoder=encoder,
        tokenizer=tokenizer,
        heads={task: head.slot for task, head in heads.items()},
        tasks=tasks or (tuple(heads) if own and own.heads else ()),
        infos={task: head.info for task, head in heads.items() if head.info is not None},
        skipped=SKIPPED,
        files=(*files, *(file for file in (found.config, found.vocab) if file is not None)),
    )


def tensors(path: str) -> Mapping[str, StoredTensor]:
    """The tensors of a TensorFlow checkpoint; each is read when it is asked for.

    Raises:
        CheckpointError: If a file is missing or damaged.
    """
    found = locate(path)
    shapes, _ = shapes_and_files(found)
    names, read = _format_names(shapes, found.prefix), tensor_reader(found.prefix)
    return {
        name: StoredTensor(names[name], shape, partial(read, name))
        for name, shape in shapes.items()
    }


def _format_names(stored: Iterable[str], source: Path) -> dict[str, str]:
    """Name in the file to name in the format.

    What stands before the embeddings is the encoder's scope, ``bert/`` or the like. Heads lie
    beside the encoder: in ``module/`` if that is ``module/bert/``.
    """
    every = sorted(stored)
    if any(name.endswith(OBJECTS) for name in every):
        raise CheckpointError(
            f"{source}: saved by TensorFlow 2 as objects: its names end with {OBJECTS}\n"
            "  take the model's bert_model.ckpt of TensorFlow 1, or its PyTorch checkpoint"
        )
    scopes = [name.removesuffix(WORDS) for name in every if f"/{name}".endswith(f"/{WORDS}")]
    if len(scopes) != 1:
        what = f"more than one encoder: {', '.join(scopes)}" if scopes else f"no {WORDS} in it"
        raise CheckpointError(f"{source}: not a checkpoint of one BERT: {what}")
    scope = scopes[0]
    around = scope.removesuffix("/").rpartition("/")
    outer = around[0] + around[1]
    return {name: name.removeprefix(scope if name.startswith(scope) else outer) for name in every}


def _heads(
    shapes: Shapes, own: OwnKey | None, *, act: str, config: Path | None
) -> dict[str, FoundHead]:
    """The heads by task where bertmod wrote that down, else by a name for each kind."""
    kinds = {name: kind for kind, name in HEADS.items() if name in shapes}
    rows = shapes.get(CLASSIFIER, ())[:1]
    if rows:
        kinds[CLASSIFIER] = "regression" if rows == (1,) else "classification"
    heads: dict[str, FoundHead] = {}
    for task, head in (own.heads if own else {}).items():
        kind = str(head.slot.get("name")).removeprefix("bertmod/")
        if kind == BOTH and {"masked_lm", "next_sentence"} <= set(kinds.values()):
            kind = "masked_lm"
            del kinds[HEADS["next_sentence"]]
        if kinds.pop(HEADS.get(kind, CLASSIFIER), None) is None:
            continue  # training went on with another head since, the configuration kept
        if kind == "classification" and head.labels is not None:
            _check_labels(task, head.labels, rows=rows, config=config)
        heads[task] = FoundHead(head.slot, head.info())
    for kind in kinds.values():
        options = {"hidden_act": act} if kind == "masked_lm" else {}
        heads[kind] = FoundHead({"name": f"bertmod/{kind}", **options})
    if len(heads) == 1 and not (own and own.heads):
        return dict(zip(("0",), heads.values(), strict=True))
    return heads


def _check_labels(
    task: str, labels: tuple[str, ...], *, rows: tuple[int, ...], config: Path | None
) -> None:
    if (len(labels),) != rows:
        raise CheckpointError(
            f'{config}: {len(labels)} label names for "{task}", but {CLASSIFIER} has '
            f"{rows[0]} rows\n  use the bert_config.json that belongs to the checkpoint"
        )


def _chosen(
    heads: dict[str, FoundHead], tasks: tuple[str, ...] | None, *, source: Path
) -> dict[str, FoundHead]:
    """The heads under the ids that the recipe states; a single head takes any one id."""
    if not tasks or not heads:
        return heads
    if len(heads) == len(tasks) == 1:
        return dict(zip(tasks, heads.values(), strict=True))
    if lacking := [task for task in tasks if task not in heads]:
        raise CheckpointError(
            f'{source}: no head called "{lacking[0]}" there\n  there: {", ".join(heads)}'
        )
    return {task: heads[task] for task in tasks}
