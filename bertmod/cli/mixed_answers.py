"""Rows of a table, each answered by several tasks of a trained run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.cli.trained_options import progress
from bertmod.errors import DataError
from bertmod.wording import counted, listed

if TYPE_CHECKING:
    from bertmod.contracts.task import Example, Prediction, Task
    from bertmod.inference.trained import TrainedRun

Row = Mapping[str, Any]
Examples = Callable[["Task", Sequence[Row]], "list[Example]"]
"""Makes a task's examples of rows."""

INDEX = "index"


def answer_with_several(
    trained: TrainedRun,
    asked: Sequence[str],
    rows: Sequence[Row],
    *,
    examples: Examples,
    source: Path,
    output: Path | None,
) -> None:
    """Write every task's answer to every row, as ``several_answers`` finds them.

    Args:
        trained: The run.
        asked: Ids of tasks, or ``all``.
        rows: The rows.
        examples: Makes a task's examples of rows.
        source: Where the rows come from, for messages.
        output: ``.jsonl`` or ``.tsv``; None: standard output, as ``.tsv``.

    Raises:
        DataError: If a row cannot be used, no task can answer, or the file cannot be written.
    """
    from bertmod.data.tables import answer_lines, write_answers

    if INDEX in trained.tasks and (INDEX in asked or "all" in asked):
        raise DataError(
            f'the task "{INDEX}" is called as the column of the rows\' numbers is: answer it by '
            f"itself, with --task {INDEX}"
        )
    answers = several_answers(
        trained,
        asked,
        rows,
        examples=examples,
        nobody=f"{source}: no task can answer its rows",
        advice=f"columns there: {listed(rows[0])}; --columns says which are texts",
    )
    ids = [str(row.get(INDEX, row.get("id", number))) for number, row in enumerate(rows)]
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in answer_lines(ids, answers))
        return
    write_answers(output, ids, answers)
    made_of = f"answers of {counted(len(answers), 'task')} to {counted(len(rows), 'row')}"
    print(f"{output}: {made_of}: {listed(answers)}", file=sys.stderr)


def several_answers(
    trained: TrainedRun,
    asked: Sequence[str],
    rows: Sequence[Row],
    *,
    examples: Examples,
    nobody: str,
    advice: str,
) -> dict[str, Sequence[Prediction]]:
    """Every task's answer to every row, by task in the run's order.

    With ``all`` among the tasks asked for, those that cannot make anything of the rows are passed
    over with a line that says why; a task that is named must answer.

    Args:
        trained: The run.
        asked: Ids of tasks, or ``all``.
        rows: The rows.
        examples: Makes a task's examples of rows.
        nobody: What to say if no task can answer.
        advice: What to do then.

    Raises:
        DataError: If a row cannot be used, or no task can answer.
    """
    from bertmod.inference.states import choose_tasks

    chosen = choose_tasks(trained.tasks, asked)
    found: dict[str, Sequence[Prediction]] = {}
    passed: dict[str, str] = {}
    for group in trained.together(chosen):
        able = {}
        for task in group:
            made = _examples(trained, task, rows, examples, named=task in asked)
            if isinstance(made, str):
                passed[task] = made
            else:
                able[task] = made
        if able:
            with progress(len(rows) * len(able), listed(able)) as advance:
                found |= trained.predict_all(able, advance=advance)
    if not found:
        reasons = "\n".join(f"  {task}: {reason}" for task, reason in passed.items())
        raise DataError(f"{nobody}\n{reasons}\n  {advice}")
    for task, reason in passed.items():
        print(f"{task}: passed over, {reason}", file=sys.stderr)
    return {task: found[task] for task in chosen if task in found}


def _examples(
    trained: TrainedRun, task: str, rows: Sequence[Row], examples: Examples, *, named: bool
) -> list[Example] | str:
    """A task's examples, or why the first row already tells that it has none."""
    bound = trained.task(task).task
    if not named:
        try:
            examples(bound, rows[:1])
        except DataError as error:
            cause = error.__cause__ if isinstance(error.__cause__, DataError) else error
            return str(cause).splitlines()[0].removeprefix(f'task "{task}": ')
    return examples(bound, rows)
