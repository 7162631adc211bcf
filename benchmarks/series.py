"""Runs of several tools on the same rows, made one after another and kept as they end."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.contenders import Outcome
from benchmarks.machine import machine, versions
from benchmarks.results import Results, Run
from benchmarks.rows import Rows

BUSY = "Other work ran on the machine at the same time: the seconds mean nothing."


class Contest(Protocol):
    """What is compared."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the results has to know."""

    def read(self) -> Rows:
        """The rows; they are also written for the peers."""

    def subject(self, rows: Rows) -> dict[str, Any]:
        """What results of one file have in common."""

    def train(self, tool: str, rows: Rows, *, seed: int) -> Outcome:
        """One run of one tool."""

    def score(self, rows: Rows, predictions: Any) -> Mapping[str, float]:
        """The scores of answers to the dev split, in [0, 1], by the name that tables show."""

    def page(self, results: Results) -> str:
        """The results as a Markdown page."""


def make_runs(
    contest: Contest,
    output: Path,
    *,
    seeds: tuple[int, ...],
    tools: tuple[str, ...],
    busy: bool = False,
    say: Callable[[str], None] = print,
) -> Results:
    """Make the runs that the output file lacks.

    Args:
        contest: What is compared.
        output: JSON file, written after each run, a Markdown page beside it.
        seeds: Seeds; all tools make one before the next begins.
        tools: Names of tools, in the order of their runs.
        busy: Whether to say that the timings mean nothing.
        say: Takes a line for each run.

    Raises:
        RunFailed: If a run fails; those before it are kept.
        OtherResults: If the file holds results of something else.
        BertmodError: If the data or the checkpoint cannot be used.
    """
    rows = contest.read()
    facts = {**surroundings(), "notes": [*contest.notes, *([BUSY] if busy else [])]}
    results = Results.open(output, subject=contest.subject(rows), facts=facts)
    for seed in seeds:
        for tool in tools:
            if results.has(tool, seed):
                continue
            outcome = contest.train(tool, rows, seed=seed)
            run = finished(tool, seed, contest.score(rows, outcome.predictions), outcome)
            results = results.with_run(run)
            results.save(output, contest.page(results))
            scores = ", ".join(f"{name} {score:.4f}" for name, score in run.scores.items())
            say(f"{tool}, seed {seed}: {scores} ({run.seconds:.0f} s)")
    return results


def surroundings() -> dict[str, Any]:
    """The machine, versions and the command that was typed."""
    return {
        "machine": machine(),
        "versions": {"bertmod": versions()},
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def finished(tool: str, seed: int, scores: Mapping[str, float], outcome: Outcome) -> Run:
    """A run with its scores."""
    details = {"load_average": os.getloadavg()[0], **outcome.details}
    precision, steps, seconds = outcome.precision, outcome.steps, outcome.seconds
    return Run(tool, seed, dict(scores), precision, steps, seconds, details)


def surroundings_lines(results: Results) -> list[str]:
    """Lines of a page on the rows, the hyper-parameters, the machine and bertmod."""
    subject, facts = results.subject, results.facts
    return [
        f"- rows: {listed(subject['rows'])}",
        f"- features of bertmod: {listed(subject['features'])}",
        f"- hyper-parameters: {listed(subject['settings'])}",
        f"- machine: {listed(facts['machine'])}",
        f"- bertmod: {listed(facts['versions']['bertmod'])}",
    ]


def peer_lines(name: str, runs: Sequence[Run]) -> list[str]:
    """Lines of a page on a peer, by its last run; none if there is no run."""
    if not runs:
        return []
    details = runs[-1].details
    lines = [
        f"- {name}: {listed(details['versions'])}",
        f"- features of {name}: {listed(details['features'])}",
    ]
    if "rows_with_other_tokens" in details:
        others = details["rows_with_other_tokens"]
        lines.append(f"- rows that {name} splits into other tokens: {others}")
    return lines


def listed(values: dict[str, Any]) -> str:
    """Names and values in a line; without those that are None."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
