"""Run folders that hold records and a few numbers, without any training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertmod.contracts.head import TaskInfo
from bertmod.model.record import ENCODER_FILE, TASK_FILE, TENSOR_FILE, TaskRecord

ENCODER_SIZE = 100
METRICS = {"cola": "dev/matthews", "stsb": "dev/pearson", "mnli": "dev_matched/accuracy"}
"""Metric of a task; dev/accuracy for others."""

Scores = Mapping[str, float | None]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder out of the scores of its tasks; ``adapter`` is the values of each."""

    def make(
        name: str,
        scores: Scores,
        *,
        seed: int = 1,
        adapter: int = 0,
        final: Scores | None = None,
        metrics: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        training: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        data: str = "sample",
        files: Sequence[str] = ("file",),
        finished: bool = True,
    ) -> Path:
        folder = tmp_path / name
        recipe = {
            "seed": seed,
            "data": {"dir": data},
            "training": {"device": "cpu", "precision": "fp32", **(training or {})},
            "tasks": [{"id": task} for task in scores],
            "adapters": [{"size": adapter}] if adapter else [],
            "optimizer": optimizer or {},
        }
        text = json.dumps(recipe, sort_keys=True)
        states = {"best/mean": scores}
        if finished:
            states["final"] = scores if final is None else final
        for state, found in states.items():
            _write_encoder(folder / state / "encoder")
            for task, score in found.items():
                record = TaskRecord(
                    id=task,
                    task={"name": (names or {}).get(task, f"bertmod/{task}")},
                    adapters=(),
                    head={},
                    info=TaskInfo(labels=("0", "1")),
                    encoder_hash="0" * 64,
                    metric={**METRICS, **(metrics or {})}.get(task, "dev/accuracy"),
                    score=score,
                    recipe_hash=hashlib.sha256(text.encode()).hexdigest(),
                )
                _write_task(folder / state / task, record, adapter)
        (folder / "recipe.json").write_text(json.dumps(recipe))
        lock = {"data": {f"{number}.tsv": file for number, file in enumerate(files)}}
        (folder / "lock.json").write_text(json.dumps(lock))
        return folder

    return make


def _write_encoder(folder: Path) -> None:
    folder.mkdir(parents=True)
    values = {
        "format": "bertmod",
        "format_version": 1,
        "encoder": {},
        "tokenizer": {},
        "encoder_hash": "0" * 64,
    }
    (folder / ENCODER_FILE).write_text(json.dumps(values))
    save_file({"encoder.weight": np.zeros(ENCODER_SIZE, np.float32)}, folder / TENSOR_FILE)


def _write_task(folder: Path, record: TaskRecord, adapter: int) -> None:
    folder.mkdir()
    (folder / TASK_FILE).write_text(json.dumps(record.to_json("0.1.0")))
    tensors = {"head.weight": np.zeros(2, np.float32)}
    if adapter:
        tensors["adapters.one.weight"] = np.zeros(adapter, np.float32)
    save_file(tensors, folder / TENSOR_FILE)
