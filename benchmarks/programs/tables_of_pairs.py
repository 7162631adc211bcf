"""Tables of pairs of texts, as the programs that predict read them, and their answers.

Nothing is imported that an environment may lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BATCH_SIZE = 32


def read_table(path: Path) -> list[tuple[str, str]]:
    """The rows of a table of two columns, separated by a tab, below its header."""
    lines = path.read_text(encoding="utf-8").split("\n")[1:-1]
    return [(first, second) for first, second in (line.split("\t") for line in lines)]


def write_answers(path: Path, answers: Sequence[str]) -> None:
    """A line for each row: its number from 0, and the answer."""
    lines = [f"{number}\t{answer}\n" for number, answer in enumerate(answers)]
    path.write_text("index\tprediction\n" + "".join(lines), encoding="utf-8")


def sorted_batches(lengths: Sequence[int]) -> list[list[int]]:
    """The numbers of all rows in batches, the longest rows first."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    return [order[first : first + BATCH_SIZE] for first in range(0, len(order), BATCH_SIZE)]
