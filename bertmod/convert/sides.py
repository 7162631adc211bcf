"""What two checkpoints are compared by: rows of tokens, and hidden states of them.

Shape letters: T real tokens of a batch, R rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import Module

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import Encoder, Part
from bertmod.contracts.head import Head
from bertmod.contracts.tokenizer import RowTable, Tokenizer
from bertmod.convert.built import build_encoder, build_task
from bertmod.convert.source import Source, SourceTask
from bertmod.convert.tensors import Tensors, read_tensors
from bertmod.data.collate import collate, row_layout
from bertmod.data.features import FeatureTable
from bertmod.engine.precision import resolve_device
from bertmod.errors import CheckpointError
from bertmod.inference.resident import EVERYTHING
from bertmod.model.report import render_report
from bertmod.model.sites import TaskSites
from bertmod.wording import listed

Text = tuple[str, str | None]
"""A text, and the second one beside it or None."""

UNLIMITED = 1 << 30
"""A length that cuts nothing off, tokens."""


@dataclass(frozen=True)
class Sizes:
    """What two checkpoints must agree on before their hidden states can be compared.

    Attributes:
        num_hidden_layers: Layers.
        hidden_size: Width of the hidden states, units.
        max_length: Longest row, tokens.
        vocab_size: Ids that it takes, from 0.
        type_vocab_size: Token types that it takes, from 0; a pair has two.
    """

    num_hidden_layers: int
    hidden_size: int
    max_length: int
    vocab_size: int
    type_vocab_size: int


@dataclass(frozen=True)
class States:
    """What a model gives of a batch: padding left out, fp32, without gradient.

    Attributes:
        layers: Embedding output and each layer's, (tokens, hidden) each.
        pooled_RH: Pooled output, (rows, hidden); None if it has none.
        logits: Logits of the task's head by name, (tokens, ...) or (rows, ...).
    """

    layers: Sequence[Tensor]
    pooled_RH: Tensor | None
    logits: Mapping[str, Tensor]


class Side(Protocol):
    """One of two checkpoints that are compared.

    Attributes:
        title: What messages call it.
        sizes: Its sizes.
        labels: Label names in the order of the task's logits; None if it does not say.
        notes: What the user should know of how it was read.
        report: What became of the file's tensors, for people.
    """

    title: str
    sizes: Sizes
    labels: tuple[str, ...] | None
    notes: Sequence[str]
    report: str

    def rows(self, texts: Sequence[Text], *, max_length: int = UNLIMITED) -> RowTable | None:
        """Rows of its tokenizer; None if it has none."""
        ...

    def pieces(self, ids: Sequence[int]) -> Sequence[str]:
        """Vocabulary entries of ids."""
        ...

    def vocabulary(self) -> Sequence[str]:
        """Every entry of its vocabulary, by id; empty if it has no tokenizer."""
        ...

    def states(self, table: FeatureTable) -> States:
        """Hidden states of rows, one per feature."""
        ...


class CheckpointSide:
    """A checkpoint of any format that bertmod reads, run by bertmod.

    Args:
        source: The checkpoint, with all of its tasks if one of them is run.
        task: Id of the task whose adapters and head are run too; None for the encoder alone.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Attributes:
        encoder: The encoder, in evaluation mode.
        head: The task's head, likewise; None without a task.

    Raises:
        CheckpointError: If a file is damaged, a tensor is missing or does not fit, or there is no
            such task.
        RecipeError: If this machine lacks the device or a plugin.
    """

    def __init__(self, source: Source, *, task: str | None, device: str) -> None:
        opened, self._device = source.opened, resolve_device(device)
        chosen = None if task is None else _chosen(source, task)
        source = replace(source, tasks=() if chosen is None else (chosen,))
        tensors, report = read_tensors(source, whole=False)
        self.encoder: Encoder = build_encoder(source, tensors)
        self.head: Head | None = None
        self._adapters: tuple[Adapter, ...] = ()
        if chosen is not None:
            built = build_task(source, chosen, encoder=self.encoder, tensors=tensors)
            self.head, self._adapters = built.head, tuple(built.adapters.values())
        for module in (self.encoder, self.head, *self._adapters):
            if module is not None:
                cast(Module, module).to(self._device)
        self._want = _whole_parts(source, tensors)
        self._tokenizer: Tokenizer = opened.tokenizer.spec.build(opened.tokenizer.config)
        self.title = opened.path
        self.labels = None if chosen is None else chosen.info.labels
        self.notes: Sequence[str] = opened.notes
        self.report = render_report(replace(report, initialised=()))
        self.sizes = Sizes(
            num_hidden_layers=opened.shape.num_hidden_layers,
            hidden_size=opened.shape.hidden_size,
            max_length=opened.shape.max_length,
            vocab_size=self._tokenizer.vocab_size,
            type_vocab_size=int(opened.encoder.to_json().get("type_vocab_size", 2)),
        )

    def rows(self, texts: Sequence[Text], *, max_length: int = UNLIMITED) -> RowTable:
        """Rows of its tokenizer."""
        first = self._tokenizer.texts([a for a, _ in texts])
        second = self._tokenizer.texts([b or "" for _, b in texts])
        return self._tokenizer.rows(first, second, max_length=max_length)

    def pieces(self, ids: Sequence[int]) -> Sequence[str]:
        """Vocabulary entries of ids."""
        return self._tokenizer.pieces(ids)

    def vocabulary(self) -> Sequence[str]:
        """Every entry of its vocabulary."""
        return self._tokenizer.pieces(range(self._tokenizer.vocab_size))

    @torch.inference_mode()
    def states(self, table: FeatureTable) -> States:
        """Hidden states of rows, the task's adapters acting, and the logits of its head."""
        head = self.head
        layout = row_layout([] if head is None else [head.layout], "packed")
        batch = collate(table, layout=layout, device=self._device)
        sites = TaskSites(self._adapters, batch.context)
        want = self._want if head is None else self._want | head.want
        output = self.encoder(batch, sites, want=want)
        assert output.layers is not None
        logits = {} if head is None else head(output, batch).logits
        real_T = _real_tokens(batch)
        return States(
            [layer_TH[real_T].float() for layer_TH in output.layers],
            None if output.pooled_RH is None else output.pooled_RH.float(),
            {
                name: (each[real_T] if len(each) == len(real_T) else each).float()
                for name, each in logits.items()
            },
        )


def _chosen(source: Source, task: str) -> SourceTask:
    """The task of that id, or number in the file.

    Where the file does not say what its tasks are called it is also the one whose head has that
    name, or the only one.
    """
    for each in source.tasks:
        if task in (each.id, each.key):
            return each
    if not source.opened.description.tasks:
        alike = [each for each in source.tasks if each.head.spec.name == task] or source.tasks
        if len(alike) == 1:
            return alike[0]
    known = listed(each.key for each in source.tasks)
    raise CheckpointError(f'{source.opened.path}: no task "{task}" there\n  there: {known}')


def _whole_parts(source: Source, tensors: Tensors) -> frozenset[Part]:
    """Parts of the output that are compared: those of which the file lacks no tensor."""
    there = tensors["encoder"]
    lacking = {row.part for row in source.encoder_names if row.canonical not in there}
    return (EVERYTHING & source.opened.shape.provides) - {"word_embeddings"} - lacking


def _real_tokens(batch: Batch) -> Tensor:
    """Which of the flat tokens are real, (tokens,), bool; packed batches have padding too."""
    context = batch.context
    return context.position_of_token_T < context.lengths_R[context.row_of_token_T]
