"""How long commands take from their start: to their end, or to the first training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed.contest import Contender, Group, Ratio, Staff
from benchmarks.speed.targets import FIRST_STEP_SECONDS, HELP

RECIPE = "recipes/pals_anneal.json"
FIRST_STEP = "first step"
"""The line that ``bertmod_starts.py`` knows."""

TORCH, HELP_COMMAND = "python -c 'import torch'", "bertmod --help"

COMMANDS: dict[str, list[str]] = {
    "python -c pass": ["-c", "pass"],
    HELP_COMMAND: ["-m", "bertmod", "--help"],
    "bertmod run --help": ["-m", "bertmod", "run", "--help"],
    f"bertmod check {RECIPE}": ["-m", "bertmod", "check", RECIPE],
    TORCH: ["-c", "import torch"],
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
    told = [f"`{FIRST_STEP}`: `bertmod run {RECIPE}` on the built-in sample, until it logs a step."]
    if {FIRST_STEP, TORCH} <= measured.keys():
        seconds = {
            name: median(run["seconds"] for run in measured[name]) for name in (FIRST_STEP, TORCH)
        }
        beyond = seconds[FIRST_STEP] - seconds[TORCH]
        told.append(
            f"From `bertmod run` to the first step, beyond the import of torch: {beyond:.2f} s; "
            f"target: at most {FIRST_STEP_SECONDS:g} s."
        )
    return told
