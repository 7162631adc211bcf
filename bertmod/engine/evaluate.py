"""Outputs of a whole split, and what a task makes of them."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from bertmod.contracts.head import TaskInfo
from bertmod.contracts.task import Example, Feature, Prediction, Task
from bertmod.data.collate import collate, host_targets, row_layout
from bertmod.data.features import FeatureTable
from bertmod.engine.answering import answering_model
from bertmod.engine.batches import MOST_TOKENS, batches_by_length, mixed_batches
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.precision import autocast
from bertmod.engine.sharding import is_sharded, kept_together
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.context import Layout

if TYPE_CHECKING:
    from bertmod.contracts.batch import Arrays, Batch

WORTH_TOKENS = 1024
"""Tokens to answer from which on it pays to convert an encoder's weights once, and lay them out."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How batches are formed when nothing is learnt.

    Attributes:
        batch_size: Features per batch, positive.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        layout: Rows ``packed`` or ``padded``.
        fast: Whether attention is the one that is fastest on the device, and on a CPU the encoder's
            weights are converted once; answers differ by rounding.
    """

    batch_size: int = 64
    precision: str = "fp32"
    layout: Layout = "packed"
    fast: bool = True


def decode(
    model: MultiTaskModel,
    task: str,
    features: FeatureTable,
    *,
    settings: EvaluationSettings,
    advance: Callable[[int], object] | None = None,
    ranks: Ranks = ALONE,
) -> list[Arrays]:
    """What a task's head decodes of each feature, in the features' order.

    Rows are batched by length, so that little is padded; dropout is off, whatever mode the model
    is in, and its mode is put back. Batches are dealt to the processes once they are formed, so
    that each is computed as by a single one; the main process gets all answers, the others none.

    Args:
        model: The model, on its device.
        task: Task whose adapters and head are used.
        features: Any number of features.
        settings: Batch size, precision and layout.
        advance: Called after each batch with the number of examples whose last feature it held.
        ranks: The processes that share the batches.
    """
    layout = row_layout([model.head(task).layout], settings.layout)
    ready = _Ready.of(model, settings, int(features.lengths.sum()))
    model = ready.model

    def answer(indices: np.ndarray, device: torch.device) -> list[Arrays]:
        batch = ready.batch(features.take(indices), layout=layout, device=device)
        with autocast(settings.precision, device):
            return model.head(task).decode(model(batch, task), batch)

    batches = list(batches_by_length(features.lengths, settings.batch_size, ready.most_tokens))
    own = batches[ranks.rank :: ranks.size]
    decoded = _decoded(
        model, features.example, own + _again(model, batches, ranks), answer, advance
    )
    collected = ranks.collected(decoded if own else [])
    return [] if collected is None else _in_order(batches, collected)


def decode_mixed(
    model: MultiTaskModel,
    features: Mapping[str, FeatureTable],
    *,
    settings: EvaluationSettings,
    advance: Callable[[int], object] | None = None,
) -> dict[str, list[Arrays]]:
    """What the tasks' heads decode of each feature, rows of several tasks sharing a forward.

    A task that fills batches gets them to itself; the rest is batched by length whatever its
    task, and ordered by task inside a batch. If any task's head needs padded rows, all are padded.
    Targets are not looked at.

    Args:
        model: The model, on its device.
        features: Task to any number of features; a task that borrows may stand beside its lender.
        settings: Batch size, precision and layout.
        advance: Called after each batch with the number of examples whose last feature it held.

    Returns:
        Task to one entry per feature, in the features' order.

    Raises:
        ValueError: If the model has no such task.
    """
    numbers = [model.number(task) for task in features]
    if not features:
        return {}
    sizes = [len(table) for table in features.values()]
    table = FeatureTable.concatenate([_tokens_alone(each) for each in features.values()])
    number_of_feature = np.repeat(numbers, sizes)
    layout = row_layout([model.head(task).layout for task in features], settings.layout)
    ready = _Ready.of(model, settings, int(table.lengths.sum()))
    model = ready.model

    def answer(indices: np.ndarray, device: torch.device) -> list[Arrays]:
        order = np.argsort(number_of_feature[indices], kind="stable")
        part = table.take(indices[order])
        tasks = np.repeat(number_of_feature[indices[order]], np.diff(part.row_bounds))
        batch = ready.batch(part, layout=layout, tasks=tasks.tolist(), device=device)
        with autocast(settings.precision, device):
            answers = model.decode(batch)
        return [answers[place] for place in np.argsort(order)]

    batches = mixed_batches(
        number_of_feature, table.lengths, settings.batch_size, most_tokens=ready.most_tokens
    )
    decoded = _decoded(model, _examples_apart(features.values()), batches, answer, advance)
    ends = np.cumsum(sizes).tolist()
    return {
        task: decoded[end - size : end]
        for task, size, end in zip(features, sizes, ends, strict=True)
    }


def mean_loss(
    model: MultiTaskModel,
    task: str,
    features: FeatureTable,
    *,
    settings: EvaluationSettings,
) -> dict[str, float]:
    """The mean of each named loss over a split, without dropout; the model's mode is put back.

    Args:
        model: The model, on its device.
        task: Task whose adapters and head are used.
        features: Any number of features; without targets there is no loss.
        settings: Batch size, precision and layout.

    Returns:
        Loss to its sum over its count, unweighted; a loss that nothing counts for is left out.
    """
    head, device = model.head(task), next(model.parameters()).device
    layout = row_layout([head.layout], settings.layout)
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    with _without_dropout(model):
        for indices in batches_by_length(features.lengths, settings.batch_size):
            part = features.take(indices)
            with torch.inference_mode(), autocast(settings.precision, device):
                losses = model(collate(part, layout=layout, device=device), task).losses
            for name, count in head.num_targets(host_targets(part), part.row_lengths).items():
                counts[name] = counts.get(name, 0.0) + count
                sums[name] = sums.get(name, 0.0) + losses[name][0].item()
    return {name: sums[name] / count for name, count in counts.items() if count}


@dataclass(frozen=True)
class _Ready:
    """A model that answers, and how it is asked.

    Attributes:
        model: The model.
        most_tokens: Tokens of a batch at most; None: any number.
        fast: As ``collate`` takes it.
        trim: As ``collate`` takes it.
    """

    model: MultiTaskModel
    most_tokens: int | None = None
    fast: bool = False
    trim: bool = False

    @classmethod
    def of(cls, model: MultiTaskModel, settings: EvaluationSettings, num_tokens: int) -> _Ready:
        """What answers so many tokens fastest."""
        if not settings.fast or next(model.parameters()).device.type != "cpu":
            return cls(model, fast=settings.fast, trim=settings.fast)
        if num_tokens >= WORTH_TOKENS:
            model = answering_model(model, settings.precision)
        # in fp32 torch's own attention is the faster one
        return cls(model, MOST_TOKENS, fast=settings.precision == "bf16", trim=True)

    def batch(self, features: FeatureTable, **options: Any) -> Batch:
        """All features as a batch; the options are others of ``collate``."""
        tight = self.most_tokens is not None
        return collate(features, fast=self.fast, tight=tight, trim=self.trim, **options)


@contextmanager
def _without_dropout(model: MultiTaskModel) -> Iterator[None]:
    """The model in evaluation mode, and afterwards in the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _decoded(
    model: MultiTaskModel,
    example: np.ndarray,
    batches: Iterable[np.ndarray],
    answer: Callable[[np.ndarray, torch.device], list[Arrays]],
    advance: Callable[[int], object] | None,
) -> list[Arrays]:
    """What ``answer`` gives of each feature, asked for in batches, without dropout.

    ``example`` is the number of each feature's example, (features,), int64.
    """
    decoded: list[Arrays | None] = [None] * len(example)
    left = np.bincount(example)
    first = next(model.parameters())
    device = first.device
    # what FSDP gathers in inference mode it cannot use again in training
    without_gradients = torch.no_grad if is_sharded(first) else torch.inference_mode
    with _without_dropout(model), kept_together(model):
        for indices in batches:
            with without_gradients():
                answers = answer(indices, device)
            for index, arrays in zip(indices.tolist(), answers, strict=True):
                decoded[index] = arrays
            if advance is not None:
                seen, counts = np.unique(example[indices], return_counts=True)
                left[seen] -= counts
                advance(int(np.count_nonzero(left[seen] == 0)))
    return [arrays for arrays in decoded if arrays is not None]


def _again(model: MultiTaskModel, batches: Sequence[np.ndarray], ranks: Ranks) -> list[np.ndarray]:
    """A batch to compute once more where other processes have one more than this one.

    A model in parts is put together for each forward: all processes must make as many.
    """
    own = batches[ranks.rank :: ranks.size]
    short = len(own) < len(batches[:: ranks.size]) and is_sharded(next(model.parameters()))
    return list((own or batches)[:1]) if short else []


def _in_order(batches: Sequence[np.ndarray], parts: Sequence[list[Arrays]]) -> list[Arrays]:
    """Answers of every process to its batches, each in the features' order, as one list."""
    places = [
        np.sort(np.concatenate([np.empty(0, np.int64), *batches[rank :: len(parts)]]))
        for rank in range(len(parts))
    ]
    found = zip(np.concatenate(places).tolist(), itertools.chain(*parts), strict=True)
    return [arrays for _, arrays in sorted(found, key=operator.itemgetter(0))]


def _examples_apart(tables: Iterable[FeatureTable]) -> np.ndarray:
    """Numbers of the examples of several tables' features, no two tables sharing one."""
    numbers, first = [], 0
    for table in tables:
        numbers.append(first + table.example)
        first += int(table.example.max(initial=-1)) + 1
    return np.concatenate(numbers)


def _tokens_alone(table: FeatureTable) -> FeatureTable:
    """What the encoder reads of features, so that tables of different tasks are alike."""
    ids = table.tokens["input_ids"]
    types = table.tokens.get("token_type_ids")
    if types is None:
        types = np.zeros(len(ids), dtype=np.uint8)
    return FeatureTable(
        example=table.example,
        row_bounds=table.row_bounds,
        token_bounds=table.token_bounds,
        tokens={"input_ids": ids, "token_type_ids": types},
    )


class DevSplit(Protocol):
    """A split that is scored while a task trains.

    Attributes:
        features: Its features.
        baseline: Metric to the score of an answer that ignores the text.
    """

    @property
    def features(self) -> FeatureTable: ...
    @property
    def baseline(self) -> Mapping[str, float]: ...

    def calibrate(self, decoded: Sequence[Arrays], info: TaskInfo) -> TaskInfo:
        """``info`` with what can be tuned on this split."""
        ...

    def answers(self, decoded: Sequence[Arrays], info: TaskInfo) -> Sequence[Any]:
        """What is scored, made of what the head decoded of every feature."""
        ...

    def score(self, answers: Sequence[Any]) -> Mapping[str, float]:
        """Every metric of the split over the whole of it."""
        ...


@dataclass(frozen=True)
class ScoredFeatures:
    """A dev split held in memory: features, their right answers, and a way to score.

    Attributes:
        features: One feature per example.
        scorer: What the head decoded of every feature, in order, to metrics by name.
        baseline: Metric to the score of an answer that ignores the text.
    """

    features: FeatureTable
    scorer: Callable[[Sequence[Arrays]], Mapping[str, float]]
    baseline: Mapping[str, float] = field(default_factory=dict)

    def calibrate(self, decoded: Sequence[Arrays], info: TaskInfo) -> TaskInfo:
        """Nothing is tuned."""
        del decoded
        return info

    def answers(self, decoded: Sequence[Arrays], info: TaskInfo) -> Sequence[Arrays]:
        """What was decoded, as it is."""
        del info
        return decoded

    def score(self, answers: Sequence[Arrays]) -> Mapping[str, float]:
        """What the scorer says."""
        return self.scorer(answers)


@dataclass(frozen=True)
class TaskSplit:
    """A dev split of a ``Task``.

    Attributes:
        task: The task.
        split: Name of the split.
        examples: Its examples.
        features: Its features.
        baseline: Metric to the score of an answer that ignores the text.
    """

    task: Task
    split: str
    examples: Sequence[Example]
    features: FeatureTable
    baseline: Mapping[str, float]

    def calibrate(self, decoded: Sequence[Arrays], info: TaskInfo) -> TaskInfo:
        """What the task tunes on this split."""
        return self.task.calibrate(self.examples, self._outputs(decoded), info)

    def answers(self, decoded: Sequence[Arrays], info: TaskInfo) -> list[Prediction]:
        """One prediction per example."""
        return self.task.predict(self.examples, self._outputs(decoded), info)

    def score(self, answers: Sequence[Prediction]) -> Mapping[str, float]:
        """The task's metrics of its own predictions."""
        return self.task.score(self.split, self.examples, answers)

    def _outputs(self, decoded: Sequence[Arrays]) -> list[list[tuple[Feature, Arrays]]]:
        return outputs_by_example(len(self.examples), self.features, decoded)


def outputs_by_example(
    num_examples: int, features: FeatureTable, decoded: Sequence[Arrays]
) -> list[list[tuple[Feature, Arrays]]]:
    """For each example, its features with what was decoded of them."""
    outputs: list[list[tuple[Feature, Arrays]]] = [[] for _ in range(num_examples)]
    for feature, arrays in zip(features, decoded, strict=True):
        outputs[feature.example].append((feature, arrays))
    return outputs
