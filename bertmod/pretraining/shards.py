"""Planned rows to shards of the output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bertmod.data.durable import WRITING, write_file, write_folder
from bertmod.data.masking import Masks, choose_masks
from bertmod.data.pretraining_files import hash_of, write_array
from bertmod.data.pretraining_records import write_records
from bertmod.data.ragged import bounds_of, runs
from bertmod.data.random_bits import permuted
from bertmod.pretraining.job import Job
from bertmod.pretraining.rows import plan_file
from bertmod.pretraining.stored import ROW, ROWS_FILE, Corpus, Plan, mapped

BLOCK_ROWS = 2048
"""Rows that are built at once: their arrays fit into a processor's cache."""

_ORDER = 0x5851F42D4C957F2D
"""Keeps the key of the rows' order apart from those of their masks."""


class Shard(NamedTuple):
    """Some rows of the output.

    Attributes:
        number: Place among the shards, from 0.
        first: The first row.
        end: The one behind the last.
    """

    number: int
    first: int
    end: int


def join_plan(job: Job, num_parts: int) -> int:
    """Join the planned rows of all groups of documents; the number of rows.

    Raises:
        OSError: If they cannot be written.
    """
    whole = job.plan / ROWS_FILE
    if not whole.exists():
        aside = job.plan / f"{WRITING}{ROWS_FILE}"
        with aside.open("wb") as file:
            for number in range(num_parts):
                file.write(mapped(plan_file(job.plan, number), ROW).data)
        aside.rename(whole)
        for number in range(num_parts):
            plan_file(job.plan, number).unlink()
    return whole.stat().st_size // ROW.itemsize


def shards_of(num_rows: int, size: int) -> list[Shard]:
    """Shards of so many rows each, the last one perhaps smaller."""
    starts = range(0, num_rows, size)
    return [Shard(n, first, min(first + size, num_rows)) for n, first in enumerate(starts)]


def shard_name(job: Job, shard: Shard, num_shards: int) -> str:
    """File or folder of a shard."""
    if job.options.form == "tfrecord":
        return f"pretraining-{shard.number:05d}-of-{num_shards:05d}.tfrecord"
    return f"shard-{shard.number:05d}"


def write_shard(job: Job, task: tuple[Shard, int]) -> int:
    """Write a shard and the report on it, unless they are there.

    Args:
        job: What is made.
        task: The shard, and how many there are.

    Returns:
        The number of rows.

    Raises:
        OSError: If they cannot be written.
    """
    shard, num_shards = task
    report = job.reports / f"{shard.number:05d}.json"
    if not report.exists():
        arrays, counts = _built(job, shard)
        target = job.output / shard_name(job, shard, num_shards)
        if job.options.form == "tfrecord":
            write_records(target, arrays, **_record_options(job))
            files = {"": target}
        else:
            with write_folder(target) as folder:
                for name, array in arrays.items():
                    write_array(folder / f"{name}.npy", array)
            files = {f"{name}.npy": target / f"{name}.npy" for name in arrays}
        described = {
            name: {"bytes": path.stat().st_size, "sha256": hash_of(path)}
            for name, path in files.items()
        }
        facts = {"name": target.name, "instances": counts["instances"], "files": described}
        write_file(report, json.dumps({"shard": facts, "counts": counts}))
    return shard.end - shard.first


def _record_options(job: Job) -> dict[str, int]:
    return {
        "max_seq_length": job.options.max_seq_length,
        "max_predictions_per_seq": job.options.max_predictions_per_seq,
    }


def _built(job: Job, shard: Shard) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The arrays of a shard, and what is counted of it."""
    blocks = list(_blocks(job, shard))
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    lengths = joined.pop("lengths")
    masking = job.options.mask_options
    counts = {
        "instances": len(lengths),
        "tokens": int(lengths.sum()),
        "random_next": int(joined.get("next_sentence_labels", np.zeros(0)).sum()),
        "wanted_masks": int(masking.wanted(lengths).sum()),
        "cut_masks": int((masking.wanted(lengths) - masking.num_masked(lengths)).sum()),
    }
    arrays = {"bounds": bounds_of(lengths), **joined}
    if "num_masks" in arrays:
        arrays["masked_bounds"] = bounds_of(arrays.pop("num_masks"))
        counts["masked"] = len(arrays["masked_positions"])
    return arrays, counts


def _blocks(job: Job, shard: Shard) -> Iterator[dict[str, np.ndarray]]:
    """Arrays of some rows at a time, lengths in place of bounds."""
    corpus, plan = job.text, job.planned
    whole_N = _numbers(job, plan, shard)
    for start in range(0, len(whole_N), BLOCK_ROWS):
        number_N = whole_N[start : start + BLOCK_ROWS]
        rows = plan.rows.take(number_N)  # several times as fast as an index is for records
        block = _laid_out(job, corpus, rows)
        if job.options.masking == "static":
            masks = _masks(job, plan, number_N, rows, block)
            block["masked_positions"] = masks.position.astype(np.int32)
            block["masked_labels"] = block["tokens"].take(masks.place)
            block["num_masks"] = np.diff(masks.bounds)
            block["tokens"][masks.place] = masks.shown
            block.pop("continues", None)
        yield block


def _numbers(job: Job, plan: Plan, shard: Shard) -> np.ndarray:
    """Which planned rows a shard has, in its order, (rows,), int64."""
    place_N = np.arange(shard.first, shard.end)
    if plan.order is not None:
        return np.asarray(plan.order[place_N])
    return permuted(place_N, len(plan.rows), key=job.options.random_seed % 2**64 ^ _ORDER)


def _laid_out(job: Job, corpus: Corpus, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rows ``[CLS] A [SEP] B [SEP]``, or without B."""
    special = job.tokenizer.special
    first_N, second_N = (
        rows["first_length"].astype(np.int64),
        rows["second_length"].astype(np.int64),
    )
    tail_N = np.where(second_N > 0, second_N + 1, 0)
    length_N = first_N + 2 + tail_N
    bounds = bounds_of(length_N)
    # [CLS] A and [SEP] B [SEP] are runs of the corpus, each with what stands around it there, in
    # whose place the special tokens come.
    source = runs(
        np.stack([rows["first"] - 1, rows["second"] - 1], axis=1).reshape(-1),
        np.stack([first_N + 1, tail_N + 1], axis=1).reshape(-1),
    )
    sep = np.concatenate([bounds[:-1] + first_N + 1, bounds[1:] - 1])
    tokens = corpus.tokens.take(source, mode="clip")
    tokens[bounds[:-1]], tokens[sep] = special["[CLS]"], special["[SEP]"]
    block = {"lengths": length_N, "tokens": tokens, "first_lengths": (first_N + 2).astype(np.int32)}
    if job.options.pairs:
        block["next_sentence_labels"] = rows["label"].astype(np.uint8)
    if corpus.continues is not None:
        block["continues"] = corpus.continues.take(source, mode="clip")
        block["continues"][bounds[:-1]] = block["continues"][sep] = False
    return block


def _masks(
    job: Job, plan: Plan, number_N: np.ndarray, rows: np.ndarray, block: dict[str, np.ndarray]
) -> Masks:
    """The masks of a block: drawn now, or those that were planned."""
    bounds = bounds_of(block["lengths"])
    if plan.mask_bounds is None or plan.positions is None or plan.shown is None:
        return choose_masks(
            block["tokens"],
            bounds,
            block["first_lengths"].astype(np.int64),
            rows["key"],
            masking=job.options.mask_options,
            pieces=job.pieces,
            continues_T=block.get("continues"),
        )
    num_N = rows["num_masks"].astype(np.int64)
    taken = runs(plan.mask_bounds[number_N], num_N)
    position = plan.positions[taken].astype(np.int64)
    place = np.repeat(bounds[:-1], num_N) + position
    return Masks(place, position, bounds_of(num_N), plan.shown[taken])
