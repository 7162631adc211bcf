"""Scores of runs: kept as JSON after each one, shown as a Markdown table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any


class OtherResults(Exception):
    """A file holds results of another comparison."""


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        tool: Who trained, with which precision.
        seed: Its seed.
        scores: On the dev split, in [0, 1], by the name that tables show; the first one decides.
        precision: Arithmetic of the forward.
        steps: Optimizer steps.
        seconds: Whole process.
        details: What else the tool said.
    """

    tool: str
    seed: int
    scores: dict[str, float]
    precision: str
    steps: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """All runs of a comparison so far.

    Attributes:
        subject: What is compared; results of different subjects do not mix.
        facts: Machine, versions, command and notes, for the reader.
        runs: In the order in which they ended.
    """

    subject: dict[str, Any]
    facts: dict[str, Any]
    runs: tuple[Run, ...] = ()

    @classmethod
    def open(cls, path: Path, *, subject: dict[str, Any], facts: dict[str, Any]) -> Results:
        """The results of a file, or none yet; facts are those given.

        Raises:
            OtherResults: If the file holds results of something else.
        """
        subject = json.loads(json.dumps(subject))
        if not path.is_file():
            return cls(subject, facts)
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["subject"] != subject:
            raise OtherResults(f"{path}: results of other settings; name another file or remove it")
        return cls(subject, facts, tuple(Run(**run) for run in stored["runs"]))

    def with_run(self, run: Run) -> Results:
        """These results and one more."""
        return replace(self, runs=(*self.runs, run))

    def has(self, tool: str, seed: int) -> bool:
        """Whether a run was made already."""
        return any((run.tool, run.seed) == (tool, seed) for run in self.runs)

    def of(self, tool: str) -> list[Run]:
        """A tool's runs, by seed."""
        return sorted((run for run in self.runs if run.tool == tool), key=lambda run: run.seed)

    def paired(self, tool: str, other: str) -> tuple[list[Run], list[Run]]:
        """The runs of two tools with seeds that both have, by seed."""
        mine = [run for run in self.of(tool) if self.has(other, run.seed)]
        return mine, [run for run in self.of(other) if self.has(tool, run.seed)]

    def save(self, path: Path, markdown: str) -> None:
        """Write the JSON file, and the Markdown beside it."""
        save_page(path, json.dumps(asdict(self), indent=2) + "\n", markdown)


def save_page(path: Path, text: str, markdown: str) -> None:
    """Write a JSON text, and the Markdown that shows it beside it; neither is ever half there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in ((path, text), (path.with_suffix(".md"), markdown)):
        aside = target.with_name(f".{target.name}")
        aside.write_text(content, encoding="utf-8")
        os.replace(aside, target)


def score_table(
    results: Results, tools: Iterable[str], *, columns: Mapping[str, str] | None = None
) -> list[str]:
    """Lines of a Markdown table: every run, then each tool's mean and standard deviation.

    Args:
        results: The runs.
        tools: Tools, in the order of the rows.
        columns: Title of a further column to the number among a run's details that it shows.
    """
    columns = columns or {}
    names = tuple(dict.fromkeys(name for run in results.runs for name in run.scores))
    titles = ("tool", "precision", "seed", *names, *columns, "steps", "seconds")
    rows: list[tuple[str, ...]] = [titles, ("---", "---", *["---:"] * (len(titles) - 2))]
    summary = []
    for tool in tools:
        runs = results.of(tool)
        rows += [_row(run, tuple(columns.values())) for run in runs]
        if runs:
            summary.append(_mean_row(tool, runs, num_columns=len(columns)))
    return [f"| {' | '.join(row)} |" for row in (*rows, *summary)]


def _row(run: Run, keys: tuple[str, ...]) -> tuple[str, ...]:
    scores = (f"{100 * score:.2f}" for score in run.scores.values())
    more = (f"{run.details[key]:,}" for key in keys)
    end = (str(run.steps), f"{run.seconds:.0f}")
    return (run.tool, run.precision, str(run.seed), *scores, *more, *end)


def _mean_row(tool: str, runs: Sequence[Run], *, num_columns: int) -> tuple[str, ...]:
    scores = (spread([100 * run.scores[name] for run in runs]) for name in runs[0].scores)
    end = ("", f"{fmean(run.seconds for run in runs):.0f}")
    start = (f"**{tool}**", runs[0].precision, f"mean of {len(runs)}")
    return (*start, *scores, *[""] * num_columns, *end)


def gap(ours: Sequence[Run], theirs: Sequence[Run], *, score: str) -> float:
    """Points of a mean score by which some runs are ahead of others."""
    means = [fmean(run.scores[score] for run in runs) for runs in (ours, theirs)]
    return 100 * (means[0] - means[1])


def spread(values: Sequence[float]) -> str:
    """Mean and, of two values or more, the sample's standard deviation."""
    mean = f"{fmean(values):.2f}"
    return f"**{mean}** ± {stdev(values):.2f}" if len(values) > 1 else f"**{mean}**"
