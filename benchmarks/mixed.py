"""Rows of eight tasks in one forward, beside the same rows task by task."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine, versions
from benchmarks.results import save_page
from bertmod.assemble.components import build_model, build_tokenizer
from bertmod.contracts.head import TaskInfo
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode, decode_mixed
from bertmod.library import text_features
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.foundation import cached_sample
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

NUM_TASKS = 8
PALS = {"name": "pals", "bottleneck_size": 102, "num_heads": 6}
"""The paper's 204 at half of its width, as MiniLM's 384 are half of BERT's 768."""

EVERY, RANDOM = "every text, every task", "every text, one task at random"
LOADS: tuple[tuple[str, int], ...] = (
    (EVERY, 1),
    (EVERY, 8),
    (EVERY, 64),
    (RANDOM, 4),
    (RANDOM, 16),
    (RANDOM, 64),
    (RANDOM, 512),
)
"""Who is asked, and how many texts arrive together."""

Tables = Mapping[str, FeatureTable]


@dataclass(frozen=True)
class Measured:
    """One load.

    Attributes:
        load: Who is asked.
        texts: Texts that arrive together.
        answers: Answers given.
        one_by_one: Median seconds, task after task.
        mixed: Median seconds, all in mixed batches.
        difference: Largest difference of a probability between the two.
    """

    load: str
    texts: int
    answers: int
    one_by_one: float
    mixed: float
    difference: float

    def row(self) -> str:
        """A line of the table."""
        times = f"{1000 * self.one_by_one:.1f} | {1000 * self.mixed:.1f}"
        ratio = f"{self.one_by_one / self.mixed:.2f}"
        return f"| {self.load} | {self.texts} | {self.answers} | {times} | **{ratio}** |"


def measure(
    checkpoint: str, output: Path, *, repeats: int, threads: int, precision: str, device: str
) -> str:
    """Time every load both ways, in turn, and write the medians.

    Args:
        checkpoint: Weights in the Hugging Face layout.
        output: JSON file; a Markdown page goes beside it.
        repeats: Rounds that count; one more warms up.
        threads: Threads of PyTorch.
        precision: ``fp32`` or ``bf16``.
        device: ``cpu`` or ``cuda``.

    Returns:
        The page.
    """
    torch.set_num_threads(threads)
    model, table = _model(checkpoint, device)
    settings = EvaluationSettings(precision=precision)
    found = [
        _time(model, _arrivals(load, texts, table), load, texts, settings, repeats)
        for load, texts in LOADS
    ]
    values = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine() | {"device": _device(device)},
        "versions": versions(),
        "precision": precision,
        "repeats": repeats,
        "tokens_per_text": float(table.lengths.mean()),
        "loads": [vars(each) for each in found],
    }
    page = _page(values, found)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def _model(checkpoint: str, device: str) -> tuple[MultiTaskModel, FeatureTable]:
    """Eight tasks' PALs on one encoder, and 512 short texts."""
    ids = [f"task_{number}" for number in range(NUM_TASKS)]
    recipe = resolve(
        {
            "checkpoint": {"name": "auto", "path": checkpoint},
            "tasks": [{"name": "sst2", "id": id_} for id_ in ids],
            "adapters": [PALS],
        },
        load_registry(),
    )
    model, _ = build_model(recipe, {id_: TaskInfo(labels=("0", "1")) for id_ in ids})
    with torch.no_grad():  # fresh PALs differ little: make the tasks differ
        for parameter in model.adapters.parameters():
            parameter.mul_(3.0)
    lines = (cached_sample() / "SST-2" / "train.tsv").read_text("utf-8")
    texts = [line.split("\t")[0] for line in lines.splitlines()[1:513]]
    table = text_features(build_tokenizer(recipe), texts, [0] * len(texts))
    return model.to(device).eval(), table


def _arrivals(load: str, texts: int, table: FeatureTable) -> Tables:
    """Features by task; a task that nobody asks is not there."""
    generator = np.random.default_rng(texts)
    chosen = generator.choice(len(table), texts, replace=False)
    if load == EVERY:
        return {f"task_{number}": table.take(chosen) for number in range(NUM_TASKS)}
    tasks = generator.integers(NUM_TASKS, size=texts)
    return {
        f"task_{number}": table.take(chosen[tasks == number])
        for number in range(NUM_TASKS)
        if (tasks == number).any()
    }


def _time(
    model: MultiTaskModel,
    tables: Tables,
    load: str,
    texts: int,
    settings: EvaluationSettings,
    repeats: int,
) -> Measured:
    ways: dict[str, Callable[[], Mapping[str, Any]]] = {
        "one": lambda: {
            task: decode(model, task, table, settings=settings) for task, table in tables.items()
        },
        "mixed": lambda: decode_mixed(model, tables, settings=settings),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Mapping[str, Any]] = {}
    for number in range(repeats + 1):
        for name in sorted(ways, reverse=bool(number % 2)):
            start = time.perf_counter()
            answers[name] = ways[name]()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return Measured(
        load,
        texts,
        sum(map(len, tables.values())),
        median(seconds["one"]),
        median(seconds["mixed"]),
        _difference(answers["one"], answers["mixed"]),
    )


def _difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    return max(
        float(np.abs(a["probabilities"] - b["probabilities"]).max())
        for task in one
        for a, b in zip(one[task], two[task], strict=True)
    )


def _device(name: str) -> str:
    return torch.cuda.get_device_name() if name.startswith("cuda") else "cpu"


def _page(values: Mapping[str, Any], found: list[Measured]) -> str:
    about = ", ".join(f"{key} {value}" for key, value in values["machine"].items())
    rows = "\n".join(each.row() for each in found)
    difference = max(each.difference for each in found)
    return (
        "# Mixed batches\n\n"
        f"MiniLM (6 layers of 384) with PALs of {NUM_TASKS} tasks; texts of "
        f"{values['tokens_per_text']:.0f} tokens on average; {values['precision']}; medians of "
        f"{values['repeats']} rounds, both ways in turn, batches formed and answers decoded "
        f"included. Probabilities differ by {difference:.1e} at most.\n\n"
        "| asked | texts at once | answers | one by one, ms | mixed, ms | ratio |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        f"{rows}\n\n{about}; `{values['command']}`\n"
    )
