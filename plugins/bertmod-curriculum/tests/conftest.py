"""The program in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program with this plugin and a cache of the session's own."""
    cache = str(tmp_path_factory.mktemp("cache"))
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "BERTMOD_PLUGINS": "curriculum"}

    def run(*words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "bertmod", *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    return run


@pytest.fixture(scope="session")
def bertmod(start) -> Callable[..., str]:
    """Runs the program to its end, which must be a good one; gives what it printed."""

    def run(*words: str | Path) -> str:
        process = start(*words)
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out

    return run
