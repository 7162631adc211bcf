"""Processes that stay alive and do a round of work whenever they are told to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contenders import PROGRAMS, RunFailed
from benchmarks.machine import ROOT
from bertmod.cli.program import brief_spinning

Told = dict[str, Any]


class Unable(Exception):
    """A worker cannot do here what it is asked for."""


class Worker:
    """A process of a program that ``benchmarks/programs/serving.py`` serves.

    Args:
        program: Name of a program in ``benchmarks/programs/``.
        settings: What it reads.
        python: Its interpreter.
        folder: Where its settings and its output go, under ``name``.
        name: What these files are called.
        peer: Whether it is a peer's: others import the bertmod of this checkout, and their threads
            wait for one another as those of the program ``bertmod`` do.

    Attributes:
        about: What it says of itself; there once it runs.
    """

    def __init__(
        self,
        program: str,
        settings: Mapping[str, Any],
        *,
        python: Path,
        folder: Path,
        name: str,
        peer: bool,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        given, self._log = folder / f"{name}.json", folder / f"{name}.txt"
        given.write_text(json.dumps(dict(settings), indent=2), encoding="utf-8")
        self._command = [str(python), str(PROGRAMS / f"{program}.py"), str(given)]
        self._own = {} if peer else {"PYTHONPATH": str(ROOT), **brief_spinning(os.environ)}
        self.about: Told = {}

    def __enter__(self) -> Worker:
        """Start it, and wait until it is ready.

        Raises:
            Unable: If it says that it cannot do what it is asked for.
            RunFailed: If it ends.
        """
        pipe = subprocess.PIPE
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=pipe,
                stdout=pipe,
                stderr=log,
                text=True,
                env=os.environ | self._own,
            )
        try:
            self.about = self._answer()
        except RunFailed:
            self.__exit__()
            raise
        if "unable" in self.about:
            self.__exit__()
            raise Unable(self.about["unable"])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def round(self, line: str) -> Told:
        """Have it do a round.

        Args:
            line: What it is told.

        Raises:
            RunFailed: If it ends; its last lines are shown.
        """
        assert self._process.stdin is not None
        try:
            print(line, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None
        return self._answer()

    def _answer(self) -> Told:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        told: Told = json.loads(line)
        return told

    def _failure(self) -> RunFailed:
        last = "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-12:])
        return RunFailed(f"no answer of: {' '.join(self._command)}\n{last}")


def take_turns(
    ways: Mapping[str, Callable[[], Told]],
    *,
    rounds: int,
    tell: Callable[[str, int, Told], None] = lambda *_: None,
) -> dict[str, list[Told]]:
    """Do rounds of several kinds of work by turns: in their order, then in the reverse, and so on.

    Args:
        ways: What does a round of each.
        rounds: Rounds that count; one more before them warms up.
        tell: Hears of every round: which, its number from 0, what it gave.

    Returns:
        What each round that counts gave.
    """
    told: dict[str, list[Told]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in reversed(list(ways)) if number % 2 else ways:
            found = ways[name]()
            tell(name, number, found)
            if number:
                told[name].append(found)
    return told
