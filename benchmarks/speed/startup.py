"""How long commands take from their start: to their end, or to the first training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed.contest import Contender, Group, Ratio, Staff
from benchmarks.speed.targets import FIRST_STEP_SECONDS, HELP

RECIPE = "recipes/pals_anneal.json"
FIRST_STEP, NOTHING_KEPT = "first step", "first step, nothing kept"
"""The lines that ``bertmod_starts.py`` knows."""

TORCH, HELP_COMMAND = "python -c 'import torch'", "bertmod --help"

COMMANDS: dict[str, list[str]] = {
    "python -c pass": ["-c", "pass"],
    HELP_COMMAND: ["-m", "bertmod", "--help"],
    "bertmod run --help": ["-m", "bertmod", "run", "--help"],
    f"bertmod check {RECIPE}": ["-m", "bertmod", "check", RECIPE],
    TORCH: ["-c", "import torch"],
    NOTHING_KEPT: ["-m", "bertmod", "run", RECIPE, "--quiet"],
    FIRST_STEP: ["-m", "bertmod", "run", RECIPE, "--quiet"],
}
"""What is shown to what the interpreter gets; the first and the import are for comparison."""


def groups(folder: Path) -> list[Group]:
    """What is measured."""
    staff = {"commands": Staff("bertmod_starts", {"commands": COMMANDS, "folder": str(folder)})}
    contenders = [Contender(name, "commands", 1.0, name, "") for name in COMMANDS]
    return [
        Group("Start-up", staff, contenders, [Ratio("help", HELP_COMMAND, TORCH, HELP)]),
    ]


def notes(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """The notes of the page.

    Args:
        groups: What ``contest.hold`` gave of each group.
    """
    (measured,) = (group["measured"] for group in groups)
    told = [
        f"`{FIRST_STEP}`: `bertmod run {RECIPE}` on the built-in sample, until it logs a step; "
        "with nothing kept, it generates the sample and tokenises it."
    ]
    for name in (NOTHING_KEPT, FIRST_STEP):
        if {name, TORCH} <= measured.keys():
            clock, processor = (
                median(run[key] for run in measured[name])
                - median(run[key] for run in measured[TORCH])
                for key in ("seconds", "processor_seconds")
            )
            told.append(
                f"{name[0].upper()}{name[1:]}, beyond the import of torch: {clock:.2f} s, of "
                f"which the processor works {processor:.2f} s; target: at most "
                f"{FIRST_STEP_SECONDS:g} s."
            )
    return told
