"""A comparison as text, Markdown and CSV; every form says how its average was made."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bertmod.inference.comparison import Comparison, Method, Statistic
from bertmod.inference.difference_table import (
    COLUMNS,
    NOTHING,
    csv_cells,
    difference_notes,
    difference_rows,
)
from bertmod.inference.differences import differences
from bertmod.inference.states import Source
from bertmod.wording import counted, listed, table

SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."

STATES: Mapping[Source, str] = {
    "mean": "the best mean over tasks",
    "best": "each task's own best",
    "final": "the last step",
}

PALS_TASKS = {
    "bertmod/cola": "dev/matthews",
    "bertmod/mrpc": "dev/accuracy",
    "bertmod/mnli": "dev_matched/accuracy",
    "bertmod/rte": "dev/accuracy",
    "bertmod/stsb": "dev/pearson",
    "bertmod/sst2": "dev/accuracy",
    "bertmod/qqp": "dev/accuracy",
    "bertmod/qnli": "dev/accuracy",
}
"""The eight tasks of the PALs paper and how its dev average scores them."""


def average_formula(metrics: Mapping[str, str], names: Mapping[str, str]) -> str:
    """What an average over tasks is of, in words.

    Args:
        metrics: Task id to ``split/metric``, every task that is averaged.
        names: Task id to component, ``provider/name``.
    """
    parts = ", ".join(_by_metric({task: m.partition("/")[2] for task, m in metrics.items()}))
    found = {names[task]: metric for task, metric in metrics.items()}
    if found == PALS_TASKS and len(metrics) == len(PALS_TASKS):
        return f"PALs-dev, the plain mean over the PALs paper's eight tasks: {parts}"
    return f"plain mean over {counted(len(metrics), 'task')}: {parts}"


def _by_metric(metrics: Mapping[str, str]) -> Iterator[str]:
    """``cola matthews``, ``accuracy of the others``."""
    (usual, count), *others = Counter(metrics.values()).most_common()
    if not others:
        yield usual
        return
    for task, metric in metrics.items():
        if metric != usual or count == 1:
            yield f"{task} {metric}"
    if count > 1:
        yield f"{usual} of the others"


def render_text(comparison: Comparison, *, sign: str = "±") -> str:
    """The comparison for a terminal: the tables and what there is to know about them.

    Args:
        comparison: The comparison.
        sign: What stands between mean and standard deviation.
    """
    rows = _rows(comparison, sign)
    lines = [*_ruled(table(rows, right=range(1, len(rows[0])))), *notes(comparison, sign=sign)]
    found = differences(comparison)
    tested = difference_rows(found, comparison)
    if tested:
        lines += ["", *_ruled(table(tested, right=range(2, len(tested[0]))))]
    return "\n".join([*lines, *difference_notes(found)])


def render_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown tables with notes under them."""
    found = differences(comparison)
    tested = difference_rows(found, comparison)
    lines = [*_marked(_rows(comparison, "±"), left=1), "", *_points(notes(comparison))]
    if tested:
        lines += ["", *_marked(tested, left=2), ""]
    return "\n".join([*lines, *_points(difference_notes(found))]) + "\n"


def render_csv(comparison: Comparison) -> str:
    """The comparison as CSV: scores as measured, what belongs to them in columns of their own."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns: dict[str, str | None] = {}
    if comparison.averaged:
        formula = average_formula(comparison.metrics, comparison.names)
        columns[f"average ({formula})"] = None
    columns |= {f"{task}/{metric}": task for task, metric in comparison.metrics.items()}
    found = differences(comparison)
    beside = [f"minus {found.base}: {title}" for title in COLUMNS] if found.rows else []
    added = ("", " standard deviation", *(f" {title}" for title in beside))
    titles = [f"{name}{end}" for name in columns for end in added]
    writer.writerow(["method", "parameters", "seeds", "state", "finished", "synthetic", *titles])
    for method in comparison.methods:
        cells: list[str] = []
        for task in columns.values():
            over = comparison.averaged if task is None else (task,)
            cells += _plain(method.average(over))
            cells += csv_cells(found, method.label, task) if beside else ()
        facts = [all(run.finished for run in method.runs), any(r.synthetic for r in method.runs)]
        seeds = " ".join(map(str, method.seeds))
        head = [method.label, f"{method.multiple:.6g}", seeds, comparison.source]
        writer.writerow([*head, *(str(fact).lower() for fact in facts), *cells])
    return stream.getvalue()


FORMS = {".md": render_markdown, ".csv": render_csv}
"""Ending of a file's name to what is written into it."""


def notes(comparison: Comparison, *, sign: str = "±") -> list[str]:
    """What there is to know about the table, one line each."""
    methods = comparison.methods
    found = ["parameters: of encoder and all adapters, as a multiple of the encoder's"]
    found.append(f"scores: {_scales(comparison)}, at {STATES[comparison.source]} of each run")
    if comparison.averaged:
        formula = average_formula(comparison.metrics, comparison.names)
        found.append(f"average: {formula}")
    elif comparison.smaller_is_better:
        tasks = listed(sorted(comparison.smaller_is_better))
        found.append(f"no average: of {tasks} a smaller score is better")
    if any(len(method.runs) > 1 for method in methods):
        found.append(f"{sign}: sample standard deviation over the seeds")
    for method in methods:
        found += _method_notes(method, comparison)
    found += _data_notes(methods)
    return found


def render_seeds(last: Method, best: Method | None, metrics: Mapping[str, str]) -> str:
    """What a series of seeds ends with: every task's mean and standard deviation.

    Args:
        last: The runs at their last step.
        best: The same runs at the best mean over tasks; None if they keep no best states.
        metrics: Task id to ``split/metric``.
    """
    states = {"last": last} if best is None else {"last": last, "best mean": best}
    rows = [["task", "metric", *(title for name in states for title in (name, "st. dev."))]]
    tasks: list[tuple[str, str, Sequence[str]]] = [
        (task, metric, (task,)) for task, metric in metrics.items()
    ]
    if len(tasks) > 1:
        tasks.append((f"plain mean of {len(metrics)}", "", tuple(metrics)))
    for task, metric, over in tasks:
        measured = (_measured(method.average(over)) for method in states.values())
        rows.append([task, metric, *(cell for cells in measured for cell in cells)])
    lines = _ruled(table(rows, right=range(2, len(rows[0]))))
    seeds = ", ".join(map(str, last.seeds))
    lines.append(
        f"mean and sample standard deviation over {counted(len(last.runs), 'seed')}: {seeds}"
    )
    return "\n".join(lines)


def _measured(statistic: Statistic | None) -> tuple[str, str]:
    if statistic is None:
        return NOTHING, NOTHING
    deviation = statistic.deviation
    return f"{statistic.mean:.4f}", NOTHING if deviation is None else f"{deviation:.4f}"


def _rows(comparison: Comparison, sign: str) -> list[list[str]]:
    """Cells of text, headings first."""
    averaged = comparison.averaged
    rows = [["method", "parameters", "seeds", *(["average"] if averaged else [])]]
    rows[0] += comparison.metrics
    for method in comparison.methods:
        cells = [method.label, f"{method.multiple:.3f}", str(len(method.runs))]
        if averaged:
            cells.append(_cell(method.average(averaged), sign))
        for task in comparison.metrics:
            falling = task in comparison.smaller_is_better
            cells.append(_cell(method.score(task), sign, scale=1.0 if falling else 100.0))
        rows.append(cells)
    return rows


def _cell(statistic: Statistic | None, sign: str, *, scale: float = 100.0) -> str:
    if statistic is None:
        return NOTHING
    digits = 1 if scale == 100.0 else 3
    mean = f"{scale * statistic.mean:.{digits}f}"
    if statistic.deviation is None:
        return mean
    return f"{mean} {sign} {scale * statistic.deviation:.{digits}f}"


def _plain(statistic: Statistic | None) -> tuple[str, str]:
    if statistic is None:
        return "", ""
    deviation = statistic.deviation
    return f"{statistic.mean:.6g}", "" if deviation is None else f"{deviation:.6g}"


def _scales(comparison: Comparison) -> str:
    falling = comparison.smaller_is_better
    usual = [f"{t} {m}" for t, m in comparison.metrics.items() if t not in falling]
    others = [f"{t} {m}" for t, m in comparison.metrics.items() if t in falling]
    parts = [f"100 x {', '.join(usual)}"] if usual else []
    return "; ".join([*parts, *([f"as they are {', '.join(others)}"] if others else [])])


def _method_notes(method: Method, comparison: Comparison) -> Iterator[str]:
    lacking = [task for task in comparison.metrics if task not in method.tasks]
    if lacking and comparison.averaged:
        yield f"{method.label}: no average, it lacks {listed(lacking)}"
    for run in method.runs:
        bad = [task for task, score in run.scores.items() if score is None]
        if bad:
            yield f"{method.label}: no finite score of {listed(bad)} in {run.folder}"
        if not run.keeps_best and comparison.source == "mean":
            yield f"{method.label}: {run.folder} keeps no best states; its last step counts"
        if not run.finished:
            yield f"{method.label}: {run.folder} has not come to its end; its state so far counts"


def _data_notes(methods: Sequence[Method]) -> Iterator[str]:
    """Scores on other data are no better or worse; on the sample they mean little."""
    by_tasks: dict[frozenset[str], set[frozenset[str]]] = {}
    for run in (run for method in methods for run in method.runs if run.data):
        by_tasks.setdefault(frozenset(run.names), set()).add(run.data)
    if any(len(found) > 1 for found in by_tasks.values()):
        yield "not all of these runs read the same data files: see data in their lock.json"
    made_up = [m.label for m in methods if any(run.synthetic for run in m.runs)]
    if len(made_up) == len(methods):
        yield SYNTHETIC
    elif made_up:
        yield f"{listed(made_up)}: on the built-in sample. {SYNTHETIC}"


def _ruled(lines: list[str]) -> list[str]:
    """A table with a rule under its headings."""
    return [lines[0], "-" * max(len(line) for line in lines), *lines[1:]]


def _marked(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """A Markdown table whose first columns are set flush left."""
    ruler = [*["---"] * left, *["---:"] * (len(rows[0]) - left)]
    escaped = [[_escaped(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (escaped[0], ruler, *escaped[1:])]


def _points(notes: Sequence[str]) -> list[str]:
    return [f"- {_escaped(note)}" for note in notes]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
