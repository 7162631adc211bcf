from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bertmod(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program in an empty folder, without other plugins."""
    env = {**os.environ, "BERTMOD_PLUGINS": "", "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bertmod", *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
