"""What a task promises: examples, features, predictions, scores and files."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.contracts.head import TaskInfo
from bertmod.contracts.task import Example, TaskContext
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import outputs_by_example
from bertmod.errors import DataError
from bertmod.library import installed
from bertmod.recipe.foundation import cached_sample
from bertmod.testing.answers import decoded_at_random
from bertmod.testing.subject import Subject, located, require
from bertmod.testing.target_kinds import require_kinds
from bertmod.wording import listed, shown

ROLES = ("train", "dev", "test")
MAX_LENGTH = 32
SOME = 40
"""Examples of a split that features are made of."""


def build(subject: Subject, *, max_length: int = MAX_LENGTH, strict: bool = False) -> Any:
    """The task, not yet bound to data; with longer rows if its own are at least so long."""
    max_length = max(max_length, subject.spec.min_length(subject.config))
    context = TaskContext(subject.spec.name, tokenizer(), max_length, metrics(), strict)
    return subject.spec.build(subject.config, context)


@cache
def tokenizer() -> Any:
    """The tokenizer of the built-in sample."""
    spec: Any = installed().get("tokenizer", "bertmod/wordpiece").spec
    return spec.build(spec.config(vocab=str(cached_sample() / "vocab.txt")))


@cache
def metrics() -> Mapping[str, Any]:
    """Every installed metric whose options all have defaults."""
    specs: list[Any] = [entry.spec for entry in installed().entries("metric")]
    return {
        spec.name: spec.build(spec.config())
        for spec in specs
        if not any(field.is_required() for field in spec.config.model_fields.values())
    }


def data_of(subject: Subject) -> Path:
    """The task's data folder: the author's, else the built-in sample."""
    source = subject.material.data
    return cached_sample() if source is None else located(source)


def ready(subject: Subject, **about: Any) -> tuple[Any, TaskInfo]:
    """The task bound to its data, and what it fixed."""
    task = build(subject, **about)
    try:
        return task, task.setup(data_of(subject))
    except DataError as error:
        hint = "" if subject.material.data else "\n  name a folder that has its files: data=..."
        raise AssertionError(f"setup finds no data: {error}{hint}") from error


def some(task: Any, split: str) -> Sequence[Example]:
    """The first examples of a split."""
    return list(islice(iter(task.read(split)), SOME))


def features_of(task: Any, examples: Sequence[Example], info: TaskInfo) -> FeatureTable:
    """Features of examples as the engine keeps them, drawn from fixed seeds."""
    draws = [] if task.cacheable else [np.random.default_rng(i) for i in range(len(examples))]
    made = task.features(examples, info, draws)
    return made if isinstance(made, FeatureTable) else FeatureTable.from_features(made)


def copied(subject: Subject, folder: Path) -> Path:
    """A copy of the files that the task reads, and of nothing else in its data folder."""
    task, data = build(subject), data_of(subject)
    for split in task.splits:
        for path in task.files(data, split):
            target = folder / path.relative_to(data)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return folder


def splits_and_metrics(subject: Subject) -> None:
    """The task has the splits that its spec declares, each train, dev or test; the spec names
    metrics of splits that exist, and the main one of every dev split.
    """
    spec, config = subject.spec, subject.config
    declared = dict(spec.splits(config))
    require(declared, "its spec declares no split")
    odd = [f"{name}: {role}" for name, role in declared.items() if role not in ROLES]
    require(not odd, f"a split is for train, dev or test, not {listed(odd)}")
    own = dict(build(subject).splits)
    require(own == declared, f"task.splits is {own}, its spec declares {declared}")
    scored = spec.metrics(config)
    lost = [split for split in scored if split not in declared]
    require(not lost, f"its spec names metrics of {listed(lost)}, which is no split")
    bare = [name for name, role in declared.items() if role == "dev" and not scored.get(name)]
    require(not bare, f"its spec names no metric of the dev split {listed(bare)}")


def setup_fixes_labels(subject: Subject) -> None:
    """setup fixes label names or a value range, the same for the same data, with as many labels
    as its spec says and a fingerprint.
    """
    _, info = ready(subject)
    _, again = ready(subject)
    require(info == again, "setup gives another TaskInfo for the same data")
    require(info.fingerprint, "TaskInfo has no fingerprint")
    told = subject.spec.num_labels(subject.config)
    if info.labels is not None:
        labels = list(info.labels)
        require(len(set(labels)) == len(labels), f"a label name stands twice in {labels}")
        right = told in (None, len(labels))
        require(right, f"its spec says {told} labels, setup found {len(labels)}")
    if info.value_range is not None:
        low, high = info.value_range
        require(low < high, f"value_range {info.value_range} is not ascending")


def missing_data(subject: Subject) -> None:
    """Without its files, setup or read raises DataError that names what is missing."""
    for split in build(subject).splits:
        task = build(subject)
        with tempfile.TemporaryDirectory() as empty:
            files = task.files(Path(empty), split)
            try:
                task.setup(Path(empty))
                list(task.read(split))
            except DataError as error:
                require(str(error).strip(), "its DataError has no text")
                continue
        what = f'split "{split}" is read from an empty folder, although it has files'
        require(not files, what)


def reads_examples(subject: Subject) -> None:
    """read gives the same examples every time: JSON values with an id of their own, from files
    that files names and that exist.
    """
    task, _ = ready(subject)
    for split in task.splits:
        lost = [path for path in task.files(data_of(subject), split) if not path.exists()]
        require(not lost, f'split "{split}": files names {listed(map(str, lost))}')
        examples, again = some(task, split), some(task, split)
        require(examples, f'split "{split}" has no example')
        require(examples == again, f'split "{split}" is not the same when read again')
        for example in examples:
            require("id" in example, f'split "{split}": an example without id: {shown(example)}')
            _require_json(example, "an example")
        ids = [str(example["id"]) for example in examples]
        require(len(set(ids)) == len(ids), f'split "{split}": an id stands twice')


def makes_features(subject: Subject) -> None:
    """features gives rows of vocabulary ids no longer than max_length, of no more token types than
    the spec says, with the example they belong to and, where examples have labels, the targets
    that the spec declares; those of a dev split may be left out.
    """
    shortest = subject.spec.min_length(subject.config)
    for max_length in {max(MAX_LENGTH, shortest), max(8, shortest)}:
        task, info = ready(subject, max_length=max_length)
        declared = subject.spec.targets(subject.config)
        for split, role in task.splits.items():
            examples = some(task, split)
            table = features_of(task, examples, info)
            told = f'split "{split}" with max_length {max_length}'
            inside = ((table.example >= 0) & (table.example < len(examples))).all()
            require(inside, f"{told}: a feature belongs to no example of the batch")
            longest = int(table.row_lengths.max(initial=0))
            require(longest <= max_length, f"{told}: a row has {longest} tokens")
            ids = table.tokens["input_ids"]
            known = len(ids) == 0 or 0 <= ids.min() <= ids.max() < tokenizer().vocab_size
            require(known, f"{told}: input_ids has an id outside the vocabulary")
            if subject.spec.num_types is not None:
                types = 1 + int(np.max(table.tokens.get("token_type_ids", 0), initial=0))
                stated = subject.spec.num_types(subject.config)
                require(types <= stated, f"{told}: {types} token types, its spec says {stated}")
            given = {*table.targets, *table.positions}
            if role == "train" or (role == "dev" and given):
                require(
                    given == set(declared),
                    f"{told}: targets {listed(sorted(given))}, its spec declares "
                    f"{listed(sorted(declared))}",
                )
                require_kinds(table, declared, info, told)


def features_repeat(subject: Subject) -> None:
    """The same examples and draws give the same features; a part of a batch gives that part."""
    task, info = ready(subject)
    split = next(iter(task.splits))
    examples = some(task, split)
    whole = _comparable(features_of(task, examples, info))
    again = _comparable(features_of(task, examples, info))
    require(whole == again, "the same examples give other features the second time")
    if task.cacheable:
        half = len(examples) // 2
        parts = [*_comparable(features_of(task, examples[:half], info))]
        rest = features_of(task, examples[half:], info)
        parts += [(index + half, *content) for index, *content in _comparable(rest)]
        require(parts == whole, "features depend on how examples are put into batches")


def answers_every_example(subject: Subject) -> None:
    """predict gives one prediction per example, in order, JSON values with the example's id."""
    task, info = ready(subject)
    for split in task.splits:
        examples = some(task, split)
        predictions = _predicted(subject, task, examples, info)
        count = f"{len(predictions)} predictions for {len(examples)} examples"
        require(len(predictions) == len(examples), f'split "{split}": {count}')
        for example, prediction in zip(examples, predictions, strict=True):
            _require_json(prediction, "a prediction")
            same = prediction.get("id") == example["id"]
            require(same, f"the prediction for {example['id']!r} has id {prediction.get('id')!r}")
    require(not task.predict([], [], info), "no examples give a prediction")


def scores_what_it_declares(subject: Subject) -> None:
    """score gives every metric that the spec declares for a split, finite; baseline gives the
    same metrics; calibrate changes neither labels nor value range.
    """
    task, info = ready(subject)
    for split, declared in subject.spec.metrics(subject.config).items():
        examples = some(task, split)
        outputs = _outputs(subject, task, examples, info)
        tuned = task.calibrate(examples, outputs, info)
        same = (tuned.labels, tuned.value_range) == (info.labels, info.value_range)
        require(same, "calibrate changes the labels or the value range")
        scores = task.score(split, examples, task.predict(examples, outputs, tuned))
        for what, given in (("score", scores), ("baseline", task.baseline(examples))):
            lost = [name for name in declared if name not in given]
            require(not lost, f'{what} of split "{split}" lacks {listed(lost)}')
            odd = [name for name in declared if not np.isfinite(given[name])]
            require(not odd, f'{what} of split "{split}" is not finite: {listed(odd)}')


def writes_every_row(subject: Subject) -> None:
    """write makes files inside the folder and returns them; together they have at least a line
    for every example of the split.
    """
    task, info = ready(subject)
    for split, role in task.splits.items():
        if role == "train":
            continue
        examples = list(task.read(split))
        predictions = _predicted(subject, task, examples, info)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "new"
            written = task.write(split, examples, predictions, folder)
            require(written, f'split "{split}": write returns no file')
            for path in written:
                inside = Path(path).is_file() and Path(path).is_relative_to(folder)
                require(inside, f"{path} is not a file inside the folder that write was given")
            lines = sum(len(Path(path).read_bytes().splitlines()) for path in written)
        told = f"{lines} lines for {len(examples)} examples"
        require(lines >= len(examples), f'split "{split}": write leaves rows out: {told}')


def damaged_data(subject: Subject) -> None:
    """Whatever is in its files, reading raises nothing but DataError; what it still reads can be
    made into features.
    """
    for damage in (_emptied, _cut, _binary):
        with tempfile.TemporaryDirectory() as name:
            folder = copied(subject, Path(name))
            for split in build(subject).splits:
                for strict in (False, True):
                    _read_damaged(subject, folder, split, damage, strict=strict)


def example_from_fields(subject: Subject) -> None:
    """example refuses fields that have no text with DataError that names those accepted; an
    example that it makes gives features without targets.
    """
    task, info = ready(subject)
    try:
        made = task.example({})
    except DataError as error:
        require(str(error).strip(), "its DataError has no text")
    else:
        require(made, "example({}) gives an empty example instead of DataError")
    try:
        made = task.example({"text": "One text.", "text_pair": "Another."})
    except DataError:
        return
    table = features_of(task, [made], info)
    require(not table.targets, "an example without label gets targets")


CHECKS = (
    splits_and_metrics,
    setup_fixes_labels,
    missing_data,
    reads_examples,
    makes_features,
    features_repeat,
    answers_every_example,
    scores_what_it_declares,
    writes_every_row,
    damaged_data,
    example_from_fields,
)


def _require_json(value: Mapping[str, Any], what: str) -> None:
    try:
        json.dumps(dict(value))
    except TypeError as error:
        raise AssertionError(f"{what} has values that JSON lacks: {error}") from error


def _comparable(table: FeatureTable) -> list[tuple[Any, ...]]:
    """Features as values that can be compared."""
    return [
        (
            feature.example,
            [{name: column.tolist() for name, column in row.items()} for row in feature.rows],
            *(
                {name: np.asarray(value).tolist() for name, value in group.items()}
                for group in (feature.targets, feature.positions, feature.host)
            ),
        )
        for feature in table
    ]


def _outputs(
    subject: Subject, task: Any, examples: Sequence[Example], info: TaskInfo
) -> list[list[Any]]:
    table = features_of(task, examples, info)
    slot = subject.spec.head(subject.config)
    decoded = decoded_at_random(slot, table, info)
    return outputs_by_example(len(examples), table, decoded)


def _predicted(
    subject: Subject, task: Any, examples: Sequence[Example], info: TaskInfo
) -> list[Any]:
    return list(task.predict(examples, _outputs(subject, task, examples, info), info))


def _read_damaged(subject: Subject, folder: Path, split: str, damage: Any, *, strict: bool) -> None:
    """Damage a split's files, read it, and put them back."""
    files = [path for path in build(subject).files(folder, split) if path.is_file()]
    kept = {path: path.read_bytes() for path in files}
    told = f'with a {damage.__name__.strip("_")} file of split "{split}"'
    try:
        for path, content in kept.items():
            path.write_bytes(damage(content))
        task = build(subject, strict=strict)
        info = task.setup(folder)
        features_of(task, some(task, split), info)
    except DataError as error:
        require(str(error).strip(), f"{told} its DataError has no text")
    except Exception as error:
        raise AssertionError(f"{told} it raises {type(error).__name__}: {error}") from error
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def _emptied(content: bytes) -> bytes:
    del content
    return b""


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _binary(content: bytes) -> bytes:
    return content + b"\xff\xfe\x00\x01garbage\t\t\xc3\n"
