"""Steps of pre-training: the trainer beside transformers' BertForPreTraining in a plain loop.

Each tool is a process that stays, so that both are warm; they take turns, one round each time. A
round is one pass over the same rows, whatever their order.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.contenders import RunFailed, timed
from benchmarks.memory import ENCODER
from benchmarks.results import save_page
from benchmarks.series import BUSY, listed, surroundings
from benchmarks.workers import Told, Worker, take_turns
from bertmod.data.pretraining_files import HEADER_FILE, PretrainingData, read_header
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.engine.trainer import Trainer

BERTMOD, PEER = "bertmod", "transformers"

SHAPES: dict[str, dict[str, int]] = {
    "minilm": {
        name: value for name, value in ENCODER.items() if name not in ("name", "vocab_size")
    },
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}
"""The encoders; the vocabulary decides the rest."""

OPTIMIZER = {"learning_rate": 1e-4, "weight_decay": 0.01, "max_grad_norm": 1.0}

NOTES = (
    "Medians of {rounds} rounds; one more before them does not count. A round is a pass over the "
    "same {rows:,} rows of {mean_length:.1f} tokens on the average, at most {length}, with the "
    "same {masked:,} masks, in {steps} steps of {batch_size} rows; tools and settings take turns. "
    "Fresh weights, a vocabulary of {vocabulary:,}, dropout 0.1, fused AdamW with weight decay, "
    "gradients clipped at 1, {threads} threads. Making batches counts, reading the data does not.",
    "The last column is the median over the rounds of how many steps are made while the fastest "
    "setting of transformers ({best}) makes one.",
    "bertmod packs rows one behind another and projects masked positions alone onto the "
    "vocabulary. transformers pads rows to the longest of their batch and projects every position, "
    "as its BertForPreTraining does. Grouped: all rows of a round are sorted by length before they "
    "are cut into batches, so that there is the least padding there can be.",
)


class Contender(NamedTuple):
    """What takes turns.

    Attributes:
        tool: Who trains.
        setting: The recipe's precision, or one of the peer's ways.
    """

    tool: str
    setting: str

    @property
    def name(self) -> str:
        """What the page calls it."""
        return f"{self.tool} {self.setting}"


CONTENDERS = (
    Contender(BERTMOD, "auto"),
    Contender(PEER, "bf16"),
    Contender(PEER, "bf16 grouped"),
    Contender(BERTMOD, "fp32"),
    Contender(PEER, "fp32"),
)


@dataclass(frozen=True)
class Work:
    """What all contenders do.

    Attributes:
        folder: Working files.
        vocab: Vocabulary.
        shape: Key of ``SHAPES``.
        steps: Steps of a round.
        rounds: Rounds that count.
        threads: Threads of each process.
        batch_size: Rows of a step.
        length: Longest row, tokens.
    """

    folder: Path
    vocab: Path
    shape: str
    steps: int
    rounds: int
    threads: int
    batch_size: int = 32
    length: int = 128

    @property
    def data(self) -> Path:
        """The rows, a folder of pre-training data with a single shard."""
        return self.folder / "data"

    @property
    def shard(self) -> Path:
        """Their arrays."""
        (shard,) = read_header(self.data)["shards"]
        return self.data / str(shard["name"])

    def rows(self) -> dict[str, Any]:
        """How many they are and how long, and the multiply-adds of a pass over them, doubled."""
        lengths = PretrainingData(self.data).row_lengths()
        masked = int(np.load(self.shard / "masked_bounds.npy")[-1])
        size = read_header(self.data)["vocabulary"]["size"]
        return {
            "rows": len(lengths),
            "tokens": int(lengths.sum()),
            "mean_length": float(lengths.mean()),
            "masked": masked,
            "vocabulary": size,
            "operations": operations(lengths, masked, SHAPES[self.shape], vocab_size=size),
        }


def measure(work: Work, corpus: Path, output: Path, *, python: Path, busy: bool = False) -> str:
    """Make the rows, time rounds of all contenders in turn, and write the medians.

    Args:
        work: What they do; its folder is made anew.
        corpus: Text, a sentence a line and a blank line between documents.
        output: JSON file; a Markdown page goes beside it.
        python: Interpreter of the environment that has transformers.
        busy: Whether to say that the timings mean nothing.

    Returns:
        The page.

    Raises:
        RunFailed: If a process fails, or a contender leaves rows out.
        DataError: If the corpus is too small.
    """
    make_rows(corpus, work)
    rows = work.rows()
    with (
        _peer(work, python, vocab_size=rows["vocabulary"]) as peer,
        ProcessPoolExecutor(1, get_context("spawn")) as own,
    ):
        rate = own.submit(matrix_rate, work.threads).result()

        def pass_of(each: Contender) -> Told:
            if each.tool == PEER:
                found = peer.round(each.setting)
            else:
                found = own.submit(own_round, work, each.setting).result()
            if any(found[name] != rows[name] for name in ("rows", "tokens")):
                raise RunFailed(f"{each.name}: not the rows of the others: {found}")
            return found

        ways = {each.name: partial(pass_of, each) for each in CONTENDERS}
        told = take_turns(ways, rounds=work.rounds)
    about = surroundings()
    about["machine"]["threads"] = work.threads
    about["versions"][PEER] = peer.about
    numbers = {name: each for name, each in asdict(work).items() if not isinstance(each, Path)}
    values = about | numbers | {"busy": busy, "data": rows, "bf16_rate": rate, "measured": told}
    text = page(values)
    save_page(output, json.dumps(values, indent=2) + "\n", text)
    return text


def make_rows(corpus: Path, work: Work) -> None:
    """Make pre-training data with as many rows as a round has, drawn from all of a corpus.

    Raises:
        RunFailed: If it cannot be made.
        DataError: If the corpus gives fewer rows.
    """
    shutil.rmtree(work.folder, ignore_errors=True)
    work.folder.mkdir(parents=True)
    wanted = work.steps * work.batch_size
    options = {
        "--vocab": work.vocab,
        "--output": work.data,
        "--max-seq-length": work.length,
        "--dupe-factor": 1,
        "--shard-instances": wanted,
    }
    words = [str(word) for option in options.items() for word in option]
    command = (sys.executable, "-m", "bertmod", "pretraining-data", str(corpus), *words)
    timed(command, log=work.folder / "output.txt")
    header = read_header(work.data)
    first = header["shards"][0]
    if first["instances"] != wanted:
        raise DataError(
            f"{corpus}: {first['instances']:,} rows, but a round has {wanted:,}\n"
            "  name a longer text, or fewer --steps"
        )
    # Rows are in random order, so that those of a shard are a sample.
    (work.data / HEADER_FILE).write_text(json.dumps({**header, "shards": [first]}))


def operations(
    lengths: np.ndarray, masked: int, shape: Mapping[str, int], *, vocab_size: int
) -> float:
    """Additions and multiplications of matrix products that a pass over rows needs.

    Args:
        lengths: Tokens of each row, (rows,), int64.
        masked: Masked tokens of all rows.
        shape: One of ``SHAPES``.
        vocab_size: Pieces of the vocabulary.

    Returns:
        Of forward and backward pass, each token of a layer once, and only masked ones projected.
    """
    hidden, inner = shape["hidden_size"], shape["intermediate_size"]
    weights = 4 * hidden**2 + 2 * hidden * inner
    layer = 2 * weights * lengths.sum() + 4 * hidden * (lengths.astype(float) ** 2).sum()
    heads = 2 * masked * (hidden**2 + hidden * vocab_size)
    return float(3 * (shape["num_hidden_layers"] * layer + heads))


def matrix_rate(threads: int) -> float:
    """Additions and multiplications a second of a large bf16 matrix product in this process."""
    import torch

    torch.set_num_threads(threads)
    size, times = 2048, []
    matrix = torch.randn(size, size).bfloat16()
    for _ in range(6):
        begun = time.perf_counter()
        torch.matmul(matrix, matrix)
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / median(times[1:])


def own_round(work: Work, precision: str) -> dict[str, Any]:
    """Train a pass over the rows with a trainer that stays in this process."""
    trainer = _trainer(work, precision)
    begun = time.perf_counter()
    steps = [trainer.train_step()[1] for _ in range(work.steps)]
    seconds = time.perf_counter() - begun
    tokens = sum(step.tokens for step in steps)
    return {
        "seconds": seconds,
        "steps": len(steps),
        "rows": sum(step.features for step in steps),
        "tokens": tokens,
        "computed": tokens,
        "precision": trainer.settings.precision,
    }


@cache
def _trainer(work: Work, precision: str) -> Trainer:
    """The trainer of ``bertmod run``, without its folder."""
    import torch

    from bertmod.assemble.run import assemble
    from bertmod.recipe.resolve import resolve
    from bertmod.registry import load_registry

    torch.set_num_threads(work.threads)
    registry = load_registry()
    recipe = resolve(_recipe(work, precision), registry)
    return assemble(recipe, registry).trainer(quiet=True)


def _recipe(work: Work, precision: str) -> dict[str, Any]:
    task = {"name": "pretraining", "dev": ".", "masking": {"kind": "static"}}
    return {
        "data": {"dir": str(work.data), "max_length": work.length},
        "tasks": [task],
        "tokenizer": {"name": "wordpiece", "vocab": str(work.vocab)},
        "encoder": {"name": "bert", **SHAPES[work.shape]},
        "optimizer": {"name": "adamw", **OPTIMIZER},
        "training": {
            "num_epochs": work.rounds + 1,
            "steps_per_epoch": work.steps,
            "global_batch_size": work.batch_size,
            "precision": precision,
            "device": "cpu",
        },
    }


def _peer(work: Work, python: Path, *, vocab_size: int) -> Worker:
    """The process that has transformers."""
    shape = SHAPES[work.shape] | {"vocab_size": vocab_size}
    given = {"rows": str(work.shard), "shape": shape, "threads": work.threads, **OPTIMIZER}
    return Worker(
        "transformers_pretraining_steps",
        given | {"batch_size": work.batch_size},
        python=python,
        folder=work.folder,
        name="peer",
        peer=True,
    )


def page(values: Mapping[str, Any]) -> str:
    """The measurements as a Markdown page.

    Args:
        values: What ``measure`` writes as JSON.
    """
    told = values["measured"]
    seconds = {name: [each["seconds"] for each in runs] for name, runs in told.items()}
    peers = [each.name for each in CONTENDERS if each.tool == PEER]
    best = min(peers, key=lambda name: median(seconds[name]))
    titles = "s a step | real tokens a second | computed for a real token"
    notes = [note.format(**{**values, **values["data"], "best": best}) for note in NOTES]
    return "\n".join(
        [
            f"# Steps of pre-training, shape {values['shape']}",
            "",
            f"| | precision | {titles} | share of the bf16 rate | steps / best of {PEER} |",
            f"| --- | --- |{' ---: |' * 5}",
            *(_row(name, values, rivals=seconds[best]) for name in told),
            "",
            *(f"{note}\n" for note in notes + ([BUSY] if values["busy"] else [])),
            f"The bf16 rate is that of one large matrix product, {values['bf16_rate'] / 1e9:,.0f} "
            "GFLOP/s; the share counts what must be computed, not padding.\n",
            f"- machine: {listed(values['machine'])}",
            f"- bertmod: {listed(values['versions'][BERTMOD])}",
            f"- transformers: {listed(values['versions'][PEER])}",
            f"- command: `{values['command']}`",
            "",
        ]
    )


def _row(name: str, values: Mapping[str, Any], *, rivals: list[float]) -> str:
    """A contender's line of the table; ``rivals`` are the seconds of the peer's best setting."""
    runs, data = values["measured"][name], values["data"]
    seconds = [run["seconds"] for run in runs]
    precision = runs[-1].get("precision", name.split()[1])
    share = data["operations"] / median(seconds) / values["bf16_rate"]
    ratio = median(rival / own for rival, own in zip(rivals, seconds, strict=True))
    computed = median(run["computed"] for run in runs) / data["tokens"]
    return (
        f"| {name} | {precision} | {median(seconds) / values['steps']:.3f} | "
        f"{data['tokens'] / median(seconds):,.0f} | {computed:.3f} | "
        f"{f'{share:.0%}' if precision == 'bf16' else ''} | {ratio:.2f} |"
    )
