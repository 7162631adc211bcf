"""What lies beside exported files: inputs, outputs and labels, the tokenizer, the README."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod import __version__
from bertmod.contracts.exporter import Exported
from bertmod.errors import CheckpointError
from bertmod.inference.export_plan import ChosenTasks
from bertmod.model.card import CARD_FILE
from bertmod.model.padded import PaddedModel, PaddedOutput
from bertmod.model.record import TaskRecord, read_encoder_record
from bertmod.model.tokenizer_files import tokenizer_files

EXPORT_FILE = "export.json"
FORMAT_VERSION = 1

INPUTS = {
    "input_ids": "the tokenizer's indices, with the special tokens; behind a row's end any index",
    "attention_mask": "1 for the tokens of a row, which stand at its beginning, 0 behind its end",
    "token_type_ids": "0, and 1 for the second text with its [SEP]",
}
"""Input to what it holds."""


@dataclass(frozen=True)
class Scores:
    """One metric of one split, before and after an export.

    Attributes:
        task: Id of the task.
        split: Name of the split.
        metric: Name of the metric.
        before: Score of the model, in fp32.
        after: Score of the files.
    """

    task: str
    split: str
    metric: str
    before: float
    after: float

    def cells(self) -> list[str]:
        """What stands in a table: task, split, metric, both scores, their difference."""
        numbers = (f"{self.before:.4f}", f"{self.after:.4f}", f"{self.after - self.before:+.4f}")
        return [self.task, self.split, self.metric, *numbers]


@dataclass(frozen=True)
class Export:
    """What came of an export.

    Attributes:
        chosen: The tasks.
        padded: The model as padded rows see it.
        exported: The files.
        difference: Largest difference of a logit from the model's; None if it was not checked.
        scores: Scores of the dev rows; empty if they were not asked for, or no task has any.
    """

    chosen: ChosenTasks
    padded: PaddedModel
    exported: Exported
    difference: float | None = None
    scores: tuple[Scores, ...] = ()

    @property
    def name(self) -> str:
        """The exporter's name."""
        return self.chosen.exporter.name


def write_record(folder: Path, export: Export, *, readme: str) -> None:
    """Write ``export.json``, the tokenizer's files and the README beside exported files.

    Args:
        folder: Where the exported files are.
        export: What came of the export.
        readme: Text of the README.

    Raises:
        CheckpointError: If the exporter wrote a file of one of these names.
    """
    files: dict[str, bytes | str] = {
        **_tokenizer(export),
        EXPORT_FILE: json.dumps(_values(folder, export), indent=2, ensure_ascii=False) + "\n",
        CARD_FILE: readme,
    }
    for name, content in files.items():
        if (folder / name).exists():
            raise CheckpointError(f"{export.name} wrote {name}, which bertmod writes itself")
        data = content.encode("utf-8") if isinstance(content, str) else content
        (folder / name).write_bytes(data)


def _values(folder: Path, export: Export) -> dict[str, Any]:
    """JSON values of ``export.json``."""
    chosen, plan = export.chosen, export.chosen.plan
    return {
        "format_version": FORMAT_VERSION,
        "bertmod_version": __version__,
        "exporter": {"name": plan.exporter.full_name, **plan.config.model_dump(mode="json")},
        "files": sorted(path.name for path in folder.iterdir()),
        "max_length": chosen.max_length,
        "inputs": [
            {"name": name, "dtype": "int64", "shape": ["batch", "length"], "holds": told}
            for name, told in INPUTS.items()
        ],
        "outputs": [output_axes(output) for output in export.padded.outputs],
        "tasks": {task: _task(entry) for task, entry in chosen.records.items()},
        "encoder_hash": chosen.state.encoder_hash,
        "scores": [score.cells() for score in export.scores],
        "tokenizer": read_encoder_record(chosen.state.encoder)["tokenizer"],
    }


def output_axes(output: PaddedOutput) -> dict[str, Any]:
    """What ``export.json`` says of an output."""
    axes = ["batch"] if output.per == "row" else ["batch", "length"]
    return {
        "name": output.name,
        "task": output.task,
        "dtype": "float32",
        "shape": [*axes, *output.shape],
    }


def _task(entry: TaskRecord) -> dict[str, Any]:
    info = entry.info
    return {
        "name": entry.task["name"],
        "head": dict(entry.head),
        "labels": None if info.labels is None else list(info.labels),
        "value_range": None if info.value_range is None else list(info.value_range),
        "calibration": dict(info.calibration),
    }


def _tokenizer(export: Export) -> dict[str, bytes]:
    """The tokenizer's files, and those that other libraries read where it has such a form."""
    chosen, pipeline = export.chosen, export.chosen.pipeline
    files = chosen.tokenizer.files()
    if not pipeline:
        return dict(files)
    return tokenizer_files(
        chosen.opened.tokenizer.to_json(),
        files,
        pipeline=pipeline,
        max_length=chosen.max_length,
    )
