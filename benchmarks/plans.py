"""The memory that ``bertmod plan`` predicts beside what the run then takes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, versions
from benchmarks.results import save_page

ENCODER: dict[str, Any] = {
    "name": "bert",
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
}

STEPS = 40
"""Optimizer steps of a run: more than a plan makes itself."""

SETTINGS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"training": {"precision": "bf16"}},
    "4 micro-steps": {"training": {"gradient_accumulation_steps": 4}},
    "averaged weights": {"training": {"ema": 0.99}},
    "activations again": {"training": {"activation_checkpointing": True}},
    "padded rows": {"training": {"layout": "padded"}},
    "128 rows": {"training": {"global_batch_size": 128}},
    "adamw": {"optimizer": {"name": "adamw"}},
    "PALs": {"adapters": [{"name": "pals", "bottleneck_size": 128, "num_heads": 8}]},
    "frozen, bottlenecks": {
        "freeze": "encoder_except_layer_norm",
        "adapters": [{"name": "bottleneck", "bottleneck_size": 64}],
    },
}
"""What differs from the first one, by name."""

_RUN = """
import sys
from bertmod.cli.program import main
from bertmod.planning.process import process_peak
status = main(sys.argv[1:])
print("peak", process_peak())
sys.exit(status)
"""
_PEAK = re.compile(r"predicted: ([\d,]+) MiB.*\n  libraries ([\d,]+) MiB")


def measure(output: Path) -> str:
    """Plan and make a run under each of ``SETTINGS``, every one in a fresh process.

    Args:
        output: JSON file; a Markdown page goes beside it.

    Returns:
        The page.
    """
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, changes in SETTINGS.items():
            rows[name] = _row(Path(folder), _recipe(changes))
            print(f"{name}: {rows[name]}", file=sys.stderr)
    values = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "steps": STEPS,
        "rows": rows,
    }
    page = _page(rows)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def _recipe(changes: Mapping[str, Any]) -> dict[str, Any]:
    training = {
        "num_epochs": 1,
        "steps_per_epoch": STEPS,
        "precision": "fp32",
        "device": "cpu",
        **changes.get("training", {}),
    }
    tasks = [{"name": name} for name in ("cola", "rte", "stsb")]
    rest = {"tasks": tasks, "encoder": ENCODER, "data": {"dir": "sample"}, "trackers": []}
    return {**rest, **changes, "training": training}


def _row(folder: Path, recipe: Mapping[str, Any]) -> dict[str, int]:
    """MiB: what the libraries take, and both peaks."""
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    found = _PEAK.search(_said("-m", "bertmod", "plan", str(path)))
    if found is None:
        raise SystemExit("this system does not tell what a process holds")
    predicted, libraries = (int(number.replace(",", "")) for number in found.groups())
    with tempfile.TemporaryDirectory(dir=folder) as run:
        said = _said("-c", _RUN, "run", str(path), "--output", f"{run}/run", "--quiet")
    measured = int(said.rpartition("peak ")[2]) // 2**20
    return {"libraries": libraries, "predicted": predicted, "measured": measured}


def _said(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def _page(rows: Mapping[str, Mapping[str, int]]) -> str:
    lines = [
        "# Memory, predicted and measured",
        "",
        "Peaks of whole processes on a CPU, MiB; `error` leaves out what the libraries take.",
        "",
        "| | libraries | predicted | measured | error |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        own = row["measured"] - row["libraries"]
        error = (row["predicted"] - row["measured"]) / own
        cells = " | ".join(str(row[key]) for key in ("libraries", "predicted", "measured"))
        lines.append(f"| {name} | {cells} | {error:+.1%} |")
    return "\n".join(lines) + "\n"
