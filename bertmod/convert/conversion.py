"""One checkpoint as another of some format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertmod.contracts.checkpoint import CheckpointContent, CheckpointWriter, LoadReport
from bertmod.contracts.head import TaskInfo
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.convert.card import conversion_card
from bertmod.convert.extended import Extension, take_in_words
from bertmod.convert.merged import take_in_adapters
from bertmod.convert.source import Source, open_source
from bertmod.convert.task_slots import Answering, TaskFinder
from bertmod.convert.tensors import Tensors, in_format, read_tensors, without_absent
from bertmod.convert.write import write_checkpoint
from bertmod.data.new_folder import require_new
from bertmod.errors import CheckpointError, DataError
from bertmod.model.canonical import encoder_hash
from bertmod.model.loading import OWN_FORMAT
from bertmod.recipe.resolve import Slot
from bertmod.recipe.schema import AUTO
from bertmod.registry import Entry, Registry, load_registry
from bertmod.wording import did_you_mean, listed

WITH_ENCODER_ONLY = (
    "--encoder-only leaves heads and adapters out: give no --task, --head, --labels or --merge "
    "with it"
)


@dataclass(frozen=True)
class Conversion:
    """What became of a checkpoint.

    Attributes:
        format: Name of the loader that reads the copy.
        tasks: Ids of its tasks, in order.
        encoder_hash: SHA-256 of the encoder's values, as bertmod's own folders name it.
        report: What became of every tensor of the original.
        merged: Ids of the adapters that the encoder's weights took in.
        num_words: Words that the vocabulary took in.
        notes: What the user should know.
    """

    format: str
    tasks: tuple[str, ...]
    encoder_hash: str
    report: LoadReport
    merged: tuple[str, ...]
    num_words: int
    notes: tuple[str, ...]


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    to: str,
    tasks: Sequence[str] = (),
    loader: str = AUTO,
    head: str | None = None,
    labels: Sequence[str] | None = None,
    encoder_only: bool = False,
    merge: bool = False,
    extension: Extension | None = None,
    allow_unexpected: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    registry: Registry | None = None,
) -> Conversion:
    """Write a checkpoint again in another format, every value to the bit.

    Args:
        source: What ``--checkpoint`` takes: a file, a folder, a run, ``hf:NAME``.
        target: Folder to write; it must not exist, or be empty.
        to: Loader whose format is written: ``bertmod``, ``huggingface``, ``tensorflow`` ...
        tasks: Which of its tasks, or the ids to give where a format says none; empty: all.
        loader: Which loader reads it; ``auto`` takes the one that knows it.
        head: Head that its classifier belongs to, where the file does not tell.
        labels: What the labels of its one head are called, in the order of the file.
        encoder_only: Whether heads and adapters are left out.
        merge: Whether a task's adapters are taken into the encoder's weights.
        extension: Words that the vocabulary takes in, which then alone has new values.
        allow_unexpected: Shell patterns of names in the file that nothing need know.
        options: ``encoder`` and ``tokenizer`` to options in place of what the file does not say.
        registry: What is installed; None looks.

    Raises:
        CheckpointError: If the checkpoint is damaged, a tensor of it is not understood, or the
            format cannot hold it.
        DataError: If the target exists or cannot be written, no such format is written, or
            options contradict each other.
    """
    registry, path = registry or load_registry(), Path(target)
    if encoder_only and (tasks or head or labels or merge):
        raise DataError(WITH_ENCODER_ONLY)
    entry = writable(registry, to)
    require_new(path)
    found = open_source(
        os.fspath(source),
        registry=registry,
        loader=loader,
        tasks=tasks,
        head=head,
        encoder_only=encoder_only,
        options=options,
    )
    if labels is not None:
        own = entry.spec.writer.format == OWN_FORMAT
        found = _with_labels(found, tuple(labels), own=own)
    wanted = _Wanted(not encoder_only, merge, extension, tuple(allow_unexpected))
    return _copy(found, path, entry, wanted)


@dataclass(frozen=True)
class _Wanted:
    """What is to become of a checkpoint on its way.

    Attributes:
        whole: Whether a head or an adapter that nothing asks for is an error.
        merge: Whether the encoder takes a task's adapters in.
        extension: Words that the vocabulary takes in.
        allow: Patterns of names that nothing need know.
    """

    whole: bool
    merge: bool
    extension: Extension | None
    allow: tuple[str, ...]


def _copy(source: Source, target: Path, entry: Entry[Any], wanted: _Wanted) -> Conversion:
    """Read everything that is wanted, and write it in an installed loader's format."""
    writer: CheckpointWriter = entry.spec.writer
    answering = _answering(source) if writer.format == OWN_FORMAT else {}
    orders = {id_: each.order for id_, each in answering.items() if each.order is not None}
    tensors, report = read_tensors(source, orders=orders, allow=wanted.allow, whole=wanted.whole)
    report, lacking = without_absent(report)
    merged = tuple(adapter.id for task in source.tasks for adapter in task.adapters)
    if wanted.merge:
        source, tensors = take_in_adapters(source, tensors)
    if wanted.extension is not None:
        source, tensors = take_in_words(source, tensors, wanted.extension)
    done = Conversion(
        format=entry.spec.name,
        tasks=tuple(task.id for task in source.tasks),
        encoder_hash=encoder_hash({f"encoder.{k}": v for k, v in tensors["encoder"].items()}),
        report=report,
        merged=merged if wanted.merge else (),
        num_words=0 if wanted.extension is None else len(wanted.extension.made_of),
        notes=(*_notes(source), *lacking, *(each.note for each in answering.values() if each.note)),
    )
    content = _content(source, answering, in_format(source, tensors, writer.format))

    def card(use: str) -> str:
        return conversion_card(
            source,
            content,
            done=done,
            tensors=tensors,
            use=use,
            folder=target.name,
            library=writer.library,
        )

    write_checkpoint(target, content, writer, card=card)
    return done


def writable(registry: Registry, to: str) -> Entry[Any]:
    """The loader whose format is to be written.

    Raises:
        DataError: If there is none of that name, or its format is read alone.
    """
    entries: list[Entry[Any]] = list(registry.entries("loader"))
    known = [entry for entry in entries if entry.spec.writer is not None]
    for entry in known:
        if to in (entry.spec.name, entry.full_name):
            return entry
    names = [entry.spec.name for entry in known]
    if any(to in (entry.spec.name, entry.full_name) for entry in entries):
        what = f"--to {to}: that format is read, not written; huggingface replaces it"
    else:
        what = f'--to: no format "{to}" is written{did_you_mean(to, names)}'
    raise DataError(f"{what}\n  accepted: {listed(names)}")


def _with_labels(source: Source, labels: tuple[str, ...], *, own: bool) -> Source:
    """A checkpoint with one head whose labels have these names, for bertmod's format or another."""
    path = source.opened.path
    named = [task for task in source.tasks if task.num_labels is not None]
    if len(named) != 1:
        what = "no head with labels there" if not named else f"{len(named)} heads with labels there"
        choose = "\n  choose one: --task ID" if named and source.format == OWN_FORMAT else ""
        raise CheckpointError(f"{path}: {what}, but --labels is for one{choose}")
    (task,) = named
    if len(set(labels)) != len(labels) or not all(labels):
        raise DataError("--labels: each name once, and none empty")
    if len(labels) != task.num_labels:
        raise CheckpointError(
            f"{path}: --labels has {len(labels)} names, but the head of task {task.id} has "
            f"{task.num_labels} labels"
        )
    if own and task.facts.get("task") and labels != task.info.labels:
        raise CheckpointError(
            f"{path}: in bertmod's record the labels of task {task.id} are called "
            f"{listed(task.info.labels or ())}\n"
            "  leave --labels out; formats of others take other names"
        )
    renamed = replace(task, info=replace(task.info, labels=labels))
    return replace(source, tasks=tuple(renamed if each is task else each for each in source.tasks))


def _notes(source: Source) -> Iterator[str]:
    """How the checkpoint was read, and what has another name now."""
    yield from source.opened.notes
    if unnamed := [task.id for task in source.tasks if task.id != task.key]:
        ids = listed(unnamed)
        yield f"the file does not say what its tasks are called: {ids}; --task ID gives a name"
    for task in source.tasks:
        old = source.opened.description.infos.get(task.key, TaskInfo()).labels
        if old is not None and old != task.info.labels:
            pairs = zip(old, task.info.labels or (), strict=True)
            renamed = listed(f"{one} to {two}" for one, two in pairs)
            yield f"{task.id}: labels renamed: {renamed}"


def _answering(source: Source) -> dict[str, Answering]:
    """Task id to how it answers in bertmod, for tasks without a record of bertmod's own."""
    opened = source.opened
    tokenizer = _tokenizer(opened.tokenizer)
    finder = TaskFinder(opened.path, opened.registry, tokenizer, longest=opened.shape.max_length)
    return {task.id: finder.find(task) for task in source.tasks if not task.facts}


def _tokenizer(slot: Slot) -> Tokenizer:
    built: Tokenizer = slot.spec.build(slot.config)
    return built


def _content(
    source: Source, answering: Mapping[str, Answering], tensors: Tensors
) -> CheckpointContent:
    slot = source.opened.tokenizer
    files = _tokenizer(slot).files()
    options = slot.to_json()
    if options.get("vocab") is not None:
        options["vocab"] = next(iter(files))
    infos: dict[str, TaskInfo] = {task.id: task.info for task in source.tasks}
    facts = {task.id: task.facts for task in source.tasks if task.facts}
    for id_, each in answering.items():
        infos[id_], facts[id_] = each.info, {"task": each.slot}
    pipeline = slot.spec.pipeline
    return CheckpointContent(
        encoder=source.opened.encoder.to_json(),
        tokenizer=options,
        files=files,
        tensors=tensors,
        heads={task.id: task.head.to_json() for task in source.tasks},
        adapters={
            task.id: tuple({**each.slot.to_json(), "tasks": [task.id]} for each in task.adapters)
            for task in source.tasks
        },
        infos=infos,
        facts=facts,
        pipeline="" if pipeline is None else pipeline(slot.config),
    )
