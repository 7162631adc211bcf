"""The heads of a folder in the hub's layout: their slots and label names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from bertmod import CheckpointError, TaskInfo
from bertmod.builtin.loaders.encoder_config import ACTIVATIONS
from bertmod.model.tokenizer_files import OWN_KEY

Json = Mapping[str, Any]
Shapes = Mapping[str, tuple[int, ...]]

OF_TEXTS = "BertForSequenceClassification"
ALONE = ("BertModel",)
"""Architectures without a head."""

ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    OF_TEXTS: ("classification",),
    "BertForMaskedLM": ("masked_lm",),
    "BertForMultipleChoice": ("multiple_choice",),
    "BertForNextSentencePrediction": ("next_sentence",),
    "BertForPreTraining": ("masked_lm", "next_sentence"),
    "BertForQuestionAnswering": ("span",),
    "BertForTokenClassification": ("token_classification",),
}
"""Architecture to its heads; that of texts has any one of ``PROBLEM_TYPES``."""

BOTH = "pretraining"
"""The head that is both heads of ``BertForPreTraining``; a file does not tell it from these two,
unless bertmod wrote it."""

PROBLEM_TYPES = {
    "single_label_classification": "classification",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}

LAYERS = {
    "masked_lm": "cls.predictions.",
    BOTH: "cls.predictions.",
    "next_sentence": "cls.seq_relationship.",
    "span": "qa_outputs.",
}
CLASSIFIER = "classifier."
"""Head to what its tensors' names begin with; those that are not listed have ``CLASSIFIER``."""

WITH_LABELS = ("classification", "multi_label", "token_classification")
GIVEN_NAME = re.compile(r"LABEL_\d+")
"""What transformers calls labels that nobody named."""

ENCODER = ("embeddings.", "encoder.", "pooler.")


@dataclass(frozen=True)
class FoundHeads:
    """What a configuration and the tensors beside it say of heads.

    Attributes:
        slots: Task id, or index in the file, to head slot.
        infos: The same to label names and value range, where the file says any.
        tasks: Task ids, if anybody says them.
        skipped: Pattern of a tensor's name to the reason why nothing can use it.
    """

    slots: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    infos: Mapping[str, TaskInfo] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)


def found_heads(
    values: Json, shapes: Shapes, tasks: tuple[str, ...] | None, *, source: Path
) -> FoundHeads:
    """The heads that a configuration's architecture has; without one, there are none.

    Args:
        values: ``config.json``.
        shapes: Format name to shape of the tensors.
        tasks: Ids to give to the heads, in order; None if the user states none, empty if no head
            is wanted.
        source: The configuration file, for messages.

    Raises:
        CheckpointError: If there are not as many heads as ids, or the label names are not sound.
    """
    if tasks == ():
        return FoundHeads()
    named, why = _named_heads(values, shapes)
    skipped = {escape(name): why for name in shapes if why and not name.startswith(ENCODER)}
    names = [name for name in named if any(each.startswith(_layer(name)) for each in shapes)]
    if len(names) > 1 and _own(values, [BOTH]):
        names = [BOTH]
    _check_ids(names, tasks, source)
    own = _own(values, names)
    ids = tasks or tuple(own) or tuple(map(str, range(len(names))))
    slots, infos = {}, {}
    for id_, name, entry in zip(ids, names, own.values() or ({}, {}), strict=False):
        slots[id_] = {**entry.get("slot", {}), **_slot(name, values)}
        labels = _labels(values, shapes, source) if name in WITH_LABELS else None
        info = _info(labels, entry.get("info", {}), source)
        if info != TaskInfo():
            infos[id_] = info
    said = tuple(id_ for id_ in own if not id_.isdigit())  # a number is a place in the file
    return FoundHeads(slots, infos, tasks or said, skipped)


def _named_heads(values: Json, shapes: Shapes) -> tuple[tuple[str, ...], str]:
    """The heads that the architecture has, or why they cannot be told."""
    stated = values.get("architectures")
    architectures = list(map(str, stated)) if isinstance(stated, list) else []
    known = next((each for each in architectures if each in ARCHITECTURES), None)
    if known is None:
        others = [each for each in architectures if each not in ALONE]
        return (), f"part of a {others[0]}, which bertmod does not know" if others else ""
    if known != OF_TEXTS:
        return ARCHITECTURES[known], ""
    rows = _outputs(shapes)
    kind = values.get("problem_type")
    if kind is None:
        return ("regression" if rows == 1 else "classification",), ""
    if str(kind) not in PROBLEM_TYPES:
        return (), f'head for the problem_type "{kind}", which bertmod does not know'
    if kind == "regression" and rows > 1:
        return (), f"head of {rows} values; a regression head has one"
    return (PROBLEM_TYPES[kind],), ""


def _outputs(shapes: Shapes) -> int:
    """Outputs of the classifier; 0 if its weight is not there."""
    return next(iter(shapes.get(f"{CLASSIFIER}weight", ())), 0)


def _layer(name: str) -> str:
    return LAYERS.get(name, CLASSIFIER)


def _check_ids(names: Sequence[str], tasks: Sequence[str] | None, source: Path) -> None:
    if not tasks or len(tasks) == max(len(names), 1):
        return
    if len(names) < 2:
        raise CheckpointError(
            f"{source.parent}: one head at most, but {len(tasks)} tasks are stated"
        )
    raise CheckpointError(
        f"{source.parent}: {len(names)} heads, but {len(tasks)} "
        f"{'task is' if len(tasks) == 1 else 'tasks are'} stated\n"
        f"  state one for each, in this order: {', '.join(names)}"
    )


def _own(values: Json, names: Sequence[str]) -> Mapping[str, Json]:
    """Task id to what bertmod wrote beside of the heads; nothing if they are others by now."""
    record = values.get(OWN_KEY)
    heads = record.get("heads") if isinstance(record, dict) else None
    entries = list(heads.values()) if isinstance(heads, dict) else []
    slots = [entry.get("slot") if isinstance(entry, dict) else None for entry in entries]
    stated = [slot.get("name") if isinstance(slot, dict) else None for slot in slots]
    if not isinstance(heads, dict) or stated != [f"bertmod/{name}" for name in names]:
        return {}
    return heads


def _slot(name: str, values: Json) -> dict[str, Any]:
    """A head slot with what every configuration says of the head."""
    slot = {"name": f"bertmod/{name}"}
    if name in ("masked_lm", BOTH):
        return slot | {"hidden_act": ACTIVATIONS.get(values.get("hidden_act", "gelu"))}
    if _layer(name) != CLASSIFIER:
        return slot
    stated = values.get("classifier_dropout")
    return slot | {"dropout": values.get("hidden_dropout_prob", 0.1) if stated is None else stated}


def _info(labels: tuple[str, ...] | None, own: Json, source: Path) -> TaskInfo:
    try:
        bounds = own.get("value_range")
        return TaskInfo(
            labels=labels,
            value_range=None if bounds is None else (float(bounds[0]), float(bounds[1])),
            calibration={str(key): float(each) for key, each in own.get("calibration", {}).items()},
        )
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(f'{source}: damaged under "{OWN_KEY}": {error}') from error


def _labels(values: Json, shapes: Shapes, source: Path) -> tuple[str, ...] | None:
    """Label names in the order of the outputs; None where nobody named them."""
    named = values.get("id2label")
    if named is None:
        return None
    try:
        by_index = {int(index): str(name) for index, name in named.items()}
        index_of = {str(name): int(index) for name, index in (values.get("label2id") or {}).items()}
    except (TypeError, ValueError, AttributeError):
        raise CheckpointError(
            f"{source}: id2label or label2id is not a mapping between numbers and names"
        ) from None
    count = _outputs(shapes)
    if len(by_index) != count:
        raise CheckpointError(
            f"{source}: id2label names {len(by_index)} labels, but the head has {count} outputs"
        )
    if gaps := [index for index in range(count) if index not in by_index]:
        raise CheckpointError(f"{source}: id2label has no name for output {gaps[0]}")
    labels = tuple(by_index[index] for index in range(count))
    if len(set(labels)) < count:
        twice = next(name for name in labels if labels.count(name) > 1)
        raise CheckpointError(f'{source}: id2label has two outputs called "{twice}"')
    for name, index in index_of.items():
        if by_index.get(index) != name:
            raise CheckpointError(
                f'{source}: label2id has "{name}" at output {index}, id2label '
                f"{_quoted(by_index.get(index))}\n  correct the one that is wrong"
            )
    return None if all(GIVEN_NAME.fullmatch(name) for name in labels) else labels


def _quoted(name: str | None) -> str:
    return "nothing" if name is None else f'"{name}"'
