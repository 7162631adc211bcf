"""Rounds of commands, each a process from its start; ``serving.py`` says how it is used.

Settings: ``commands``, what a line of the input may be to the words that the interpreter gets;
``folder``, for a run; ``cache`` beside it has what bertmod keeps between runs, in place of the
user's. The lines ``first step, nothing kept`` and ``first step`` start the words of ``run`` and
wait for the first line that is written of a training step; before the one, the cache is emptied.

A round tells ``seconds`` of the clock, and ``processor_seconds`` of all threads, which are nearly
the same on a busy machine and on a quiet one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving import Told, Unable, serve

FIRST_STEP, NOTHING_KEPT = "first step", "first step, nothing kept"
PAUSE_SECONDS = 0.01


def environment(cache: Path) -> dict[str, str]:
    """This process's, with a cache of its own, and bytecode kept as after an installation."""
    kept = {name: at for name, at in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"XDG_CACHE_HOME": str(cache)}


def whole(words: list[str], cache: Path) -> None:
    """Run a command to its end."""
    command = (sys.executable, *words)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment(cache))


def first_step(words: list[str], folder: Path, cache: Path) -> None:
    """Start a run, and stop it when it has written of its first step.

    Raises:
        Unable: If it ends before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    log = folder / "metrics.jsonl"
    command = (sys.executable, *words, "--output", str(folder))
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment(cache))
    try:
        while not (log.is_file() and '"step"' in log.read_text(encoding="utf-8")):
            if run.poll() is not None:
                raise Unable(f"ended without a step: {' '.join(words)}")
            time.sleep(PAUSE_SECONDS)
    finally:
        run.kill()
        run.wait()


def timed(command: Callable[[], None]) -> Told:
    """What a command took, that starts a process and waits for it."""
    before, begun = os.times(), time.perf_counter()
    command()
    seconds, after = time.perf_counter() - begun, os.times()
    user = after.children_user - before.children_user
    system = after.children_system - before.children_system
    return {"seconds": seconds, "processor_seconds": user + system}


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Nothing is made before."""
    commands, folder = settings["commands"], Path(settings["folder"])
    cache = folder.with_name("cache")

    def once(line: str) -> Told:
        words = commands[line]
        if line == NOTHING_KEPT:
            shutil.rmtree(cache, ignore_errors=True)
        if line in (FIRST_STEP, NOTHING_KEPT):
            return timed(lambda: first_step(words, folder, cache))
        return timed(lambda: whole(words, cache))

    return {}, once


if __name__ == "__main__":
    serve(start)
