"""What a schedule promises."""

from __future__ import annotations

import math
from typing import Any

from bertmod.testing.subject import Subject, require

TOTALS = (1, 2, 3, 10, 1000)
LARGEST = 10.0
"""A multiplier beyond it would be a learning rate in disguise."""


def build(subject: Subject) -> Any:
    """The schedule."""
    return subject.spec.build(subject.config)


def multipliers(subject: Subject) -> None:
    """The multiplier of every step, the first and the one past the last included, is a finite
    number from 0 to 10, also for a run of one step.
    """
    schedule = build(subject)
    for total in TOTALS:
        for step in _steps(total):
            value = schedule(step, total)
            told = f"step {step} of {total} has multiplier {value!r}"
            require(isinstance(value, int | float), f"{told}, not a plain number")
            require(math.isfinite(value) and 0 <= value <= LARGEST, told)


def function_of_step(subject: Subject) -> None:
    """The multiplier follows from step and total alone, in whatever order steps are asked for."""
    schedule, other = build(subject), build(subject)
    every = [(step, total) for total in TOTALS for step in _steps(total)]
    first = [schedule(*each) for each in every]
    again = [schedule(*each) for each in reversed(every)][::-1]
    for each, one, two in zip(every, first, again, strict=True):
        same = one == two == other(*each)
        require(same, f"step {each[0]} of {each[1]} has another multiplier when asked again")


def trains(subject: Subject) -> None:
    """Some step of every run of ten steps or more has a multiplier above 0."""
    schedule = build(subject)
    for total in (10, 1000):
        moves = any(schedule(step, total) > 0 for step in range(total))
        require(moves, f"every step of a run of {total} has multiplier 0")


CHECKS = (multipliers, function_of_step, trains)


def _steps(total: int) -> list[int]:
    """Steps to ask for; ``first_step: 1`` in a recipe asks for the total itself."""
    return sorted({0, 1, total // 3, total // 2, total - 1, total} & set(range(total + 1)))
