"""What a task makes of answers that are right, and of labels and data that change.

A head that is known here says exactly what the check wants it to say: no chance is involved.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
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
from bertmod.testing.sure_heads import HEADS, Answers, SureHead
from bertmod.testing.tasks import build, copied, features_of, metrics, ready, some

ROWS = 16
"""Examples of a split whose answers are changed to see whether they are written."""

WAYS = 4
"""How many ways of answering are tried."""

MOST_EXAMPLES = 100_000
NEARLY = 1e-6
"""By how much rounding may move a score."""


class _Known(NamedTuple):
    """Examples whose features all say an answer, and those answers."""

    head: SureHead
    examples: list[Example]
    table: FeatureTable
    answers: Answers


def right_answers(subject: Subject) -> None:
    """Where the head is sure of the target, predict gives that label back, and score is the best
    there is: no confusion of the answers scores better, and some score worse, in every metric.
    """
    task, info = ready(subject)
    for split, declared in subject.spec.metrics(subject.config).items():
        known = _known(subject, task, split, info)
        if known is None or len({answer.tobytes() for answer in known.answers}) < 2:
            continue
        right = _predicted(task, known, known.answers, info)
        _require_labels(split, known, right, info)
        best = task.score(split, known.examples, right)
        others = [
            task.score(split, known.examples, _predicted(task, known, answers, info))
            for answers in known.head.confused(list(known.table), known.answers, info)
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
        keys = () if known is None else _label_keys(known, info)
        if known is None or not keys:
            continue
        whole = _rows(known.table)
        bare = [{k: v for k, v in each.items() if k not in keys} for each in known.examples]
        moved = [
            {**each, **{key: other[key] for key in keys}}
            for each, other in zip(known.examples, _with_other_labels(known, keys), strict=True)
        ]
        for what, changed in (("without", bare), ("with another", moved)):
            try:
                table = features_of(task, changed, info)
            except Exception:  # examples of this task cannot be without it
                continue
            same = _rows(table) == whole
            told = '", "'.join(keys)
            require(same, f'split "{split}": {what} "{told}" an example has other rows')


def samples_score_alike(subject: Subject) -> None:
    """A task with a resampler scores any rows of a split as score does, rows that are there twice
    too.
    """
    task, info = ready(subject)
    for split in subject.spec.metrics(subject.config):
        known = _known(subject, task, split, info)
        if known is None or not hasattr(task, "resampler"):
            continue
        examples = known.examples
        predictions = _varied(subject, task, examples, info)[0] or _predicted(
            task, known, known.answers, info
        )
        sample = task.resampler(split, examples, predictions)
        for rows in (np.arange(len(examples)), np.arange(len(examples)) ** 2 % len(examples)):
            drawn = [examples[row] for row in rows], [predictions[row] for row in rows]
            expected, found = task.score(split, *drawn), sample(rows)
            same = expected.keys() == found.keys() and all(
                abs(found[name] - score) <= NEARLY for name, score in expected.items()
            )
            told = f"{dict(found)}, score {dict(expected)} of the same rows"
            require(same, f'split "{split}": the resampler gives {told}')


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
        predictions, *others = _varied(subject, task, examples, info)
        if not others:
            continue
        before = _written(task, split, examples, predictions)
        for place in sorted({*np.linspace(0, len(examples) - 1, ROWS).round().astype(int)}):
            changes = any(
                _written(task, split, examples, _changed(predictions, other, int(place))) != before
                for other in others
            )
            lost = f"the answer to {examples[place]['id']!r} is in none of its files"
            require(changes, f'split "{split}": write leaves rows out: {lost}')


CHECKS = (
    right_answers,
    labels_stay_hidden,
    samples_score_alike,
    fingerprint_follows_data,
    writes_each_answer,
)


def _head(subject: Subject) -> SureHead | None:
    """What is known of the head that the task uses; None if it is of a kind not known here."""
    name = subject.spec.head(subject.config)["name"]
    return HEADS.get(installed().get("head", name, near="bertmod").full_name)


def _known(subject: Subject, task: Any, split: str, info: TaskInfo) -> _Known | None:
    """The examples of a split that have a target; None if the head is of another kind."""
    head = _head(subject)
    if head is None:
        return None
    kept = []
    for example in some(task, split):
        table = features_of(task, [example], info)
        if len(table) and all(head.right(feature) is not None for feature in table):
            kept.append(example)
    if not kept:
        return None
    table = features_of(task, kept, info)
    answers = [answer for each in table if (answer := head.right(each)) is not None]
    return _Known(head, kept, table, answers)


def _predicted(task: Any, known: _Known, answers: Answers, info: TaskInfo) -> list[Any]:
    decoded = [
        known.head.decoded(feature, answer, info)
        for feature, answer in zip(known.table, answers, strict=True)
    ]
    outputs = outputs_by_example(len(known.examples), known.table, decoded)
    return list(task.predict(known.examples, outputs, info))


def _class_names(known: _Known, info: TaskInfo) -> list[str] | None:
    """The label that each feature's answer is the index of; None if answers are no such index."""
    labels = info.labels or ()
    single = all(answer.ndim == 0 and answer.dtype.kind in "iu" for answer in known.answers)
    inside = single and all(answer < len(labels) for answer in known.answers)
    return [labels[int(answer)] for answer in known.answers] if inside else None


def _require_labels(
    split: str, known: _Known, predictions: Sequence[Mapping[str, Any]], info: TaskInfo
) -> None:
    """Predictions that name one of the task's labels name the one that the head was sure of."""
    for feature, label in zip(known.table, _class_names(known, info) or (), strict=False):
        given = predictions[feature.example].get("label")
        told = f'split "{split}": predict says {given!r} where the head is sure of'
        require(given not in (info.labels or ()) or given == label, f"{told} {label!r}")


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


def _label_keys(known: _Known, info: TaskInfo) -> tuple[str, ...]:
    """The keys of examples that have the label; none if that cannot be told."""
    names = _class_names(known, info)
    if names is not None and len(known.table) == len(known.examples):
        for key in known.examples[0]:
            if key != "id" and [each.get(key) for each in known.examples] == names:
                return (key,)
    return tuple(key for key in known.head.labels if all(key in each for each in known.examples))


def _with_other_labels(known: _Known, keys: Sequence[str]) -> Iterator[Example]:
    """For each example another whose labels are not the same; itself if there is none."""
    shown = [[repr(each[key]) for key in keys] for each in known.examples]
    for place, own in enumerate(shown):
        others = (other for other, labels in enumerate(shown) if labels != own)
        yield known.examples[next(others, place)]


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
) -> list[list[Any]]:
    """Predictions that are not all the same, several times, each time others; those of the first
    time are empty if the head is of a kind not known here.
    """
    head = _head(subject)
    if head is None or len(examples) < 2:
        return [[]]
    table = features_of(task, examples, info)

    def predicted(step: int) -> list[Any]:
        decoded = [
            head.decoded(feature, head.varied(feature, feature.example + step, info), info)
            for feature in table
        ]
        return list(task.predict(examples, outputs_by_example(len(examples), table, decoded), info))

    return [predicted(step) for step in range(WAYS)]


def _changed(predictions: Sequence[Any], others: Sequence[Any], place: int) -> list[Any]:
    """The predictions with one answered otherwise."""
    changed = list(predictions)
    changed[place] = others[place]
    return changed


def _written(
    task: Any, split: str, examples: Sequence[Example], predictions: Sequence[Any]
) -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        paths = task.write(split, examples, predictions, Path(name) / "new")
        return [Path(path).read_bytes() for path in paths]
