"""What must fit between the parts of a recipe; each check runs on whatever half is valid."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from bertmod.errors import BertmodError
from bertmod.recipe.accepted import has_format
from bertmod.recipe.adapters import check_adapters
from bertmod.recipe.draft import Draft, Half, names_in
from bertmod.recipe.paths import Path
from bertmod.recipe.validate import json_schema
from bertmod.wording import did_you_mean, listed


def check_all(draft: Draft) -> None:
    """Run every cross-check."""
    check_ids(draft)
    check_lengths(draft)
    check_types(draft)
    check_room(draft)
    check_batches(draft)
    check_loss_scale(draft)
    check_device(draft)
    check_best(draft)
    check_borrowers(draft)
    check_training(draft)
    check_metrics(draft)
    check_heads(draft)
    check_adapters(draft)
    check_sampler(draft)
    check_checkpoint_names(draft)
    check_checkpoint_heads(draft)


def check_ids(draft: Draft) -> None:
    """Ids of tasks and of adapters are unique; a tracker is listed once."""
    for halves in (draft.tasks, draft.adapters):
        for half in _repeated(halves):
            what = f'another {half.kind} has the id "{half.id}" already'
            at = (*half.path, "id" if half.keys.id else "name")
            draft.add(at, what, f'give each {half.kind} an "id" of its own')
    for half in _repeated(draft.trackers):
        draft.add((*half.path, "name"), f"{half.label} is listed twice", "leave one of the two")


def _repeated(halves: Iterable[Half]) -> list[Half]:
    seen: set[str] = set()
    repeated = []
    for half in halves:
        if half.id and half.id in seen:
            repeated.append(half)
        seen.add(half.id)
    return repeated


def check_lengths(draft: Draft) -> None:
    """Rows are no longer than the encoder's positions."""
    if draft.shape is None:
        return
    limits: list[tuple[Path, int]] = []
    if "data" not in draft.wrong:
        limits.append((("data", "max_length"), draft.keys.data.max_length))
    for task in draft.tasks:
        if task.keys.max_length is not None:
            limits.append(((*task.path, "max_length"), task.keys.max_length))
    for path, length in limits:
        if length > draft.shape.max_length:
            what = (
                f"rows of {length} tokens, but the encoder has {draft.shape.max_length} positions"
            )
            draft.add(path, what, f"at most {draft.shape.max_length}")


def check_types(draft: Draft) -> None:
    """Tasks of pairs of texts have an encoder that tells the two apart."""
    known = None if draft.shape is None else draft.shape.type_vocab_size
    for task in draft.tasks:
        if known is None or not task.ready() or task.spec.num_types is None:
            continue
        if (needed := task.ask(task.spec.num_types, task.config)) > known:
            what = (
                f"{task.label} has pairs of texts, of {needed} token types, but "
                f"{draft.encoder.label} has type_vocab_size {known}"
            )
            more = "take a task of single texts, or an encoder that was trained on pairs"
            draft.add(task.path, what, more)


def check_room(draft: Draft) -> None:
    """Rows of a task are long enough for it."""
    for task in draft.tasks:
        own = task.keys.max_length
        unknown = "max_length" in task.wrong or (own is None and "data" in draft.wrong)
        if unknown or not task.ready():
            continue
        length = own or draft.keys.data.max_length
        needed = task.ask(task.spec.min_length, task.config)
        if length < needed:
            path = (*task.path, *(("max_length",) if own else ()))
            what = f"rows of {length} tokens, but with these options {task.label} needs {needed}"
            draft.add(path, what, f"set its max_length to {needed} or more")


def check_batches(draft: Draft) -> None:
    """Accumulation divides every batch size."""
    if "training" in draft.wrong:
        return
    training = draft.keys.training
    steps = training.gradient_accumulation_steps
    if training.global_batch_size % steps:
        draft.add(
            ("training", "gradient_accumulation_steps"),
            f"{steps} does not divide global_batch_size {training.global_batch_size}",
            f"accepted: {listed(map(str, _divisors(training.global_batch_size)))}",
        )
    for task in draft.tasks:
        if task.keys.batch_size is not None and task.keys.batch_size % steps:
            what = f"training.gradient_accumulation_steps {steps} does not divide it"
            draft.add((*task.path, "batch_size"), what, f"use a multiple of {steps}")


def check_loss_scale(draft: Draft) -> None:
    """A number is stated for fp16 alone, which has a loss scale."""
    training = draft.keys.training
    if "training" in draft.wrong or training.loss_scale == "dynamic":
        return
    if training.precision != "fp16":
        what = f'only fp16 has a loss scale, and training.precision is "{training.precision}"'
        more = 'set training.precision to "fp16", or leave it out'
        draft.add(("training", "loss_scale"), what, more)


def check_device(draft: Draft) -> None:
    """One device is not named where a step is spread over all GPUs."""
    if "training" in draft.wrong or draft.keys.training.parallel != "data_parallel":
        return
    if (device := draft.keys.training.device) not in ("auto", "cuda"):
        what = f'training.parallel "data_parallel" takes all GPUs, and this is "{device}"'
        draft.add(("training", "device"), what, 'accepted here: "auto" or "cuda"')


def check_best(draft: Draft) -> None:
    """What chooses the best state is stated only where one is kept."""
    if draft.wrong & {"evaluation", "saving"} or draft.keys.saving.best:
        return
    select = draft.keys.evaluation.select
    if select != "mean":
        what = f'"{select}" chooses the best state, and saving.best is false'
        draft.add(("evaluation", "select"), what, "leave it out, or keep the best states")


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, min(number, 4096) + 1) if number % n == 0]


def check_borrowers(draft: Draft) -> None:
    """A task that uses another names one that trains, and states nothing about training."""
    trained = {task.id: task for task in draft.trained()}
    for task in draft.tasks:
        uses = task.keys.uses
        if uses is None or "uses" in task.wrong:
            continue
        if uses not in trained:
            what = f'no task "{uses}" trains{did_you_mean(uses, trained)}'
            draft.add((*task.path, "uses"), what, f"tasks that train: {names_in(list(trained))}")
            continue
        _check_stated(draft, task, uses)
        _check_borrowed(draft, task, trained[uses])


def _check_stated(draft: Draft, task: Half, uses: str) -> None:
    if task.keys.head is not None:
        draft.add((*task.path, "head"), f'"{task.id}" uses the head of "{uses}"', "leave it out")
    what = f'"{task.id}" uses "{uses}" and trains nothing'
    for key, default in (("loss_weight", 1.0), ("patience", None)):
        if getattr(task.keys, key) != default:
            draft.add((*task.path, key), what, "leave it out")


def _check_borrowed(draft: Draft, task: Half, lender: Half) -> None:
    if not (task.ready() and lender.ready()):
        return
    own = task.ask(task.spec.targets, task.config)
    lent = lender.ask(lender.spec.targets, lender.config)
    if dict(own) != dict(lent):
        what = f'"{lender.id}" answers {_targets(lent)}, "{task.id}" needs {_targets(own)}'
        draft.add((*task.path, "uses"), what)


def check_training(draft: Draft) -> None:
    """Tasks that borrow nothing have a train split, and there is at least one."""
    for task in draft.trained():
        if not task.ready():
            continue
        splits = task.ask(task.spec.splits, task.config)
        if "train" not in splits.values():
            what = f'{task.label} has no train split; "uses" names the task that answers it'
            others = [other.id for other in draft.trained() if other is not task]
            more = [f'for example "uses": "{(others or ["mnli"])[0]}"']
            if "train" in type(task.config).model_fields:
                more.append('or name its training data with "train"')
            draft.add(task.path, what, *more)
    if draft.tasks and not draft.trained():
        draft.add(("tasks",), "every task uses another, so none trains")


def check_metrics(draft: Draft) -> None:
    """Metrics that options name are there; a stated one is scored on a dev split of its task."""
    known = sorted(entry.spec.name for entry in draft.registry.entries("metric"))
    for task in draft.tasks:
        if not task.ready():
            continue
        for path, name in _named_metrics(task):
            if name not in known:
                what = f'no metric called "{name}"{did_you_mean(name, known)}'
                draft.add((*task.path, *path), what, f"available: {listed(known)}")
        metric, names = task.keys.metric, scored(task)
        if task.keys.patience is not None and task.keys.uses is None and not names:
            what = f"{task.label} is scored on no dev split, so it cannot be stopped by its score"
            draft.add((*task.path, "patience"), what, "leave it out")
        if metric is not None and metric not in names:
            what = f'{task.label} has no metric "{metric}"{did_you_mean(metric, names)}'
            draft.add((*task.path, "metric"), what, f"available: {listed(names)}")


def _named_metrics(task: Half) -> Iterator[tuple[Path, str]]:
    """Place and value of every name in options whose schema says that they name metrics."""
    for key, schema in json_schema(task.spec.config).get("properties", {}).items():
        value = getattr(task.config, key, None)
        if value is None or not has_format(schema, "metric"):
            continue
        if isinstance(value, str):
            yield (key,), value
        else:
            yield from (((key, place), name) for place, name in enumerate(value))


def scored(task: Half) -> list[str]:
    """The metrics of a task's dev splits as ``split/metric``, the main one first."""
    splits = task.ask(task.spec.splits, task.config)
    metrics = task.ask(task.spec.metrics, task.config)
    dev = [split for split, role in splits.items() if role == "dev" and split in metrics]
    return [f"{split}/{name}" for split in dev for name in metrics[split]]


def check_heads(draft: Draft) -> None:
    """A head reads targets that its task has, and parts that the encoder gives."""
    for task, head in zip(draft.tasks, draft.heads, strict=True):
        if head is None or not head.ready():
            continue
        if task.ready():
            _check_targets(draft, task, head)
        if draft.shape is not None:
            missing = head.ask(head.spec.want, head.config) - draft.shape.provides
            if missing:
                what = f"{head.label} needs {listed(sorted(missing))} of the encoder's output"
                gives = f"{draft.encoder.label} gives: {listed(sorted(draft.shape.provides))}"
                draft.add((*head.path, "name"), what, gives)


def _check_targets(draft: Draft, task: Half, head: Half) -> None:
    has = task.ask(task.spec.targets, task.config)
    reads = head.ask(head.spec.targets, head.config)
    if all(has.get(name) == kind for name, kind in reads.items()):
        _check_labels(draft, task, head)
        return
    what = f"{head.label} reads {_targets(reads)}, {task.label} has {_targets(has)}"
    suiting = _suiting(draft, has, _num_labels(task))
    draft.add((*head.path, "name"), what, f"heads that suit it: {listed(suiting)}")


def _check_labels(draft: Draft, task: Half, head: Half) -> None:
    """A head of a number of labels of its own suits a task of as many."""
    count, own = _num_labels(task), head.spec.labels
    if own is not None and count not in (None, len(own)):
        what = (
            f"{head.label} tells {len(own)} labels apart ({listed(own)}), {task.label} has {count}"
        )
        has = task.ask(task.spec.targets, task.config)
        suiting = listed(_suiting(draft, has, count))
        draft.add((*head.path, "name"), what, f"heads that suit it: {suiting}")


def _num_labels(task: Half) -> int | None:
    """Labels of a task; None if only the data tells."""
    count: int | None = task.ask(task.spec.num_labels, task.config)
    return count


def _suiting(draft: Draft, has: Any, count: int | None) -> list[str]:
    """Heads that, with default options, read only targets that there are, and take the labels."""
    names = []
    for entry in draft.registry.entries("head"):
        spec: Any = entry.spec
        if any(field.is_required() for field in spec.config.model_fields.values()):
            continue
        reads = Half("head", (), entry=entry).ask(spec.targets, spec.config())
        fits = spec.labels is None or count in (None, len(spec.labels))
        if fits and all(has.get(name) == kind for name, kind in reads.items()):
            names.append(spec.name)
    return names


def _targets(targets: Any) -> str:
    return listed(f"{name} ({kind})" for name, kind in targets.items())


def check_sampler(draft: Draft) -> None:
    """Sizes name tasks that train, and the sampler suits them."""
    half = draft.sampler
    trained = draft.trained_ids()
    for name in half.keys.sizes or {}:
        if name not in trained:
            what = f'no task "{name}" trains{did_you_mean(name, trained)}'
            draft.add((*half.path, "sizes", name), what, f"tasks that train: {names_in(trained)}")
    if all(trained):
        draft.check_options(half, trained)


def check_checkpoint_names(draft: Draft) -> None:
    """``use`` names heads, adapters or tasks that train."""
    if draft.checkpoint is None:
        return
    known = ("heads", "adapters", *draft.trained_ids())
    for index, name in enumerate(draft.checkpoint.keys.use):
        if name not in known:
            what = (
                f'neither a task that trains nor "heads" or "adapters"{did_you_mean(name, known)}'
            )
            draft.add(("checkpoint", "use", index), f'"{name}" is {what}')


def check_checkpoint_heads(draft: Draft) -> None:
    """A head that is taken from the checkpoint reads what the recipe's head of the task reads.

    Their tensors may well have the same names and shapes: one output is a number, or a choice.
    """
    if draft.checkpoint is None or draft.description is None:
        return
    use = draft.checkpoint.keys.use
    for task, head in zip(draft.tasks, draft.heads, strict=True):
        if head is None or not head.ready() or not {"heads", task.id} & set(use):
            continue
        there = _stored_head(draft, task.id)
        if there is None:
            continue
        has = there.ask(there.spec.targets, there.config)
        reads = head.ask(head.spec.targets, head.config)
        if has != reads:
            what = (
                f'the checkpoint has a {there.label} for "{task.id}", which reads '
                f"{_targets(has)}, the recipe a {head.label}, which reads {_targets(reads)}"
            )
            draft.add(("checkpoint", "use"), what, "give the task that head, or name others alone")


def _stored_head(draft: Draft, task: str) -> Half | None:
    """The head that the checkpoint has for a task; a file of one task may not say which."""
    heads = draft.description.heads if draft.description else {}
    slot = dict(heads.get(task) or (heads.get("0", {}) if len(heads) == 1 else {}))
    try:
        entry = draft.registry.get("head", slot.pop("name", ""))
        config = entry.spec.config.model_validate_json(json.dumps(slot))
    except (BertmodError, ValidationError):
        return None  # a plugin that is not installed: what is in the file shows when it is loaded
    return Half("head", (), entry=entry, config=config)
