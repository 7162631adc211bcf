"""Answers to pairs of texts, from file to file."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contenders import timed
from benchmarks.settings import FineTuning
from benchmarks.speed import targets
from benchmarks.speed.contest import Contender, Group, Ratio, Staff
from benchmarks.speed.page import SHARE
from benchmarks.speed.pairs import (
    LABELS,
    Pair,
    drawn,
    read_pairs,
    slot,
    write_table,
    write_tokens,
)
from benchmarks.speed.shapes import operations
from benchmarks.speed.train import Load

ROWS = 20_000
DEV_ROWS = 200
STEPS = {"minilm": 100, "base": 8, "large": 2}
"""Training steps before: speed does not depend on them, whether answers can differ does."""

FORMS = ("onnx", "int8")
"""Exporters, and the folders that they write."""

NOTES = (
    "A round reads {rows:,} pairs from a file, MRPC's training rows again and again, tokenises "
    "them, answers and writes a file: {tokens:,} tokens, {mean_length:.1f} a row, at most "
    "{length}. Imports and the loading of weights do not count. Every tool has the weights of one "
    "run of {steps} steps, bertmod's fp32 contender those of another.",
    "`transformers fp32 pipeline` takes the rows as they are given, in batches of 32; sorted: a "
    "loop over batches of 32 rows sorted by length, the weights converted once. onnxruntime takes "
    "the files of `bertmod export`, in such batches too.",
    SHARE,
)


@dataclass(frozen=True)
class Answered:
    """What is answered, and by what.

    Attributes:
        shape: Key of ``WIDTHS``.
        folder: Working files.
        lengths: Tokens of each row, (rows,), int64.
        steps: Training steps before.
        max_length: Longest row, tokens.
    """

    shape: str
    folder: Path
    lengths: np.ndarray
    steps: int
    max_length: int

    @property
    def table(self) -> Path:
        """The rows."""
        return self.folder / "pairs.tsv"

    def own(self, run: str, name: str, *, export: str | None = None) -> Staff:
        """A worker of bertmod on a run, or on what was exported of it."""
        settings = {
            "run": str(self.folder / run),
            "export": export and str(self.folder / export),
            "task": "pairs",
            "columns": "text,text_pair",
            **self._files(name),
        }
        return Staff("bertmod_predictions", settings)

    def exported(self, form: str, name: str) -> Staff:
        """A worker of onnxruntime on an exported folder."""
        settings = {"model": str(self.folder / form), "labels": LABELS, **self._files(name)}
        return Staff("onnxruntime_predictions", settings, "onnxruntime")

    def transformers(self) -> Staff:
        """The worker of transformers."""
        settings = {"model": str(self.folder / "transformers"), **self._files("transformers")}
        return Staff("transformers_predictions", settings, "transformers")

    def _files(self, name: str) -> dict[str, Any]:
        output = str(self.folder / name.replace(" ", "-"))
        return {
            "input": str(self.table),
            "output": output if name == "transformers" else f"{output}.tsv",
            "max_length": self.max_length,
        }


def prepare(
    data: Path, weights: str, folder: Path, *, shape: str, num_rows: int, steps: int
) -> Answered:
    """Write the rows, train on some of them, and write what was trained for the peers.

    Args:
        data: Folder that has MRPC/.
        weights: Weights of the shape.
        folder: Working files.
        shape: Key of ``WIDTHS``.
        num_rows: Rows to answer.
        steps: Training steps before.

    Raises:
        RunFailed: If a command of bertmod's fails.
        DataError: If MRPC cannot be read.
    """
    for former in folder.glob("*.tsv"):
        former.unlink()
    pairs = read_pairs(data, weights)
    rows = drawn(pairs, num_rows)
    lengths = write_tokens(write_table(rows, folder / "asked.jsonl"), weights, folder / "ids.json")
    settings = FineTuning(steps=steps)
    write_table(drawn(pairs, steps * settings.batch_size), folder / "pairs.jsonl")
    write_table(pairs[:DEV_ROWS], folder / "dev.jsonl")
    answered = Answered(shape, folder, lengths, steps, settings.max_length)
    _write_asked(rows, answered.table)
    for run, precision in (("run", "auto"), ("run-fp32", "fp32")):
        _train(Load(shape, weights, folder, steps, settings, lengths), run, precision)
    _write("convert", folder / "run", folder / "transformers", form="huggingface")
    for form in FORMS:
        _write("export", folder / "run", folder / form, form=form)
    return answered


def groups(answered: Answered, *, kind: str) -> list[Group]:
    """What is measured."""
    staff = {
        "bertmod auto": answered.own("run", "bertmod auto"),
        "bertmod fp32": answered.own("run-fp32", "bertmod fp32"),
        "bertmod int8": answered.own("run", "bertmod int8", export="int8"),
        "transformers": answered.transformers(),
        "onnxruntime fp32": answered.exported("onnx", "onnxruntime fp32"),
        "onnxruntime int8": answered.exported("int8", "onnxruntime int8"),
    }
    ways = ("fp32 pipeline", "bf16 sorted", "fp32 sorted")
    contenders = [
        _contender(answered, name, worker=name, precision=_precision(name))
        for name in staff
        if name != "transformers"
    ]
    contenders += [
        _contender(
            answered,
            f"transformers {way}",
            worker="transformers",
            precision=way.split()[0],
            way=way,
        )
        for way in ways
    ]
    goals = targets.PREDICTION
    ratios = [
        Ratio("pipeline", "bertmod auto", "transformers fp32 pipeline", goals["pipeline"]),
        Ratio("sorted, bf16", "bertmod auto", "transformers bf16 sorted", goals["bf16 sorted"]),
        Ratio("sorted, fp32", "bertmod fp32", "transformers fp32 sorted"),
        Ratio("fp32", "bertmod fp32", "onnxruntime fp32", goals["onnxruntime fp32"]),
        Ratio("int8", "bertmod int8", "onnxruntime int8"),
    ]
    share = targets.PREDICTION_SHARE.get(kind)
    shares = {} if share is None else {"bertmod auto": share}
    return [Group("Prediction from file to file", staff, contenders, ratios, shares)]


def notes(answered: Answered) -> list[str]:
    """The notes of the page."""
    values = {
        "rows": len(answered.lengths),
        "tokens": int(answered.lengths.sum()),
        "mean_length": float(answered.lengths.mean()),
        "length": answered.max_length,
        "steps": answered.steps,
    }
    return [*(note.format(**values) for note in NOTES), *_int8_scores(answered.folder)]


def _int8_scores(folder: Path) -> list[str]:
    """What ``bertmod export --to int8`` printed of the scores, if it did."""
    lines = (folder / "int8.txt").read_text(encoding="utf-8").splitlines()
    told = [" ".join(line.split()[1:]) for line in lines if line.startswith("pairs ")]
    return [f"In 8 bits (score in fp32, in int8, change): {'; '.join(told)}."] if told else []


def differing(folder: Path) -> dict[str, str]:
    """How many answers of each file are not those of bertmod in the recipe's own precision."""
    own = folder / "bertmod-auto.tsv"
    if not own.is_file():
        return {}
    answers = _answers(own)
    return {
        path.stem: f"{sum(a != b for a, b in zip(answers, _answers(path), strict=True)):,}"
        for path in sorted(folder.glob("*.tsv"))
        if path.name not in ("pairs.tsv", own.name)
    }


def _answers(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[1] for line in lines]


def _precision(name: str) -> str:
    return name.split()[-1]


def _contender(
    answered: Answered, name: str, *, worker: str, precision: str, way: str = ""
) -> Contender:
    return Contender(
        name=name,
        worker=worker,
        units=float(answered.lengths.sum()),
        way=way,
        precision=precision,
        operations=operations(
            answered.lengths,
            answered.shape,
            encoder_passes=1,
            trimmed=worker in ("bertmod auto", "bertmod fp32"),
        ),
        expected={"rows": len(answered.lengths)},
    )


def _write_asked(rows: list[Pair], path: Path) -> None:
    lines = [f"{each.first}\t{each.second}\n" for each in rows]
    path.write_text("text\ttext_pair\n" + "".join(lines), encoding="utf-8")


def _train(work: Load, run: str, precision: str) -> None:
    """Make a run of some steps.

    Raises:
        RunFailed: If it fails.
    """
    task = {**slot(work.folder / "pairs.jsonl"), "dev": str(work.folder / "dev.jsonl")}
    recipe = work.recipe([task], precision=precision)
    recipe["training"] |= {"num_epochs": 1}
    path = work.folder / f"{run}.json"
    path.write_text(json.dumps(recipe, indent=2), encoding="utf-8")
    out = work.folder / run
    _bertmod("run", path, "--output", out, "--quiet", out=out)


def _write(command: str, run: Path, out: Path, *, form: str) -> None:
    """Write a run in another form.

    Raises:
        RunFailed: If it fails.
    """
    _bertmod(command, run, out, "--to", form, out=out)


def _bertmod(command: str, *words: object, out: Path) -> None:
    """Run a command of bertmod's.

    Args:
        command: Its name.
        words: Its arguments.
        out: What it writes; what a former one wrote there is removed, its output goes beside it.

    Raises:
        RunFailed: If it fails.
    """
    shutil.rmtree(out, ignore_errors=True)
    given = (sys.executable, "-m", "bertmod", command, *map(str, words))
    timed(given, log=out.with_suffix(".txt"))
