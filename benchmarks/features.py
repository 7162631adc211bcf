"""Features of lines: ``bertmod features`` beside a loop over batches with transformers.

Every measurement is a process of its own, so that nothing is warm; both tools take turns.
"""

from __future__ import annotations

import csv
import json
import resource
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders import PROGRAMS, timed
from benchmarks.results import save_page
from benchmarks.series import BUSY, listed, surroundings

BERTMOD, PEER = "bertmod", "transformers"
FILES = ("MRPC/train.tsv", "MRPC/dev.tsv")
"""Whose sentences are the lines."""

NOTES = (
    "Medians of {repeats} rounds; imports and the loading of weights do not count, reading lines "
    "and writing the output do. {threads} threads, fp32, batches of 32 lines, at most 128 tokens.",
    "transformers is a loop: batches in the order of the lines, padded to their longest row by a "
    "fast tokenizer; JSON lines by Python's round and json.",
)


@dataclass(frozen=True)
class Load:
    """What is taken of how many lines.

    Attributes:
        title: What the page calls it.
        layers: Layers written as JSON lines; none: the mean of the last layer, as arrays.
        share: Share of the lines that are taken.
    """

    title: str
    layers: tuple[int, ...]
    share: float


LOADS = {
    "mean": Load("a mean vector each", (), 1.0),
    "jsonl": Load("last four layers, JSON lines", (-1, -2, -3, -4), 0.25),
}


@dataclass(frozen=True)
class Work:
    """Files of one load.

    Attributes:
        folder: Where they lie.
        lines: The lines, a text file.
        settings: What both tools are given.
    """

    folder: Path
    lines: Path
    settings: Mapping[str, Any]


def measure(
    data: Path,
    output: Path,
    *,
    checkpoint: str,
    python: Path,
    repeats: int,
    num_lines: int | None = None,
    busy: bool = False,
) -> str:
    """Time both tools in turn, compare their numbers, and write the medians.

    Args:
        data: Folder that has MRPC/.
        output: JSON file; a Markdown page and a folder of working files go beside it.
        checkpoint: Weights in the Hugging Face layout.
        python: Interpreter of the environment that has transformers.
        repeats: Rounds.
        num_lines: Lines; None for all.
        busy: Whether to say that the timings mean nothing.

    Returns:
        The page.

    Raises:
        RunFailed: If the peer's program fails.
        BertmodError: If the data or the checkpoint cannot be used.
    """
    sentences = read_sentences(data)[:num_lines]
    values: dict[str, Any] = {**surroundings(), "repeats": repeats, "busy": busy, "loads": {}}
    for name, load in LOADS.items():
        work = _work(output.resolve().with_suffix("") / name, sentences, load, checkpoint)
        told: dict[str, list[dict[str, Any]]] = {BERTMOD: [], PEER: []}
        for number in range(repeats):
            for tool in sorted(told, reverse=bool(number % 2)):
                told[tool].append(_own(work) if tool == BERTMOD else _peer(work, python))
        values["loads"][name] = {
            "lines": work.settings["num_lines"],
            "measured": told,
            "difference": largest_difference(work),
        }
    page = _page(values)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def read_sentences(data: Path) -> list[str]:
    """The sentences of MRPC's files, in their order."""
    found = []
    for name in FILES:
        with (data / name).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            next(rows)
            found += [text for row in rows for text in row[3:5]]
    return found


def own_features(work: Work) -> dict[str, Any]:
    """Seconds and memory that bertmod takes."""
    from bertmod.data.unfinished import Unfinished
    from bertmod.inference.feature_files import FileOptions, write_features
    from bertmod.inference.feature_lines import LineFile
    from bertmod.inference.features import Extractor, FeatureOptions
    from bertmod.inference.resident import load_encoder

    settings, out = work.settings, work.folder / "bertmod"
    layers = tuple(settings["layers"])
    base = load_encoder(settings["checkpoint"], device="cpu")
    _ = base.hash  # taken when the weights are loaded
    begun = time.perf_counter()
    options = FeatureOptions(layers=layers, mean=not layers, max_length=settings["max_length"])
    write_features(
        LineFile.of(str(work.lines)),
        Extractor(base, options),
        Unfinished(out, resume=False),
        FileOptions("jsonl" if layers else "npz"),
        checkpoint=settings["checkpoint"],
        advance=lambda _: None,
    )
    return {
        "seconds": time.perf_counter() - begun,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def largest_difference(work: Work) -> float:
    """Largest difference of a number between what the two tools wrote last."""
    own, peer = work.folder / "bertmod", work.folder / "transformers"
    if own.is_file():
        return max(
            float(np.abs(_numbers(ours) - _numbers(theirs)).max())
            for ours, theirs in zip(_lines(own), _lines(peer), strict=True)
        )
    shards = sorted(own.glob("*.npz"))
    vectors = np.concatenate([np.load(shard)["mean"] for shard in shards])
    return float(np.abs(vectors - np.load(peer)).max())


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def _numbers(line: str) -> np.ndarray:
    """The states of a line of JSON, of a token behind those of the token before."""
    features = json.loads(line)["features"]
    return np.array([layer["values"] for each in features for layer in each["layers"]])


def _work(folder: Path, sentences: list[str], load: Load, checkpoint: str) -> Work:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = sentences[: max(round(load.share * len(sentences)), 1)]
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in chosen), encoding="utf-8")
    settings = {
        "checkpoint": checkpoint,
        "layers": list(load.layers),
        "batch_size": 32,
        "max_length": 128,
        "num_lines": len(chosen),
    }
    return Work(folder, folder / "lines.txt", settings)


def _own(work: Work) -> dict[str, Any]:
    out = work.folder / "bertmod"
    if out.is_dir():
        shutil.rmtree(out)
    else:
        out.unlink(missing_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        return pool.submit(own_features, work).result()


def _peer(work: Work, python: Path) -> dict[str, Any]:
    settings, result = work.folder / "given.json", work.folder / "result.json"
    settings.write_text(json.dumps(dict(work.settings)), encoding="utf-8")
    vectors = work.folder / ("transformers" if work.settings["layers"] else "transformers.npy")
    program = PROGRAMS / "transformers_features.py"
    command = map(str, (python, program, work.lines, settings, result, vectors))
    timed(tuple(command), log=work.folder / "output.txt")
    vectors.rename(work.folder / "transformers")
    told: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return told


def _page(values: Mapping[str, Any]) -> str:
    about = {"repeats": values["repeats"], "threads": values["machine"]["threads"]}
    notes = [note.format(**about) for note in NOTES] + ([BUSY] if values["busy"] else [])
    peer = values["loads"]["mean"]["measured"][PEER][-1]["versions"]
    return "\n".join(
        [
            "# Features of lines",
            "",
            "| of each line | lines | | bertmod | transformers | bertmod / transformers |",
            "| --- | ---: | --- | ---: | ---: | ---: |",
            *(row for name in LOADS for row in _rows(name, values["loads"][name])),
            "",
            *(f"{note}\n" for note in notes),
            f"- machine: {listed(values['machine'])}",
            f"- bertmod: {listed(values['versions']['bertmod'])}",
            f"- transformers: {listed(peer)}",
            f"- command: `{values['command']}`",
            "",
        ]
    )


def _rows(name: str, found: Mapping[str, Any]) -> list[str]:
    """Lines of the table for one load: speed and memory; ratios are medians over the rounds."""
    ours, theirs, lines = found["measured"][BERTMOD], found["measured"][PEER], found["lines"]
    speeds = [[lines / run["seconds"] for run in runs] for runs in (ours, theirs)]
    memory = [[run["peak_mib"] for run in runs] for runs in (ours, theirs)]
    start = f"| {LOADS[name].title} | {lines:,} |"
    return [
        f"{start} {title} | {median(a):,.0f} | {median(b):,.0f} | "
        f"{median(x / y for x, y in zip(a, b, strict=True)):.2f} |"
        for title, (a, b) in (("lines a second", speeds), ("peak memory, MiB", memory))
    ] + [f"{start} largest difference | {found['difference']:.1e} | | |"]
