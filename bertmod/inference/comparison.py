"""Runs side by side: seeds of one recipe become a row, tasks become columns."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod.contracts.metric import OWN_LOW
from bertmod.errors import RunFolderError
from bertmod.inference.scores import SEED_FOLDER, RunScores, read_run, run_folders
from bertmod.inference.states import Source
from bertmod.recipe.identity import recipe_text

MACHINE_KEYS = ("device", "parallel", "offload", "activation_checkpointing", "compile", "fast")
"""Settings of ``training`` that say where a run was made and at what cost, not what it does."""


@dataclass(frozen=True)
class Statistic:
    """A score over seeds.

    Attributes:
        mean: Its mean.
        deviation: Its sample standard deviation; None for one seed.
    """

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Method:
    """Runs of one recipe that differ in their seed: a row of the table.

    Attributes:
        label: What the table calls it.
        runs: Its runs, in order of their seeds.
    """

    label: str
    runs: tuple[RunScores, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that are scored, in the recipe's order."""
        return tuple(self.runs[0].scores)

    @property
    def multiple(self) -> float:
        """Parameters of encoder and adapters as a multiple of the encoder's."""
        return self.runs[0].multiple

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its runs."""
        return tuple(run.seed for run in self.runs)

    def score(self, task: str) -> Statistic | None:
        """A task over the seeds; None if it has no such task, or a run has no finite score."""
        return _statistic([run.scores.get(task) for run in self.runs])

    def average(self, tasks: Collection[str]) -> Statistic | None:
        """The mean over tasks, over the seeds; None if a score is missing."""
        return _statistic([_mean([run.scores.get(task) for task in tasks]) for run in self.runs])


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        methods: The rows.
        metrics: Id of each task that any of them has to its ``split/metric``: the columns.
        names: The same tasks to their component, ``provider/name``.
        source: Which state of each run the scores are of.
        smaller_is_better: Tasks whose metric falls as a model gets better.
    """

    methods: tuple[Method, ...]
    metrics: Mapping[str, str]
    names: Mapping[str, str]
    source: Source
    smaller_is_better: frozenset[str] = frozenset()

    @property
    def averaged(self) -> tuple[str, ...]:
        """The tasks that the average is over; none if there is nothing to average."""
        if len(self.metrics) < 2 or self.smaller_is_better:
            return ()
        return tuple(self.metrics)


def compare(
    paths: Sequence[Path], source: Source = "mean", *, falling: Collection[str] = ()
) -> Comparison:
    """Read runs and set them side by side.

    Args:
        paths: Run folders, and folders of the runs of several seeds, at least one.
        source: Which state of each run: ``mean``, ``best`` or ``final``.
        falling: Names of metrics that fall as a model gets better.

    Raises:
        RunFolderError: If a folder is not a run's, is named twice, has no such state yet, or two
            runs score a task of one id differently.
        CheckpointError: If a file is damaged.
    """
    folders = [folder for path in paths for folder in run_folders(path)]
    _refuse_twice(folders)
    runs = [read_run(folder, source) for folder in folders]
    metrics, names = _columns(runs)
    metric_of = {task: metric.partition("/")[2] for task, metric in metrics.items()}
    smaller = {
        task for task, name in metric_of.items() if name in falling or name.endswith(OWN_LOW)
    }
    return Comparison(_methods(runs), metrics, names, source, frozenset(smaller))


def _refuse_twice(folders: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for folder in folders:
        real = folder.resolve()
        if real in seen:
            raise RunFolderError(
                f"{folder}: named twice; a folder of seeds names the runs in it, too"
            )
        seen[real] = folder


def _columns(runs: Sequence[RunScores]) -> tuple[dict[str, str], dict[str, str]]:
    """Metric and component of every task; runs must agree on them."""
    first: dict[str, RunScores] = {}
    for run in runs:
        for task in run.scores:
            one = first.setdefault(task, run)
            for what, mine, others in (
                ("a", run.names[task], one.names[task]),
                ("scored by", run.metrics[task], one.metrics[task]),
            ):
                if mine != others:
                    raise RunFolderError(
                        f"task {task} is {what} {others} in {one.folder}, {what} {mine} in "
                        f"{run.folder}\n  one column cannot hold both: compare these runs apart"
                    )
    metrics = {task: run.metrics[task] for task, run in first.items()}
    return metrics, {task: run.names[task] for task, run in first.items()}


def _methods(runs: Sequence[RunScores]) -> tuple[Method, ...]:
    """Rows in the order of the runs; a seed that a row has already begins another one."""
    rows: dict[tuple[str, int], list[RunScores]] = {}
    for run in runs:
        key, again = _method_key(run.recipe), 0
        while any(other.seed == run.seed for other in rows.get((key, again), ())):
            again += 1
        rows.setdefault((key, again), []).append(run)
    labels = _labels(list(rows.values()))
    return tuple(
        Method(label, tuple(sorted(members, key=lambda run: run.seed)))
        for label, members in zip(labels, rows.values(), strict=True)
    )


def _method_key(recipe: Mapping[str, Any]) -> str:
    """What is equal in runs that differ in seed or machine alone."""
    values = copy.deepcopy(dict(recipe))
    del values["seed"]
    for key in MACHINE_KEYS:
        values["training"].pop(key, None)
    return recipe_text(values)


def _labels(rows: Sequence[Sequence[RunScores]]) -> list[str]:
    """Short names of rows, different ones: names of folders, with as many parents as it takes."""
    homes = [_home([run.folder for run in row]) for row in rows]
    deepest = max(len(home) for home in homes)
    for depth in range(1, deepest + 1):
        labels = ["/".join(home[-depth:]) for home in homes]
        if len(set(labels)) == len(labels):
            return labels
    return [str(row[0].folder) for row in rows]


def _home(folders: Sequence[Path]) -> tuple[str, ...]:
    """Parts of the path that a row is called by: its seeds' folder, or what its runs share."""
    absolute = [folder.resolve() for folder in folders]
    first = absolute[0]
    if first.name.startswith(SEED_FOLDER):
        return first.parent.parts
    shared = first.name
    while not all(folder.name.startswith(shared) for folder in absolute):
        shared = shared[:-1].rstrip("-_. ")
    return (*first.parent.parts, shared or first.name)


def _statistic(values: Sequence[float | None]) -> Statistic | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return Statistic(statistics.fmean(known), deviation)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None
