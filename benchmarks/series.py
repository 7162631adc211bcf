"""Runs of several tools on the same rows, made one after another and kept as they end."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sklearn.metrics import accuracy_score, f1_score

from benchmarks.contenders import Outcome
from benchmarks.machine import machine, versions
from benchmarks.results import Results, Run
from benchmarks.rows import Rows, read_rows

BUSY = "Other work ran on the machine at the same time: the seconds mean nothing."


class Contest(Protocol):
    """What is compared."""

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the results has to know."""

    def read(self) -> dict[str, Rows]:
        """The rows; they are also written for the peers."""

    def subject(self, rows: dict[str, Rows]) -> dict[str, Any]:
        """What results of one file have in common."""

    def train(self, tool: str, *, seed: int, num_labels: int) -> Outcome:
        """One run of one tool."""

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
            outcome = contest.train(tool, seed=seed, num_labels=len(set(rows["dev"].labels)))
            run = scored(tool, seed, rows["dev"].labels, outcome)
            results = results.with_run(run)
            results.save(output, contest.page(results))
            say(f"{tool}, seed {seed}: accuracy {run.accuracy:.4f} ({run.seconds:.0f} s)")
    return results


def surroundings() -> dict[str, Any]:
    """The machine, versions and the command that was typed."""
    return {
        "machine": machine(),
        "versions": {"bertmod": versions()},
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def scored(tool: str, seed: int, labels: list[int], outcome: Outcome) -> Run:
    """A run with the scores of its predictions."""
    accuracy = float(accuracy_score(labels, outcome.predictions))
    f1 = float(f1_score(labels, outcome.predictions))
    details = {"load_average": os.getloadavg()[0], **outcome.details}
    precision, steps, seconds = outcome.precision, outcome.steps, outcome.seconds
    return Run(tool, seed, accuracy, f1, precision, steps, seconds, details)


def shared_rows(recipe: dict[str, Any], path: Path) -> dict[str, Rows]:
    """A recipe's training and dev rows; they are also written to a file, for peers.

    Raises:
        BertmodError: If the data or the checkpoint cannot be used.
    """
    rows = read_rows(recipe, ("train", "dev"))
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {split: found.to_json() for split, found in rows.items()}
    path.write_text(json.dumps(values), encoding="utf-8")
    return rows


def surroundings_lines(results: Results) -> list[str]:
    """Lines of a page on the rows, the hyper-parameters, the machine and bertmod."""
    subject, facts = results.subject, results.facts
    rows = ", ".join(f"{count} {split}" for split, count in subject["rows"].items())
    return [
        f"- rows: {rows}",
        f"- hyper-parameters: {listed(subject['settings'])}",
        f"- machine: {listed(facts['machine'])}",
        f"- bertmod: {listed(facts['versions']['bertmod'])}",
    ]


def peer_lines(name: str, runs: Sequence[Run]) -> list[str]:
    """Lines of a page on a peer, by its last run; none if there is no run."""
    if not runs:
        return []
    details = runs[-1].details
    return [
        f"- {name}: {listed(details['versions'])}",
        f"- rows that {name} splits into other tokens: {details['rows_with_other_tokens']}",
    ]


def listed(values: dict[str, Any]) -> str:
    """Names and values in a line; without those that are None."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
