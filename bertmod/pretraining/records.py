"""Google's records to a folder of instances."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.durable import write_file
from bertmod.data.new_folder import new_folder, require_new
from bertmod.data.pretraining_files import HEADER_FILE, hash_of, write_array
from bertmod.data.pretraining_records import LABEL_KEY, WEIGHTS_KEY, read_records, record_lengths
from bertmod.data.ragged import bounds_of
from bertmod.errors import DataError
from bertmod.pretraining.corpus import corpus_files
from bertmod.pretraining.make import Vocabulary, data_facts
from bertmod.pretraining.progress import Progress, no_progress
from bertmod.pretraining.stored import piece_dtype

SUFFIXES = (".tfrecord", ".tf_record")
"""Endings of the names of TFRecord files."""


def are_records(corpus: Sequence[str]) -> bool:
    """Whether files are of records, and not text, as their names tell.

    Args:
        corpus: Names and glob patterns.

    Raises:
        DataError: If some are and some are not.
    """
    named = [name.endswith(SUFFIXES) for name in corpus]
    if any(named) and not all(named):
        raise DataError("text and TFRecord files together: name the ones or the others")
    return any(named)


def take_in_records(
    corpus: Sequence[str],
    vocabulary: Vocabulary,
    out: Path,
    *,
    shard_instances: int = 65_536,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write what Google's ``create_pretraining_data.py`` wrote as memory-mapped instances.

    Args:
        corpus: TFRecord files, or glob patterns; all of one length.
        vocabulary: The vocabulary that they were made with.
        out: Folder to write; it is new.
        shard_instances: Instances of a shard, at least 1.
        progress: Shows how far it is.

    Returns:
        What was counted, by name.

    Raises:
        DataError: If TensorFlow is not installed, a file is cut off or of other lengths than the
            first, the vocabulary is another, or the output cannot be written.
    """
    files = corpus_files(corpus, remedy="name it once")
    require_new(out)
    lengths = record_lengths(files[0])
    facts = data_facts(files, vocabulary)
    options = {
        **{"max_seq_length": lengths[0], "max_predictions_per_seq": lengths[1]},
        **{"form": "bertmod", "masking": "static", "next_sentence": "nsp"},
    }
    shards, totals = [], dict.fromkeys(("instances", "tokens", "masked", "random_next"), 0)
    size = sum(path.stat().st_size for path in files)
    with new_folder(out) as folder, progress(size, "read", unit="B") as advance:
        records = _all(files, vocabulary.tokenizer, lengths, advance)
        for number in count():
            held = list(islice(records, shard_instances))
            if not held:
                break
            arrays = _arrays(held)
            name = f"shard-{number:05d}"
            described = _write(folder / name, arrays)
            shards.append({"name": name, "instances": len(held), "files": described})
            totals["instances"] += len(held)
            totals["tokens"] += len(arrays["tokens"])
            totals["masked"] += len(arrays["masked_labels"])
            totals["random_next"] += int(arrays[LABEL_KEY].sum())
        statistics = {
            **totals,
            "mean_length": totals["tokens"] / totals["instances"],
            "masked_share": totals["masked"] / totals["tokens"],
            "random_next_share": totals["random_next"] / totals["instances"],
        }
        header = {**facts, "options": options, "shards": shards, "statistics": statistics}
        write_file(folder / HEADER_FILE, json.dumps(header, indent=2) + "\n")
    return statistics


def _all(
    files: Sequence[Path],
    tokenizer: Tokenizer,
    lengths: tuple[int, int],
    advance: Callable[[int], object],
) -> Iterator[dict[str, np.ndarray]]:
    """The records of all files without what pads them, as a shard's arrays have them."""
    ends, size = (tokenizer.special["[CLS]"], tokenizer.special["[SEP]"]), tokenizer.vocab_size
    dtype = piece_dtype(size)
    for path in files:
        found = read_records(
            path,
            max_seq_length=lengths[0],
            max_predictions_per_seq=lengths[1],
            vocab_size=size,
        )
        for number, row in enumerate(found, 1):
            tokens = row["input_ids"][: int(row["input_mask"].sum())]
            if not len(tokens) or (tokens[0], tokens[-1]) != ends:
                raise DataError(
                    f"{path}, record {number}: does not begin with [CLS] and end with [SEP]\n"
                    "  use the vocabulary that the records were made with"
                )
            masked = row[WEIGHTS_KEY] > 0
            first = np.count_nonzero(row["segment_ids"][: len(tokens)] == 0)
            yield {
                "tokens": tokens.astype(dtype),
                "first_lengths": np.array([first], np.int32),
                LABEL_KEY: row[LABEL_KEY].astype(np.uint8),
                "masked_positions": row["masked_lm_positions"][masked].astype(np.int32),
                "masked_labels": row["masked_lm_ids"][masked].astype(dtype),
            }
        advance(path.stat().st_size)


def _arrays(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of a shard."""
    arrays = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    arrays["bounds"] = bounds_of([len(row["tokens"]) for row in rows])
    arrays["masked_bounds"] = bounds_of([len(row["masked_labels"]) for row in rows])
    return arrays


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Write a shard; bytes and hash of each file."""
    folder.mkdir()
    described = {}
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        write_array(path, array)
        described[path.name] = {"bytes": path.stat().st_size, "sha256": hash_of(path)}
    return described
