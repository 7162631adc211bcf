"""What a training step costs, and a prediction, against all that can grow: points of curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapters import HOULSBY, LORA
from benchmarks.settings import FineTuning
from benchmarks.speed.contest import Contender, Group, Staff
from benchmarks.speed.pairs import Pair, drawn, joined, read_pairs, slot, write_table, write_tokens
from benchmarks.speed.shapes import WIDTHS, operations
from benchmarks.speed.train import Load, num_heads

STEPS = 1
"""Steps of a round, of points of many tokens; those of few make more."""

MOST = {"minilm": 20, "base": 6, "large": 2}
"""Processes at a time: what 24 GB of memory hold."""

ROWS = (1, 2, 4, 8, 16, 32, 64)
LENGTHS = (16, 32, 64, 128, 256, 512)
TASKS = (1, 2, 4, 8, 16, 32, 64)
PALS_SIZES, HOULSBY_SIZES, RANKS = (24, 51, 102, 204, 408), (8, 32, 128, 512), (1, 4, 16, 64)

BATCH_SIZE = 32
"""Rows of a step of the adapters' curves, and the least of a round of the batches' curve."""

TOKENS, FEW_ROWS = 2048, 8
"""Tokens of a step where their number is constant, and rows where that is."""

TASK_LENGTH = 64
"""Tokens of each row of the tasks' curve: all of them have equal steps."""

TASK_ROUND = 8
"""Rounds of the tasks' curve are so many times as long: its steps are short."""

BATCH, TRAINING, PREDICTION, TASK, ADAPTER = "batch", "training", "prediction", "tasks", "adapters"
"""Kinds of curves, by which the page says why they grow."""


@dataclass(frozen=True)
class Point:
    """A contender of a curve.

    Attributes:
        size: What of it grows.
        name: Name of the contender.
        recipe: What its process trains.
        steps: Steps of a round.
        first: Steps before the first round.
        operations: As ``Contender``'s, of a round.
        rows: Rows of a round.
        tokens: Tokens of a round.
        attention: Share of the operations that is the encoder's attention, in [0, 1].
    """

    size: int
    name: str
    recipe: Mapping[str, Any]
    steps: int
    operations: float
    rows: int
    tokens: int
    first: int = 0
    attention: float = 0.0


@dataclass(frozen=True)
class Curve:
    """Points of which one thing grows.

    Attributes:
        title: What the page calls them.
        heading: What grows.
        kind: Why it costs what it costs.
        points: From the smallest.
        way: ``train`` or ``predict``.
        detail: What the page says first of why.
    """

    title: str
    heading: str
    kind: str
    points: Sequence[Point]
    way: str = "train"
    detail: str = ""

    def group(self, most: int) -> Group:
        """The points as contenders that take turns.

        Args:
            most: Processes at a time.
        """
        given = {
            each.name: {"recipe": each.recipe, "steps": each.steps, "first": each.first}
            for each in self.points
        }
        contenders = [
            Contender(
                name=each.name,
                worker="growth",
                units=float(each.tokens),
                way=f"{self.way} {each.name}",
                operations=each.operations,
                expected={"rows": each.rows, "tokens": each.tokens},
            )
            for each in self.points
        ]
        return Group(
            self.title,
            {"growth": Staff("bertmod_growth", {"points": given, "most": most})},
            contenders,
        )

    def shown(self) -> dict[str, Any]:
        """What the page has to know of it, values for JSON."""
        kept = ("size", "name", "steps", "rows", "tokens", "attention")
        points = [{name: vars(each)[name] for name in kept} for each in self.points]
        own = ("heading", "kind", "way", "detail")
        return {**{name: vars(self)[name] for name in own}, "points": points}


@dataclass(frozen=True)
class Added:
    """What the matrix products of an adapter are, in each layer.

    Attributes:
        weights: Weights that a token meets.
        attention: Width of its own attention, 0 without.
    """

    weights: int = 0
    attention: int = 0


@dataclass(frozen=True)
class Work:
    """Where the points come from.

    Attributes:
        shape: Key of ``WIDTHS``.
        checkpoint: Weights of the shape.
        folder: Working files.
        steps: Steps of a round.
        pairs: MRPC's pairs.
    """

    shape: str
    checkpoint: str
    folder: Path
    steps: int
    pairs: list[Pair]

    def own_rows(self, name: str, num: int) -> tuple[Path, np.ndarray]:
        """A table of some of the pairs, and the tokens of each, (rows,), int64."""
        table = write_table(drawn(self.pairs, num), self._file(name))
        return table, write_tokens(table, self.checkpoint, table.with_suffix(".tokens"))

    def equal_rows(self, name: str, num: int, length: int) -> tuple[Path, np.ndarray]:
        """A table of texts that are cut to a length, and that of each, (rows,), int64."""
        table = write_table(joined(self.pairs, num, num_tokens=length), self._file(name))
        return table, np.full(num, length)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.jsonl"

    def recipe(
        self, slots: Sequence[Mapping[str, Any]], settings: FineTuning, **more: Any
    ) -> dict[str, Any]:
        """A recipe of tasks, as ``train`` makes them."""
        load = Load(self.shape, self.checkpoint, self.folder, self.steps, settings, np.empty(0))
        return load.recipe(slots, **more)

    def point(
        self,
        size: int,
        name: str,
        recipe: Mapping[str, Any],
        lengths: np.ndarray,
        *,
        steps: int,
        first: int = 0,
        passes: int = 3,
        added: Added | None = None,
    ) -> Point:
        """A point.

        Args:
            size: What of it grows.
            name: Its name.
            recipe: What its process trains.
            lengths: Tokens of each row of a round, (rows,), int64.
            steps: Steps of a round.
            first: Steps before the first round.
            passes: As ``encoder_passes`` of ``operations``.
            added: Its adapter's products.
        """
        added = added or Added()
        hidden, layers, _ = WIDTHS[self.shape]
        squares = float((lengths.astype(float) ** 2).sum())
        work = operations(
            lengths,
            self.shape,
            encoder_passes=passes,
            added_weights=added.weights,
            trimmed=True,
        )
        scores = 4 * (1 if passes == 1 else 3)
        work += layers * scores * squares * added.attention
        attention = scores * ((layers - 1) * squares + float(lengths.sum()))
        return Point(
            size,
            name,
            recipe,
            steps,
            work,
            rows=len(lengths),
            tokens=int(lengths.sum()),
            first=first,
            attention=attention * hidden / work,
        )


def work(data: Path, weights: str, folder: Path, *, shape: str, steps: int = STEPS) -> Work:
    """What the points are made of.

    Args:
        data: Folder that has MRPC/.
        weights: Weights of the shape.
        folder: Working files.
        shape: Key of ``WIDTHS``.
        steps: Steps of a round.

    Raises:
        DataError: If MRPC cannot be read.
    """
    pairs = read_pairs(data, weights)
    return Work(shape, weights, folder, steps, drawn(pairs, len(pairs)))


def curves(given: Work) -> list[Curve]:
    """All that is measured."""
    rows = given.own_rows("adapters", given.steps * BATCH_SIZE)
    return [
        Curve("Rows of a step", "rows", BATCH, [_batch(given, rows) for rows in ROWS]),
        *_lengths(given, f"{TOKENS:,} tokens a step", lambda length: TOKENS // length),
        *_lengths(given, f"{FEW_ROWS} rows a step", lambda _: FEW_ROWS),
        Curve("Tasks, each with PALs of its own", "tasks", TASK, _tasks(given)),
        *(curve for method in METHODS for curve in _adapters(given, method, *rows)),
    ]


def _batch(given: Work, num_rows: int) -> Point:
    """Rows of their own length; a round of few rows a step has more steps."""
    name, steps = f"batch {num_rows}", max(given.steps, BATCH_SIZE // num_rows)
    table, lengths = given.own_rows(name, steps * num_rows)
    recipe = given.recipe([slot(table)], FineTuning(batch_size=num_rows))
    return given.point(num_rows, name, recipe, lengths, steps=steps)


def _lengths(given: Work, title: str, rows_of: Callable[[int], int]) -> list[Curve]:
    """Training and prediction on rows that are all of one length.

    Args:
        given: What the points are made of.
        title: What is constant.
        rows_of: Length to the rows of a step.
    """
    ways = {"train": ("Training", TRAINING), "predict": ("Prediction", PREDICTION)}
    found = []
    for way, (called, kind) in ways.items():
        passes, points = 3 if way == "train" else 1, []
        for length in LENGTHS:
            num_rows = rows_of(length)
            name = f"{way} {num_rows} of {length}"
            table, lengths = given.equal_rows(name, given.steps * num_rows, length)
            settings = FineTuning(batch_size=num_rows, max_length=length)
            recipe = given.recipe([slot(table)], settings)
            point = given.point(length, name, recipe, lengths, steps=given.steps, passes=passes)
            points.append(point)
        heading = "tokens of a row"
        found.append(Curve(f"{called}, {title}", heading, kind, points, way))
    return found


def _tasks(given: Work) -> list[Point]:
    """Steps of one task after another, so that each has trained before the first round."""
    steps, points = TASK_ROUND * given.steps, []
    settings = FineTuning(batch_size=FEW_ROWS, max_length=TASK_LENGTH)
    table, lengths = given.equal_rows("tasks", steps * FEW_ROWS, TASK_LENGTH)
    size = WIDTHS[given.shape][0] * 204 // 768
    adapter, work = _pals(size, given.shape)
    for num in TASKS:
        slots = [slot(table, id_=f"task_{number}") for number in range(num)]
        recipe = given.recipe(slots, settings, adapters=[adapter])
        recipe["sampler"] = {"name": "round_robin"}
        points.append(
            given.point(num, f"tasks {num}", recipe, lengths, steps=steps, first=num, added=work)
        )
    return points


def _pals(size: int, shape: str) -> tuple[dict[str, Any], Added]:
    """Projected attention, beside every layer."""
    hidden, _, heads = WIDTHS[shape]
    adapter = {"name": "pals", "bottleneck_size": size, "num_heads": num_heads(size, heads)}
    return adapter, Added(2 * hidden * size + 3 * size**2, size)


def _houlsby(size: int, shape: str) -> tuple[dict[str, Any], Added]:
    """Two bottlenecks in every layer."""
    adapter = {**HOULSBY.adapter, "bottleneck_size": size}
    return adapter, Added(4 * WIDTHS[shape][0] * size)


def _lora(rank: int, shape: str) -> tuple[dict[str, Any], Added]:
    """Two sites, query and value."""
    return {**LORA.adapter, "rank": rank}, Added(4 * WIDTHS[shape][0] * rank)


@dataclass(frozen=True)
class Method:
    """A method whose size grows.

    Attributes:
        name: What the page calls it.
        heading: What grows.
        detail: What its matrices are, a sentence.
        sizes: From the smallest.
        adapter: Size and shape to what a recipe says and what its products are.
    """

    name: str
    heading: str
    detail: str
    sizes: Sequence[int]
    adapter: Callable[[int, str], tuple[dict[str, Any], Added]]


METHODS = (
    Method(
        "PALs",
        "width",
        "the ways into an attention of its own and out of it grow with its width, the projections "
        "within with the square of that. ",
        PALS_SIZES,
        _pals,
    ),
    Method(
        "Houlsby",
        "width",
        "two pairs of matrices in every layer grow with the width. ",
        HOULSBY_SIZES,
        _houlsby,
    ),
    Method(
        "LoRA",
        "rank",
        "two pairs of matrices in every layer, at query and value, grow with the rank. ",
        RANKS,
        _lora,
    ),
)


def _adapters(given: Work, method: Method, table: Path, lengths: np.ndarray) -> list[Curve]:
    """A method's sizes, in a model of which all trains, none first, and on a frozen encoder."""
    settings, tasks = FineTuning(batch_size=BATCH_SIZE), [slot(table)]
    found = []
    for encoder, freeze in (("all of the model trains", "none"), ("frozen encoder", "encoder")):
        frozen = " frozen" if freeze == "encoder" else ""
        points, passes = [], 3 if freeze == "none" else 2
        for size in (0, *method.sizes) if freeze == "none" else method.sizes:
            adapter, added = method.adapter(size, given.shape) if size else ({}, Added())
            adapters = [adapter] if size else []
            recipe = given.recipe(tasks, settings, adapters=adapters, freeze=freeze)
            point = given.point(
                size,
                f"{method.name} {size}{frozen}",
                recipe,
                lengths,
                steps=given.steps,
                passes=passes,
                added=added,
            )
            points.append(point)
        title = f"{method.name}, {encoder}"
        found.append(Curve(title, method.heading, ADAPTER, points, detail=method.detail))
    return found
