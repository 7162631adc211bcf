"""Answers of several tasks on one encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bertmod.assemble.data import PreparedTask
from bertmod.contracts.task import Example, Prediction
from bertmod.engine.evaluate import EvaluationSettings, decode_mixed, outputs_by_example
from bertmod.model.multitask import MultiTaskModel


def predict_mixed(
    model: MultiTaskModel,
    tasks: Mapping[str, PreparedTask],
    examples: Mapping[str, Sequence[Example]],
    *,
    settings: EvaluationSettings | None = None,
    advance: Callable[[int], object] | None = None,
) -> dict[str, list[Prediction]]:
    """Predictions of several tasks, whose rows share the encoder's batches.

    Args:
        model: The model, with every task attached.
        tasks: Task id to the task; ``LoadedTask.prepared`` is one. More may be there.
        examples: Task id to its examples; ``task.example(fields)`` makes one.
        settings: Batch size, precision and layout; None for the defaults.
        advance: Called with the number of examples answered by each batch.

    Returns:
        Task id to one prediction per example, in order.

    Raises:
        ValueError: If the model, or ``tasks``, has no such task.
    """
    for task in examples:
        model.owner(task)
        if task not in tasks:
            raise ValueError(f'examples of task "{task}", but tasks are {", ".join(tasks)}')
    tables = {task: tasks[task].make_features(rows) for task, rows in examples.items()}
    chosen = settings or EvaluationSettings()
    decoded = decode_mixed(model, tables, settings=chosen, advance=advance)
    found = {}
    for task, rows in examples.items():
        entry = tasks[task]
        outputs = outputs_by_example(len(rows), tables[task], decoded[task])
        found[task] = entry.task.predict(rows, outputs, entry.info)
    return found
