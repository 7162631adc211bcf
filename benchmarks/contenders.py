"""One training run of each tool, as a process of its own; both give back dev predictions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import ROOT
from benchmarks.settings import FineTuning

PROGRAMS = Path(__file__).with_name("programs")


class RunFailed(Exception):
    """A training run ended without a result."""


@dataclass(frozen=True)
class Outcome:
    """What a training run left.

    Attributes:
        predictions: Index of the label given to each dev row by the model of the last step.
        precision: Arithmetic of the forward.
        steps: Optimizer steps made.
        seconds: Whole process, from start to end.
        details: What else the tool said.
    """

    predictions: list[int]
    precision: str
    steps: int
    seconds: float
    details: dict[str, Any]


def run_bertmod(recipe: dict[str, Any], folder: Path) -> Outcome:
    """Train a recipe of one task with ``bertmod run``.

    Args:
        recipe: The recipe, its labels being numbers from 0.
        folder: Made anew; in the end it keeps the logs and not the weights.

    Raises:
        RunFailed: If the run fails.
    """
    (task,) = (task["name"] for task in recipe["tasks"])
    path, run = folder / "given.json", folder / "run"
    _fresh(folder)
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    command = ("-m", "bertmod", "run", str(path), "--output", str(run), "--quiet", "--strict-data")
    seconds = _timed((sys.executable, *command), log=folder / "output.txt")
    rows = (run / "predictions" / f"{task}.dev.tsv").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [event["scores"] for event in events if event["event"] == "evaluation"]
    settled = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    for weights in ("checkpoints", "best", "final"):
        shutil.rmtree(run / weights, ignore_errors=True)
    return Outcome(
        predictions=[int(row.split("\t")[1]) for row in rows[1:]],
        precision=settled["training"]["precision"],
        steps=max(event["step"] for event in events),
        seconds=seconds,
        details={"reported": scores[-1]},
    )


def run_transformers(
    settings: FineTuning,
    folder: Path,
    *,
    python: Path,
    rows: Path,
    checkpoint: str,
    seed: int,
    num_labels: int,
) -> Outcome:
    """Train with transformers' Trainer, in fp32.

    Args:
        settings: Hyper-parameters.
        folder: Made anew, for inputs and output.
        python: Interpreter of the peer's environment.
        rows: JSON file of the splits ``train`` and ``dev``.
        checkpoint: Folder of the weights and the vocabulary.
        seed: The run's seed.
        num_labels: Number of classes.

    Raises:
        RunFailed: If the run fails.
    """
    given, output = folder / "given.json", folder / "result.json"
    _fresh(folder)
    values = {**asdict(settings), "checkpoint": checkpoint, "seed": seed, "num_labels": num_labels}
    given.write_text(json.dumps(values, indent=2), encoding="utf-8")
    program = PROGRAMS / "transformers_classification.py"
    command = (str(python), str(program), str(rows), str(given), str(output))
    seconds = _timed(command, log=folder / "output.txt")
    result = json.loads(output.read_text(encoding="utf-8"))
    return Outcome(result.pop("predictions"), "fp32", result.pop("steps"), seconds, result)


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _timed(command: tuple[str, ...], *, log: Path) -> float:
    """Run a command, its output into a file; returns how long it took, seconds."""
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        last = "\n".join(log.read_text(encoding="utf-8").splitlines()[-12:])
        raise RunFailed(f"exit status {done.returncode} of: {' '.join(command)}\n{last}")
    return time.perf_counter() - start
