"""The benchmark of starting: what a round tells, and what the page says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.contenders import PROGRAMS
from benchmarks.speed import startup

WRITING = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
folder.mkdir()
(folder / "metrics.jsonl").write_text('{"event": "step"}')
time.sleep(60)
"""


@pytest.fixture
def start(
    load_program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[dict[str, list[str]]], Callable[[str], dict[str, Any]]]:
    """Commands to what makes a round of one, its folder ``run``."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    program = load_program("bertmod_starts")

    def started(commands: dict[str, list[str]]) -> Callable[[str], dict[str, Any]]:
        _, once = program.start({"commands": commands, "folder": str(tmp_path / "run")})
        return once

    return started


def test_a_command_is_timed_to_its_end(start) -> None:
    told = start({"count": ["-c", "sum(range(3_000_000))"]})("count")
    assert told["processor_seconds"] > 0
    assert 0 < told["seconds"] < 60


def test_a_run_is_timed_to_its_first_step_and_stopped(start, tmp_path: Path) -> None:
    once = start({startup.FIRST_STEP: ["-c", WRITING], startup.NOTHING_KEPT: ["-c", WRITING]})
    (tmp_path / "cache").mkdir()
    assert once(startup.FIRST_STEP)["seconds"] < 60
    assert (tmp_path / "cache").exists()
    assert once(startup.NOTHING_KEPT)["seconds"] < 60
    assert not (tmp_path / "cache").exists()


def test_a_run_that_ends_without_a_step(start) -> None:
    with pytest.raises(Exception, match="ended without a step: -c pass"):
        start({startup.FIRST_STEP: ["-c", "pass"]})(startup.FIRST_STEP)


def test_runs_have_a_cache_of_their_own_and_keep_bytecode(start, tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "kept = not sys.dont_write_bytecode, os.environ['XDG_CACHE_HOME']\n"
        f"pathlib.Path({str(tmp_path / 'told')!r}).write_text(repr(kept))"
    )
    start({"tell": ["-c", code]})("tell")
    assert (tmp_path / "told").read_text() == repr((True, str(tmp_path / "cache")))


def test_notes_say_what_is_beyond_the_import_of_torch() -> None:
    runs = {
        startup.TORCH: [{"seconds": 2.0, "processor_seconds": 1.5}],
        startup.FIRST_STEP: [{"seconds": 2.5, "processor_seconds": 1.75}],
    }
    _, told = startup.notes([{"measured": runs}])
    assert told == (
        "First step, beyond the import of torch: 0.50 s, of which the processor works 0.25 s; "
        "target: at most 3 s."
    )
