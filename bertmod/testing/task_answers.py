"""What a task makes of answers that are right, and of labels and data that change.

A head that is known here says exactly what the check wants it to say: no chance is involved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, permutations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertmod.contracts.head import TaskInfo
from bertmod.contracts.task import Example
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import outputs_by_example
from bertmod.errors import DataError
from bertmod.library import installed
from bertmod.testing.subject import Subject, require
from bertmod.testing.tasks import build, copied, features_of, metrics, ready, some

CLASSES, VALUES = "bertmod/classification", "bertmod/regression"
TARGET = "labels"
"""The target that both heads read."""

FEW_CLASSES = 4
"""Up to so many classes, every way of confusing them is tried."""

ROWS = 16
"""Examples of a split whose answers are changed to see whether they are written."""

MOST_EXAMPLES = 100_000
NEARLY = 1e-6
"""By how much rounding may move a score."""


class _Known(NamedTuple):
    """Examples whose features all have a target, and those targets."""

    examples: list[Example]
    table: FeatureTable
    targets: np.ndarray


def right_answers(subject: Subject) -> None:
    """Where the head is sure of the target, predict gives that label back, and score is the best
    there is: no confusion of the answers scores better, and some score worse, in every metric.
    """
    task, info = ready(subject)
    for split, declared in subject.spec.metrics(subject.config).items():
        known = _known(subject, task, split, info)
        if known is None or len(np.unique(known.targets)) < 2:
            continue
        right = _predicted(task, known, known.targets, info)
        _require_labels(split, known, right, info)
        best = task.score(split, known.examples, right)
        others = [
            task.score(split, known.examples, _predicted(task, known, answers, info))
            for answers in _confused(known.targets, len(info.labels or ()))
        ]
        for name in declared:
            _require_best(f'{name} of split "{split}"', name, best, others)


def labels_stay_hidden(subject: Subject) -> None:
    """The rows of a scored split do not depend on its labels: they are the same without them, or
    with those of other examples.
    """
    task, info = ready(subject)
    for split in subject.spec.metrics(subject.config):
        known = _known(subject, task, split, info)
        key = None if known is None else _label_key(known, info)
        if known is None or key is None:
            continue
        whole = _rows(known.table)
        bare = [{k: v for k, v in each.items() if k != key} for each in known.examples]
        others = sorted({each[key] for each in known.examples})
        after = dict(zip(others, [*others[1:], others[0]], strict=True))
        moved = [{**each, key: after[each[key]]} for each in known.examples]
        for what, changed in (("without", bare), ("with another", moved)):
            try:
                table = features_of(task, changed, info)
            except Exception:  # examples of this task cannot be without it
                continue
            same = _rows(table) == whole
            require(same, f'split "{split}": {what} "{key}" an example has other rows')


def fingerprint_follows_data(subject: Subject) -> None:
    """When the training data changes, so does the fingerprint of TaskInfo."""
    ready(subject)
    with tempfile.TemporaryDirectory() as name:
        folder = copied(subject, Path(name))
        for split, role in build(subject).splits.items():
            files = build(subject).files(folder, split) if role == "train" else ()
            for path in files[-1:]:
                _require_followed(subject, folder, split, path)


def writes_each_answer(subject: Subject) -> None:
    """What write makes has the answer to each example: another answer makes another file."""
    task, info = ready(subject)
    for split, role in task.splits.items():
        if role == "train":
            continue
        examples = list(task.read(split))
        predictions = _varied(subject, task, examples, info)
        if predictions is None:
            continue
        before = _written(task, split, examples, predictions)
        for place in sorted({*np.linspace(0, len(examples) - 1, ROWS).round().astype(int)}):
            changes = any(
                _written(task, split, examples, other) != before
                for other in _with_other_answer(predictions, int(place))
            )
            lost = f"the answer to {examples[place]['id']!r} is in none of its files"
            require(changes, f'split "{split}": write leaves rows out: {lost}')


CHECKS = (right_answers, labels_stay_hidden, fingerprint_follows_data, writes_each_answer)


def _head(subject: Subject) -> str:
    """Full name of the head that the task uses."""
    name = subject.spec.head(subject.config)["name"]
    return installed().get("head", name, near="bertmod").full_name


def _known(subject: Subject, task: Any, split: str, info: TaskInfo) -> _Known | None:
    """The examples of a split that have a target; None if the head is of another kind."""
    if _head(subject) not in (CLASSES, VALUES) or (_head(subject) == CLASSES and not info.labels):
        return None
    kept = []
    for example in some(task, split):
        table = features_of(task, [example], info)
        if len(table) and TARGET in table.targets:
            values = np.asarray(table.targets[TARGET].values)
            there = values >= 0 if _head(subject) == CLASSES else np.isfinite(values)
            if there.all():
                kept.append(example)
    if not kept:
        return None
    table = features_of(task, kept, info)
    return _Known(kept, table, np.asarray(table.targets[TARGET].values))


def _decoded(answers: np.ndarray, count: int) -> list[dict[str, np.ndarray]]:
    """What a head gives that is sure of these answers, one per feature."""
    if answers.dtype.kind in "iu":
        return [{"probabilities": row} for row in np.eye(count, dtype=np.float32)[answers]]
    return [{"value": np.asarray(value, np.float32)} for value in answers]


def _predicted(task: Any, known: _Known, answers: np.ndarray, info: TaskInfo) -> list[Any]:
    decoded = _decoded(answers, len(info.labels or ()))
    outputs = outputs_by_example(len(known.examples), known.table, decoded)
    return list(task.predict(known.examples, outputs, info))


def _require_labels(
    split: str, known: _Known, predictions: Sequence[Mapping[str, Any]], info: TaskInfo
) -> None:
    """Predictions that name one of the task's labels name the one that the head was sure of."""
    if known.targets.dtype.kind not in "iu":
        return
    labels = info.labels or ()
    for feature, target in zip(known.table, known.targets.tolist(), strict=True):
        given = predictions[feature.example].get("label")
        told = f'split "{split}": predict says {given!r} where the head is sure of'
        require(given not in labels or given == labels[target], f"{told} {labels[target]!r}")


def _confused(targets: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Wrong answers: classes or values taken for others, then examples for others."""
    if targets.dtype.kind in "iu":
        every = np.arange(count)
        ways = permutations(range(count)) if count <= FEW_CLASSES else ()
        for way in (*ways, every[::-1], np.roll(every, 1)):
            if list(way) != every.tolist():
                yield np.asarray(way)[targets]
    else:
        yield targets.min() + targets.max() - targets
    for seed in range(3):
        yield np.random.default_rng(seed).permutation(targets)


def _require_best(
    told: str, name: str, best: Mapping[str, float], others: Sequence[Mapping[str, float]]
) -> None:
    found = [float(other[name]) for other in others]
    different = any(abs(score - best[name]) > NEARLY for score in found)
    require(different, f"{told} is {best[name]:g} whatever the answers are")
    metric = metrics().get(name)
    if metric is None:
        return
    sign = 1 if metric.greater_is_better else -1
    top = max(found, key=lambda score: sign * score)
    require(
        sign * (top - best[name]) <= NEARLY,
        f"{told} is {best[name]:g} for the answers that the targets say, {top:g} for wrong ones: "
        "targets, predictions and labels do not mean the same",
    )


def _label_key(known: _Known, info: TaskInfo) -> str | None:
    """The key of examples that has the label; None if that cannot be told."""
    if known.targets.dtype.kind in "iu" and len(known.table) == len(known.examples):
        names = [(info.labels or ())[target] for target in known.targets]
        for key in known.examples[0]:
            if key != "id" and [each.get(key) for each in known.examples] == names:
                return key
    labels = [each.get("label") for each in known.examples]
    plain = all(isinstance(each, str) for each in labels) or all(
        isinstance(each, int | float) for each in labels
    )
    return "label" if plain else None


def _rows(table: FeatureTable) -> list[Any]:
    return [
        (each.example, [{k: v.tolist() for k, v in row.items()} for row in each.rows])
        for each in table
    ]


def _require_followed(subject: Subject, folder: Path, split: str, path: Path) -> None:
    """Edits of a training file that give other examples give another fingerprint."""
    content = path.read_bytes()
    before = _state(subject, folder, split)
    for edit in (_line_repeated, _line_dropped):
        path.write_bytes(edit(content))
        try:
            after = _state(subject, folder, split)
        except DataError:
            continue
        finally:
            path.write_bytes(content)
        followed = after[0] == before[0] or after[1] != before[1]
        what = f'split "{split}" has other examples and TaskInfo the same fingerprint'
        require(followed, f"{what}: a cache of features would not notice")


def _state(subject: Subject, folder: Path, split: str) -> tuple[list[Example], str]:
    task = build(subject)
    info = task.setup(folder)
    return [dict(each) for each in islice(iter(task.read(split)), MOST_EXAMPLES)], info.fingerprint


def _line_repeated(content: bytes) -> bytes:
    lines = content.splitlines() or [b""]
    return b"\n".join([*lines, lines[-1], b""])


def _line_dropped(content: bytes) -> bytes:
    return b"\n".join([*content.splitlines()[:-1], b""])


def _varied(
    subject: Subject, task: Any, examples: Sequence[Example], info: TaskInfo
) -> list[Any] | None:
    """Predictions that are not all the same; None if the head is of a kind not known here."""
    head, count = _head(subject), len(info.labels or ())
    answerable = count > 1 if head == CLASSES else head == VALUES
    if len(examples) < 2 or not answerable:
        return None
    table = features_of(task, examples, info)
    owners = np.array([feature.example for feature in table])
    answers = owners % count if head == CLASSES else (owners % 2).astype(np.float32)
    outputs = outputs_by_example(len(examples), table, _decoded(answers, count))
    return list(task.predict(examples, outputs, info))


def _with_other_answer(predictions: Sequence[Any], place: int) -> Iterator[list[Any]]:
    """The predictions with one answered as its neighbours are."""
    for step in range(1, min(len(predictions), FEW_CLASSES + 1)):
        other = predictions[(place + step) % len(predictions)]
        changed = list(predictions)
        changed[place] = {**other, "id": predictions[place]["id"]}
        yield changed


def _written(
    task: Any, split: str, examples: Sequence[Example], predictions: Sequence[Any]
) -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        paths = task.write(split, examples, predictions, Path(name) / "new")
        return [Path(path).read_bytes() for path in paths]
