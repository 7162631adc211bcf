"""One training run of each tool, as a process of its own; both give back dev predictions."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from benchmarks.peers import ROOT

PROGRAMS = Path(__file__).with_name("programs")


class RunFailed(Exception):
    """A training run ended without a result."""


@dataclass(frozen=True)
class Outcome:
    """What a training run left.

    Attributes:
        predictions: Answers to the dev split by the model of the last step.
        precision: Arithmetic of the forward.
        steps: Optimizer steps made.
        seconds: Whole process, from start to end.
        details: What else the tool said.
    """

    predictions: Any
    precision: str
    steps: int
    seconds: float
    details: dict[str, Any]


def run_bertmod(
    recipe: dict[str, Any],
    folder: Path,
    *,
    answers: Callable[[Path], Any],
    program: tuple[str, ...] = ("-m", "bertmod"),
) -> Outcome:
    """Train a recipe of one task with ``bertmod run``.

    Args:
        recipe: The recipe.
        folder: Made anew; in the end it keeps the logs and not the weights.
        answers: Reads the dev split's answers from the run's folder ``predictions/``.
        program: What Python is to run.

    Raises:
        RunFailed: If the run fails.
    """
    (task,) = (task["name"] for task in recipe["tasks"])
    path, run = folder / "given.json", folder / "run"
    _fresh(folder)
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    words = ("run", str(path), "--output", str(run), "--quiet", "--strict-data")
    command = (sys.executable, *program, *words)
    seconds = timed(command, log=folder / "output.txt")
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [event["scores"] for event in events if event["event"] == "evaluation"]
    losses = [round(event["loss"], 5) for event in events if event["event"] == "step"]
    settled = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    parameters = own_parameters(run / "final" / task)
    predictions = answers(run / "predictions")
    for weights in ("checkpoints", "best", "final"):
        shutil.rmtree(run / weights, ignore_errors=True)
    return Outcome(
        predictions=predictions,
        precision=settled["training"]["precision"],
        steps=max(event["step"] for event in events),
        seconds=seconds,
        details={"reported": scores[-1], "losses": losses, **parameters},
    )


def run_peer(
    program: str, given: Mapping[str, Any], folder: Path, *, python: Path, rows: Path
) -> Outcome:
    """Train with another tool, in fp32.

    Args:
        program: Name of a program in ``benchmarks/programs/``.
        given: What it reads: hyper-parameters, steps, checkpoint, seed, its own options.
        folder: Made anew, for inputs and output.
        python: Interpreter of the peer's environment.
        rows: JSON file of the splits ``train`` and ``dev``.

    Raises:
        RunFailed: If the run fails.
    """
    settings, output = folder / "given.json", folder / "result.json"
    _fresh(folder)
    settings.write_text(json.dumps(given, indent=2), encoding="utf-8")
    command = (str(python), str(PROGRAMS / f"{program}.py"), str(rows), str(settings), str(output))
    seconds = timed(command, log=folder / "output.txt")
    result = json.loads(output.read_text(encoding="utf-8"))
    result.pop("course", None)  # too long for a table of runs
    return Outcome(result.pop("predictions"), "fp32", result.pop("steps"), seconds, result)


def own_parameters(folder: Path) -> dict[str, int]:
    """Numbers of parameters that belong to one task, by the folder that a run keeps of it.

    Args:
        folder: ``final/TASK`` of a run.
    """
    counts = {"adapter_parameters": 0, "head_parameters": 0}
    with safe_open(folder / "model.safetensors", framework="numpy") as tensors:
        for name in tensors.keys():  # noqa: SIM118  (no mapping: it has no __iter__)
            part = "adapter_parameters" if name.startswith("adapters.") else "head_parameters"
            counts[part] += math.prod(tensors.get_slice(name).get_shape())
    return counts


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def timed(command: tuple[str, ...], *, log: Path) -> float:
    """Run a command in the checkout, its output into a file.

    Returns:
        How long it took, seconds.

    Raises:
        RunFailed: If it fails; its last lines are shown.
    """
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        last = "\n".join(log.read_text(encoding="utf-8").splitlines()[-12:])
        raise RunFailed(f"exit status {done.returncode} of: {' '.join(command)}\n{last}")
    return time.perf_counter() - start
