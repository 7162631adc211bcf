"""Text files to a folder of instances for pre-training."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bertmod
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.cache import file_hash
from bertmod.data.durable import remove_folder, write_file
from bertmod.data.pretraining_files import FORMAT, FORMAT_VERSION, HEADER_FILE
from bertmod.data.pretraining_records import tensorflow
from bertmod.data.unfinished import Unfinished
from bertmod.errors import DataError
from bertmod.pretraining.corpus import Slice, corpus_files, slices
from bertmod.pretraining.google import plan_as_google
from bertmod.pretraining.job import Job
from bertmod.pretraining.options import PretrainingOptions
from bertmod.pretraining.progress import Progress, no_progress
from bertmod.pretraining.rows import document_groups, plan_documents
from bertmod.pretraining.shards import join_plan, shards_of, write_shard
from bertmod.pretraining.statistics import statistics_of, warnings_of
from bertmod.pretraining.store import corpus_facts, join_parts
from bertmod.pretraining.stored import ROWS_FILE
from bertmod.pretraining.tokenizer_slot import Installed, wordpiece
from bertmod.pretraining.tokenizing import load_segmenter, tokenize_slice
from bertmod.pretraining.workers import Run, crew

FREE = frozenset({"corpus", "vocab"})
"""What may have moved when output is gone on with: its content is known by its hash."""

_log = logging.getLogger("bertmod")


@dataclass(frozen=True)
class Vocabulary:
    """A WordPiece vocabulary.

    Attributes:
        path: Its file.
        lower_case: Whether text is lower-cased.
        tokenizer: Gives its pieces; has [MASK].
    """

    path: Path
    lower_case: bool
    tokenizer: Tokenizer


def open_vocabulary(path: Path, registry: Installed, *, lower_case: bool | None) -> Vocabulary:
    """The tokenizer of a vocabulary file.

    Args:
        path: ``vocab.txt``.
        registry: What is installed.
        lower_case: Whether text is lower-cased; None: as the vocabulary's letters tell.

    Raises:
        DataError: If it cannot be read, or cannot serve to mask pieces.
    """
    slot = wordpiece(registry, path, lower_case=lower_case)
    tokenizer = slot.build()
    if "[MASK]" not in tokenizer.special:
        raise DataError(
            f"{path}: the vocabulary lacks [MASK], which stands for masked pieces\n"
            "  is this the vocab.txt of a model that was pre-trained on masked pieces?"
        )
    return Vocabulary(path, slot.config.lower_case, tokenizer)


def make_pretraining_data(
    corpus: Sequence[str],
    vocabulary: Vocabulary,
    out: Path,
    options: PretrainingOptions,
    *,
    num_workers: int = 1,
    resume: bool = False,
    title: str = "",
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write instances for pre-training.

    The output is a function of the corpus, the vocabulary and the options alone: the number of
    processes and interruptions change nothing.

    Args:
        corpus: Text files, or glob patterns: a sentence a line, a blank line between documents.
        vocabulary: The vocabulary.
        out: Folder to write; it is new.
        options: What the data is made like.
        num_workers: Processes, at least 1.
        resume: Whether to go on with what an interruption left.
        title: What warnings call the corpus; empty: by its files' names.
        progress: Shows how far it is.

    Returns:
        What was counted, by name.

    Raises:
        DataError: If input, options or output cannot serve.
        TrainingError: If the disk is full or a process was killed, after work had begun.
    """
    files = corpus_files(corpus)
    load_segmenter(options.segmenter)
    if options.form == "tfrecord":
        tensorflow("--format tfrecord")
    unfinished = Unfinished(out, resume=resume)
    facts = data_facts(files, vocabulary)
    asked = {**facts, **{f"options.{name}": value for name, value in options.as_json().items()}}
    parts = slices(files)
    if not parts:
        raise DataError(f"{_named(files)}: no text to make instances of")
    with unfinished.opened(asked, free=FREE) as folder:
        job = Job(folder, options, vocabulary.tokenizer)
        for each in (job.corpus, job.plan, job.output, job.reports):
            each.mkdir(exist_ok=True)
        with _begun(job), crew(num_workers, job) as run:
            text = _tokenized(job, parts, run, progress)
            num_rows = _planned(job, text, run, progress)
            counts, shards = _written(job, num_rows, run, progress)
        statistics = statistics_of({**text, **_longest(text, title)}, counts)
        header = {**facts, "options": options.as_json(), "shards": shards, "statistics": statistics}
        write_file(job.output / HEADER_FILE, json.dumps(header, indent=2) + "\n")
        unfinished.finish(job.output.name)
    for warning in warnings_of(statistics, options):
        _log.warning("%s: %s", title or _named(files), warning)
    return statistics


def _longest(facts: Mapping[str, Any], title: str) -> dict[str, Any]:
    pieces, path, line = facts["longest_sentence"]
    return {"longest_sentence": [pieces, title or path, line]}


def _named(files: Sequence[Path]) -> str:
    """Files in a message."""
    return ", ".join(map(str, files[:4])) + (" ..." if len(files) > 4 else "")


@contextmanager
def _begun(job: Job) -> Iterator[None]:
    """Leave nothing behind where the input turns out to be wrong: it will have to change."""
    try:
        yield
    except DataError:
        for path in job.folder.iterdir():
            if path.is_dir():
                remove_folder(path)
        raise


def data_facts(files: Sequence[Path], vocabulary: Vocabulary) -> dict[str, Any]:
    """What data is a function of beside the options, and where that came from, for its header.

    Args:
        files: Text files, or files of records.
        vocabulary: The vocabulary.

    Raises:
        DataError: If a file cannot be read.
    """
    tokenizer = vocabulary.tokenizer
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "bertmod_version": bertmod.__version__,
        "corpus": [str(path) for path in files],
        "corpus_sha256": [file_hash(path) for path in files],
        "vocab": str(vocabulary.path),
        "vocabulary": {
            "sha256": file_hash(vocabulary.path),
            "tokenizer": tokenizer.fingerprint,
            "lower_case": vocabulary.lower_case,
            "size": tokenizer.vocab_size,
            "special": dict(tokenizer.special),
        },
    }


def _tokenized(
    job: Job, parts: Sequence[Slice], run: Run[Any, Any], progress: Progress
) -> Mapping[str, Any]:
    """Turn the corpus into pieces, unless that is done; what is known of it."""
    if corpus_facts(job) is None:
        with progress(sum(part.size for part in parts), "tokenize", unit="B") as advance:
            for done in run(tokenize_slice, parts):
                advance(done)
        join_parts(job, parts)
    facts = corpus_facts(job)
    assert facts is not None
    _require_documents(job, facts, list(dict.fromkeys(part.path for part in parts)))
    return facts


def _require_documents(job: Job, facts: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Refuse one document where random next sentences come from others."""
    if facts["documents"] > 1:
        return
    names = _named(files)
    cause = "one document: no blank line stands between sentences"
    if job.options.random == "google":
        _log.warning("%s: %s; every random next sentence is from that same document", names, cause)
    elif job.options.next_sentence == "nsp":
        raise DataError(
            f"{names}: {cause}, so that there is no other for random next sentences\n"
            "  put a blank line between documents, or make other pairs: --next-sentence sop or none"
        )
    else:
        _log.warning("%s: %s; rows go on across what may be several", names, cause)


def _planned(job: Job, facts: Mapping[str, Any], run: Run[Any, Any], progress: Progress) -> int:
    """Plan every row, unless that is done; how many there are."""
    if (job.plan / ROWS_FILE).exists():
        return join_plan(job, 0)
    if job.options.random == "google":
        total = facts["documents"] * job.options.dupe_factor
        with progress(total, "draw", unit="doc") as advance:
            plan_as_google(job, advance)
        return join_plan(job, 1)
    groups = document_groups(job.text)
    with progress(facts["documents"], "draw", unit="doc") as advance:
        for done in run(plan_documents, groups):
            advance(done)
    num_rows = join_plan(job, len(groups))
    if not num_rows:
        raise DataError("no document has two sentences, which --next-sentence sop needs")
    return num_rows


def _written(
    job: Job, num_rows: int, run: Run[Any, Any], progress: Progress
) -> tuple[list[dict[str, int]], list[dict[str, Any]]]:
    """Write every shard; what was counted of each, and what it consists of."""
    shards = shards_of(num_rows, job.options.shard_instances)
    with progress(num_rows, "write", unit="row") as advance:
        for done in run(write_shard, [(shard, len(shards)) for shard in shards]):
            advance(done)
    reports = [
        json.loads((job.reports / f"{shard.number:05d}.json").read_text()) for shard in shards
    ]
    return [report["counts"] for report in reports], [report["shard"] for report in reports]
