"""How long it takes until something happens: commands, and features of a data set seen before."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import ROOT, machine, versions
from benchmarks.results import save_page

COMMANDS: dict[str, tuple[str, ...]] = {
    "python -c pass": ("-c", "pass"),
    "bertmod --help": ("-m", "bertmod", "--help"),
    "bertmod run --help": ("-m", "bertmod", "run", "--help"),
    "bertmod check recipes/pals_anneal.json": (
        "-m",
        "bertmod",
        "check",
        "recipes/pals_anneal.json",
    ),
    "python -c 'import torch'": ("-c", "import torch"),
}
"""What is shown to what the interpreter gets; the first and the last are there to compare with."""

FEATURES = ("SST-2's training features, made", "SST-2's training features, from the cache")


def measure(data: Path | None, output: Path, *, repeats: int = 7) -> str:
    """Time every command, one after another in each round, and write the medians.

    Args:
        data: Folder that has SST-2/, to time features too; None leaves them out.
        output: JSON file; a Markdown page goes beside it.
        repeats: Rounds; the first warms the disk's cache and does not count.

    Returns:
        The page.
    """
    clocks: dict[str, Callable[[], float]] = {
        shown: lambda words=words: _command_seconds(words) for shown, words in COMMANDS.items()
    }
    times: dict[str, list[float]] = {shown: [] for shown in clocks}
    for number in range(repeats + 1):
        for shown, clock in clocks.items():
            seconds = clock()
            if number:
                times[shown].append(seconds)
    found = {shown: median(every) for shown, every in times.items()}
    if data is not None:
        found |= _feature_seconds(data)
    values = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "repeats": repeats,
        "seconds": found,
    }
    page = _page(values)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def _command_seconds(words: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run((sys.executable, *words), cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - start


def _feature_seconds(data: Path) -> dict[str, float]:
    """Seconds to make SST-2's training features, and to get them again."""
    from bertmod.assemble.components import build_tokenizer
    from bertmod.assemble.data import prepare_tasks
    from bertmod.data.cache import cached_features
    from bertmod.recipe.resolve import resolve
    from bertmod.registry import load_registry

    registry = load_registry()
    recipe = resolve({"tasks": [{"name": "sst2"}], "data": {"dir": str(data)}}, registry)
    entry = prepare_tasks(recipe, registry, build_tokenizer(recipe))["sst2"]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for shown in FEATURES:
            start = time.perf_counter()
            cached_features(
                Path(folder),
                files=entry.files("train"),
                key={"benchmark": "startup"},
                make=lambda: entry.make_features(entry.task.read("train")),
            )
            found[shown] = time.perf_counter() - start
    return found


def _page(values: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| `{shown}` | {seconds:.2f} |" for shown, seconds in values["seconds"].items()
    )
    about = ", ".join(f"{key} {value}" for key, value in values["machine"].items())
    return (
        f"# Start-up\n\nMedians of {values['repeats']} rounds; features once.\n\n"
        f"| what | seconds |\n| --- | ---: |\n{rows}\n\n{about}; `{values['command']}`\n"
    )
