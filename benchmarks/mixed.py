"""Rows of eight tasks in one forward, beside the same rows task by task."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
    *((EVERY, texts) for texts in (1, 4, 16, 64, 256)),
    *((RANDOM, texts) for texts in (4, 16, 64, 256, 512)),
)
"""Who is asked, and how many texts arrive together."""

TARGET = 1.5
"""What the ratio of one text and every task is to be."""

GAIN = 1.1
"""The least ratio that is called a gain."""

Tables = Mapping[str, FeatureTable]
Advance = Callable[[int], object] | None


@dataclass(frozen=True)
class Measured:
    """One load.

    Attributes:
        load: Who is asked.
        texts: Texts that arrive together.
        answers: Answers given.
        forwards: Forward passes, task after task and in mixed batches.
        one_by_one: Median seconds, task after task.
        mixed: Median seconds, all in mixed batches.
        ratio: Median over the rounds of the one time over the other.
        difference: Largest difference of a probability between the two.
    """

    load: str
    texts: int
    answers: int
    forwards: tuple[int, int]
    one_by_one: float
    mixed: float
    ratio: float
    difference: float

    def row(self) -> str:
        """A line of the table."""
        forwards = " | ".join(map(str, self.forwards))
        times = f"{1000 * self.one_by_one:.1f} | {1000 * self.mixed:.1f}"
        who = f"{self.load} | {self.texts} | {self.answers}"
        return f"| {who} | {forwards} | {times} | **{self.ratio:.2f}** |"


def measure(
    checkpoint: str, output: Path, *, repeats: int, threads: int, precision: str, device: str
) -> str:
    """Time every load both ways, in turn, and write the medians.

    Args:
        checkpoint: Weights in the Hugging Face layout.
        output: JSON file; a Markdown page goes beside it.
        repeats: Rounds that count; one more warms up, and counts forwards.
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
    forwards = dict.fromkeys(("one", "mixed"), 0)

    def one(advance: Advance = None) -> Mapping[str, Any]:
        return {
            task: decode(model, task, table, settings=settings, advance=advance)
            for task, table in tables.items()
        }

    def mixed(advance: Advance = None) -> Mapping[str, Any]:
        return decode_mixed(model, tables, settings=settings, advance=advance)

    def count(name: str) -> Advance:
        def passed(_: int) -> None:
            forwards[name] += 1

        return passed

    ways = {"one": one, "mixed": mixed}
    answers = {name: way(count(name)) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats):
        for name in sorted(ways, reverse=bool(number % 2)):
            start = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - start)
    return Measured(
        load,
        texts,
        sum(map(len, tables.values())),
        (forwards["one"], forwards["mixed"]),
        median(seconds["one"]),
        median(seconds["mixed"]),
        median(slow / fast for slow, fast in zip(seconds["one"], seconds["mixed"], strict=True)),
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
        "| asked | texts at once | answers | forwards one by one | mixed | one by one, ms | "
        "mixed, ms | ratio |\n"
        f"| --- |{' ---: |' * 7}\n"
        f"{rows}\n\n{reason(found)}\n\n{about}; `{values['command']}`\n"
    )


def reason(found: Sequence[Measured]) -> str:
    """Whether the target is reached, where the gain ends, and why there.

    Args:
        found: Loads; of one kind from the fewest texts to the most.
    """
    parts = []
    for load in dict.fromkeys(each.load for each in found):
        own = [each for each in found if each.load == load]
        gains = [each for each in own if each.ratio >= GAIN]
        first, last = own[0], own[-1]
        fewer = f"{first.forwards[0] / first.forwards[1]:.1f} times fewer forwards at "
        fewer += f"{first.texts}, {last.forwards[0] / last.forwards[1]:.1f} at {last.texts}"
        end = f"up to {gains[-1].texts} at once" if gains else "nowhere"
        if gains and gains[-1] is last:
            end = f"up to {last.texts} at once and beyond"
        parts.append(f"{load}: mixed batches gain {end} ({fewer}).")
    ratio = next((each.ratio for each in found if (each.load, each.texts) == (EVERY, 1)), None)
    if ratio is not None:
        parts.append(f"All tasks for one text: {ratio:.2f}, target {TARGET:g}.")
    return (
        f"{' '.join(parts)} A gain is a ratio of {GAIN:g} or more. Mixed batches make fewer "
        "forwards, and one of few rows costs little less than one of some more: its calls of "
        "operators and its reading of all weights are the same. The gain ends where every task has "
        "rows enough for forwards of its own, which it gets where it fills a batch: then there is "
        "nothing to share, and the adapters of a mixed batch work on small pieces."
    )
