"""Pre-training data: ``bertmod pretraining-data`` beside the same algorithm in plain Python.

Every measurement is a process of its own, and counts from its start to its end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, groupby
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import PROGRAMS, RunFailed
from benchmarks.machine import ROOT
from benchmarks.results import save_page
from benchmarks.series import BUSY, listed, surroundings

BERTMOD, PLAIN = "bertmod", "plain Python"
NOTES = (
    "Google's defaults: rows of 128 tokens, 20 masks at most, ten passes over the corpus; a "
    "process from its start to its end. Seconds of processors are those of all its processes "
    "together, so that they do not depend on other work, and thousands of pieces a second are of "
    "the corpus, once, by these. Memory is that of the largest process.",
    "Plain Python is the algorithm over a tokenizer that goes character by character, with "
    "everything in memory; it writes bytes, where the original makes TFRecords.",
)

ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump(
    [time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss], sys.stdout
)
sys.exit(status)
"""
"""Starts a program from a small process, whose memory does not count as the program's."""


@dataclass(frozen=True)
class Measured:
    """One process.

    Attributes:
        tool: Who made the data.
        workers: Its processes.
        megabytes: Text of the corpus.
        seconds: Elapsed.
        processor_seconds: Of all its processes.
        peak_mib: Memory of the largest one.
    """

    tool: str
    workers: int
    megabytes: float
    seconds: float
    processor_seconds: float
    peak_mib: float


def measure(
    corpus: Path,
    vocab: Path,
    output: Path,
    *,
    sizes: Sequence[float],
    plain_sizes: Sequence[float],
    workers: Sequence[int],
    repeats: int,
    busy: bool = False,
) -> str:
    """Time both tools on corpora of several sizes, and write the medians.

    Args:
        corpus: Text, a sentence a line and a blank line between documents, repeated to the sizes.
        vocab: Vocabulary.
        output: JSON file; a Markdown page and a folder of working files go beside it.
        sizes: Sizes for bertmod, MB.
        plain_sizes: Sizes for plain Python, MB; those of ``sizes`` too are compared.
        workers: Numbers of processes of bertmod.
        repeats: Rounds.
        busy: Whether to say that elapsed seconds mean nothing.

    Returns:
        The page.

    Raises:
        RunFailed: If a process fails.
    """
    work = output.resolve().with_suffix("")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pieces = {}
    found: list[Measured] = []
    for size in sorted({*sizes, *plain_sizes}):
        text = work / f"{size:g}.txt"
        _repeated(corpus, text, num_bytes=int(size * 1e6))
        for _ in range(repeats):
            for each in workers if size in sizes else ():
                found.append(_own(text, vocab, work / "out", workers=each, megabytes=size))
                header = json.loads((work / "out" / "data.json").read_text())
                pieces[size] = header["statistics"]["pieces"]
            if size in plain_sizes:
                found.append(_plain(text, vocab, work / "plain", megabytes=size))
        text.unlink()
    values = {
        **surroundings(),
        "repeats": repeats,
        "busy": busy,
        "pieces": pieces,
        "measured": [asdict(each) for each in found],
    }
    page = _page(values, [_median(runs) for runs in _groups(found)], pieces)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def _repeated(corpus: Path, target: Path, *, num_bytes: int) -> None:
    """Write documents of a corpus over and over until there is so much text."""
    documents = corpus.read_text(encoding="utf-8").split("\n\n")
    written = 0
    with target.open("w", encoding="utf-8") as file:
        for document in cycle(documents):
            written += file.write(f"{document.strip()}\n\n")
            if written >= num_bytes:
                return


def _own(text: Path, vocab: Path, out: Path, *, workers: int, megabytes: float) -> Measured:
    shutil.rmtree(out, ignore_errors=True)
    command = ("bertmod", "pretraining-data", text, "--vocab", vocab, "--output", out)
    words = (sys.executable, "-m", *command, "--workers", workers)
    return _timed(BERTMOD, words, workers=workers, megabytes=megabytes)


def _plain(text: Path, vocab: Path, out: Path, *, megabytes: float) -> Measured:
    words = (sys.executable, PROGRAMS / "plain_pretraining.py", text, vocab, out)
    return _timed(PLAIN, words, workers=1, megabytes=megabytes)


def _timed(tool: str, words: Sequence[Any], *, workers: int, megabytes: float) -> Measured:
    """Run a program on one core for each process."""
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    launched = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *map(str, words)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if launched.returncode:
        raise RunFailed(f"exit status {launched.returncode} of: {' '.join(map(str, words))}")
    seconds, processor, peak = json.loads(launched.stdout)
    return Measured(tool, workers, megabytes, seconds, processor, peak / 1024)


def _groups(found: Sequence[Measured]) -> list[list[Measured]]:
    """The rounds of each measurement together."""

    def what(each: Measured) -> tuple[Any, ...]:
        return each.megabytes, each.tool, each.workers

    return [list(group) for _, group in groupby(sorted(found, key=what), key=what)]


def _median(runs: Sequence[Measured]) -> Measured:
    first, numbers = runs[0], ("seconds", "processor_seconds", "peak_mib")
    medians = {name: median(getattr(run, name) for run in runs) for name in numbers}
    return Measured(first.tool, first.workers, first.megabytes, **medians)


def _page(values: Mapping[str, Any], found: Sequence[Measured], pieces: Mapping[float, int]) -> str:
    plain = {each.megabytes: each.processor_seconds for each in found if each.tool == PLAIN}
    rows = []
    for each in found:
        rate = pieces[each.megabytes] / each.processor_seconds / 1000
        faster = plain.get(each.megabytes)
        ratio = f"{faster / each.processor_seconds:.1f}" if faster else ""
        rows.append(
            f"| {each.megabytes:g} | {each.tool} | {each.workers} | {each.seconds:.1f} | "
            f"{each.processor_seconds:.1f} | {rate:,.0f} | {each.peak_mib:.0f} | {ratio} |"
        )
    titles = "text, MB | tool | processes | seconds | seconds of processors | 1000 pieces a second"
    notes = [*NOTES, *([BUSY] if values["busy"] else [])]
    return "\n".join(
        [
            "# Making pre-training data",
            "",
            *notes,
            "",
            f"| {titles} | peak memory, MiB | times as fast per core |",
            f"|{' ---: | --- |'}{' ---: |' * 6}",
            *rows,
            "",
            f"- machine: {listed(values['machine'])}",
            f"- bertmod: {listed(values['versions']['bertmod'])}",
            f"- medians of {values['repeats']} rounds; `{values['command']}`",
            "",
        ]
    )
