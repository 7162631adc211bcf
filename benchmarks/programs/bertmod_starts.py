"""Rounds of commands, each a process from its start; ``serving.py`` says how it is used.

Settings: ``commands``, what a line of the input may be to the words that the interpreter gets;
``folder``, for a run. The line ``first step`` starts the words of ``run`` and waits for the first
line that is written of a training step.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from serving import Told, Unable, serve

FIRST_STEP = "first step"
PAUSE_SECONDS = 0.01


def whole(words: list[str]) -> float:
    """Seconds until a command has ended."""
    begun = time.perf_counter()
    subprocess.run((sys.executable, *words), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def first_step(words: list[str], folder: Path) -> float:
    """Seconds until a run has written of its first step; it is stopped then.

    Raises:
        Unable: If it ends before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    log, begun = folder / "metrics.jsonl", time.perf_counter()
    run = subprocess.Popen(
        (sys.executable, *words, "--output", str(folder)), stdout=subprocess.DEVNULL
    )
    try:
        while not (log.is_file() and '"step"' in log.read_text(encoding="utf-8")):
            if run.poll() is not None:
                raise Unable(f"ended without a step: {' '.join(words)}")
            time.sleep(PAUSE_SECONDS)
        return time.perf_counter() - begun
    finally:
        run.kill()
        run.wait()


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Nothing is made before."""
    commands, folder = settings["commands"], Path(settings["folder"])

    def once(line: str) -> Told:
        words = commands[line]
        return {"seconds": first_step(words, folder) if line == FIRST_STEP else whole(words)}

    return {}, once


if __name__ == "__main__":
    serve(start)
