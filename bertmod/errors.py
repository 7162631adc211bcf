"""Errors that bertmod raises on purpose, with the exit status each one means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing wrong with what the user wrote.

    Attributes:
        path: Where, as a path inside the recipe (``adapters[0].num_heads``) or a file name.
        what: What is wrong, one sentence without a final full stop.
        more: Further lines: what is accepted, what to do.
        source: Which file or option the value came from; empty means the recipe itself.
    """

    path: str
    what: str
    more: tuple[str, ...] = ()
    source: str = ""

    def under(self, prefix: str) -> Problem:
        """The same problem, seen from one level further up."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return Problem(f"{prefix}{joint}{self.path}", self.what, self.more, self.source)


class BertmodError(Exception):
    """Base of every error that bertmod raises on purpose; printed without a traceback.

    Attributes:
        exit_status: What a command that ends with this error returns: 2 for the user's input,
            1 for a run that failed for a known reason.
    """

    exit_status: ClassVar[int] = 2


class RecipeError(BertmodError):
    """A recipe, or what was set on the command line, cannot be used.

    Args:
        title: The recipe's file name.
        problems: Everything found wrong, in file order.
    """

    def __init__(self, title: str, problems: Sequence[Problem]) -> None:
        self.title = title
        self.problems = tuple(problems)
        super().__init__(render_problems(title, self.problems))


class PluginError(BertmodError):
    """A plugin cannot be loaded, or breaks the contract."""


class CheckpointError(BertmodError):
    """A checkpoint is damaged, of an unknown kind, or does not fit the model."""


class DataError(BertmodError):
    """A data file is missing, malformed, or does not fit the task."""


class RunFolderError(BertmodError):
    """A run folder is in use, already filled, not writable, or not a run folder."""


class TrainingError(BertmodError):
    """A run failed for a reason that is known: the loss is not finite, the disk is full."""

    exit_status: ClassVar[int] = 1


def render_problems(title: str, problems: Sequence[Problem]) -> str:
    """The text of a problem report: a count, then each problem with its indented lines."""
    count = f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
    lines = [f"{title}: {count}"]
    for problem in problems:
        lines.append(f"  {problem.path or '(top level)'}{_source(problem)}")
        lines.extend(f"      {line}" for line in (problem.what, *problem.more))
    return "\n".join(lines)


def _source(problem: Problem) -> str:
    return f" ({problem.source})" if problem.source else ""
