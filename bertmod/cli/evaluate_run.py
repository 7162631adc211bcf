"""Scoring the dev splits of a run, with intervals, pictures and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod.errors import DataError
from bertmod.wording import counted, table

if TYPE_CHECKING:
    from bertmod.cli.trained_options import Form
    from bertmod.inference.scored_split import ScoredSplit
    from bertmod.inference.trained import TrainedRun


@dataclass(frozen=True)
class Resampling:
    """How confidence intervals are made.

    Attributes:
        confidence: Share of the resamples inside an interval, in (0, 1).
        num_resamples: How many there are.
        seed: Seed of the draws.
    """

    confidence: float
    num_resamples: int
    seed: int

    def note(self) -> str:
        """What stands under a table with intervals."""
        draws = counted(self.num_resamples, "resample")
        return (
            f"low, high: {100 * self.confidence:g} % of {draws} of the split's rows lie between "
            f"them (percentile bootstrap, seed {self.seed})"
        )


@dataclass(frozen=True)
class _Score:
    """One score of one split; without an interval both ends are None."""

    task: str
    split: str
    metric: str
    score: float
    low: float | None = None
    high: float | None = None

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}/{self.metric}"

    @property
    def value(self) -> float | dict[str, float | None]:
        """What a JSON file says of it."""
        if self.low is None:
            return self.score
        return {"score": self.score, "low": self.low, "high": self.high}


def score_run(
    trained: TrainedRun,
    asked: Sequence[str],
    *,
    data: str | None,
    resampling: Resampling | None,
    plots: Path | None,
    output: Path | None,
    form: Form,
) -> None:
    """Score the dev splits of a run's tasks, print the table and write what was asked for.

    Args:
        trained: The run.
        asked: Ids of tasks, or ``all``; nothing means all.
        data: Data folder in place of the recipe's.
        resampling: How intervals are made; None makes none.
        plots: Folder for pictures of null odds.
        output: File for the scores, or the folder of Google's files.
        form: What is written to ``output``.

    Raises:
        BertmodError: If a state or the data cannot be read, or a file cannot be written.
    """
    from bertmod.assemble.data import named_data_folder
    from bertmod.data.tables import replace_text, write_text
    from bertmod.inference.google_results import RESULT_FILE, result_text
    from bertmod.inference.squad_scores import draw_split
    from bertmod.inference.states import choose_tasks

    folder = None if data is None else named_data_folder(data)
    chosen = choose_tasks(trained.tasks, asked)
    if plots is not None:
        _require_null_odds(trained, chosen, folder)
    scores: list[_Score] = []
    files: dict[Path, str] = {}
    for task in chosen:
        num_splits = len(trained.task(task).splits("dev"))
        if not num_splits and task in asked:
            raise DataError(f"task {task}: it has no dev split to be scored on")
        for split in trained.scored_splits(task, folder, with_loss=form == "google"):
            scores += _scores(task, split, resampling)
            place = Path(task) if num_splits == 1 else Path(task) / split.name
            if form == "google":
                files[place / RESULT_FILE] = result_text(split, trained.step(task))
            if plots is not None:
                draw_split(plots / place, split)
    if not scores:
        raise DataError("nothing to score: no task of the run has dev rows")
    if output is not None and form == "google":
        for path, text in files.items():
            write_text(output / path, text)
    elif output is not None:
        replace_text(
            output, json.dumps({each.name: each.value for each in scores}, indent=2) + "\n"
        )
    _show(scores, resampling)


def _require_null_odds(trained: TrainedRun, tasks: Sequence[str], folder: Path | None) -> None:
    """Refuse to draw where the first answer of every dev split lacks what is drawn."""
    for task in tasks:
        for split in trained.task(task).splits("dev"):
            examples = trained.examples(task, split, folder)
            if len(examples) and "null_odds" in trained.predict(task, [examples[0]])[0]:
                return
    raise DataError(
        "--plots: there is nothing to draw, for no task that would be scored has null odds\n"
        '  it draws SQuAD of version "2.0"'
    )


def _scores(task: str, split: ScoredSplit, resampling: Resampling | None) -> list[_Score]:
    intervals: Mapping[str, tuple[float, float]] = {}
    if resampling is not None:
        intervals = split.intervals(
            confidence=resampling.confidence,
            num_resamples=resampling.num_resamples,
            seed=resampling.seed,
        )
    return [
        _Score(task, split.name, metric, score, *intervals.get(metric, ()))
        for metric, score in split.scores.items()
    ]


def _show(scores: Sequence[_Score], resampling: Resampling | None) -> None:
    titles = ["task", "split", "metric", "score"]
    rows = [[found.task, found.split, found.metric, f"{found.score:.4f}"] for found in scores]
    if resampling is not None:
        titles += ["low", "high"]
        for row, found in zip(rows, scores, strict=True):
            row += [f"{found.low:.4f}", f"{found.high:.4f}"]
    lines = table([titles, *rows], right=range(3, len(titles)))
    print("\n".join([*lines, *([] if resampling is None else [resampling.note()])]))
