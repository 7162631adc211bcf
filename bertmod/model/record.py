"""What the folder of a trained task says about itself; read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bertmod.contracts.head import TaskInfo
from bertmod.errors import CheckpointError

FORMAT = "bertmod"
FORMAT_VERSION = 1
TASK_FILE = "task.json"
ENCODER_FILE = "config.json"
TENSOR_FILE = "model.safetensors"

Slot = Mapping[str, Any]


@dataclass(frozen=True)
class TaskRecord:
    """One trained task beside its tensors.

    Attributes:
        id: Id of the task.
        task: Its slot in the resolved recipe.
        adapters: Slots of its adapters, in the order in which they act.
        head: Slot of its head.
        info: Label names or value range.
        encoder_hash: Hash of the encoder that it was trained with.
        metric: ``split/metric`` that chose it; empty if none did.
        score: Value of that metric, in the metric's unit; None if it was not measured.
        step: Optimizer steps done.
        recipe_hash: Hash of the resolved recipe; empty if there was none.
        merged_from: What it was merged from, each with its ``id``, ``coefficient``,
            ``recipe_hash``, ``metric``, ``score`` and ``step``; empty if it was trained.
        data: Data file that it was trained or scored on to the SHA-256 of its content.
        synthetic: Whether that was the built-in sample.
        init: The recipe's ``init``, how fresh parameters started; empty means the defaults.
    """

    id: str
    task: Slot
    adapters: tuple[Slot, ...]
    head: Slot
    info: TaskInfo
    encoder_hash: str
    metric: str = ""
    score: float | None = None
    step: int = 0
    recipe_hash: str = ""
    merged_from: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False
    init: Slot = field(default_factory=dict)

    def to_json(self, version: str) -> dict[str, Any]:
        """JSON values of ``task.json``, written by this version of bertmod."""
        fields = asdict(self)
        for name in ("labels", "label_counts"):
            found = getattr(self.info, name)
            fields["info"][name] = None if found is None else list(found)
        return {"format_version": FORMAT_VERSION, "bertmod_version": version, **fields}


def read_task_record(folder: Path) -> TaskRecord:
    """The record in a task's folder.

    Raises:
        CheckpointError: If the file is missing, damaged, incomplete, or of a newer format.
    """
    path = folder / TASK_FILE
    values = read_json(path)
    check_version(values, path)
    try:
        info = values["info"]
        return TaskRecord(
            id=values["id"],
            task=dict(values["task"]),
            adapters=tuple(dict(slot) for slot in values["adapters"]),
            head=dict(values["head"]),
            info=TaskInfo(
                labels=None if info["labels"] is None else tuple(info["labels"]),
                value_range=None if info["value_range"] is None else _pair(info["value_range"]),
                calibration=dict(info["calibration"]),
                fingerprint=info["fingerprint"],
                label_counts=_counts(info.get("label_counts")),
            ),
            encoder_hash=values["encoder_hash"],
            metric=values["metric"],
            score=values["score"],
            step=values["step"],
            recipe_hash=values["recipe_hash"],
            merged_from=tuple(dict(source) for source in values.get("merged_from", ())),
            data=dict(values.get("data", {})),
            synthetic=bool(values.get("synthetic", False)),
            init=dict(values.get("init", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {type(error).__name__}: {error}") from error


def read_encoder_record(folder: Path) -> Mapping[str, Any]:
    """JSON values of the ``config.json`` in an encoder's folder.

    Returns:
        At least ``encoder`` and ``tokenizer`` (slots) and ``encoder_hash``.

    Raises:
        CheckpointError: If the file is missing, damaged, incomplete, or of a newer format.
    """
    path = folder / ENCODER_FILE
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise CheckpointError(f'{path}: not an encoder that bertmod wrote: no "format": "{FORMAT}"')
    check_version(values, path)
    for key, kind in (("encoder", dict), ("tokenizer", dict), ("encoder_hash", str)):
        if not isinstance(values.get(key), kind):
            raise CheckpointError(f'{path}: damaged: no "{key}"')
    return values


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CheckpointError: If the file cannot be read or is not one JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return values


def check_version(values: Mapping[str, Any], path: Path) -> None:
    """Refuse a file of a format that this version does not know.

    Raises:
        CheckpointError: If the version is missing or newer; both numbers are named.
    """
    version = values.get("format_version")
    if not isinstance(version, int):
        raise CheckpointError(f'{path}: damaged: no "format_version"')
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format version {version}, but this bertmod reads up to {FORMAT_VERSION}\n"
            f"  it was written by bertmod {values.get('bertmod_version', '(unknown)')}; "
            "install that or a newer one"
        )


def _pair(values: Any) -> tuple[float, float]:
    low, high = values
    return low, high


def _counts(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)
