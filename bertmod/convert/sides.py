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
from bertmod.contracts.checkpoint import LoadReport
from bertmod.contracts.encoder import Encoder, Part
from bertmod.contracts.head import Head
from bertmod.contracts.tokenizer import RowTable, Tokenizer
from bertmod.convert.checkpoint_task import load_task
from bertmod.convert.source import Source
from bertmod.data.collate import collate, row_layout
from bertmod.data.features import FeatureTable
from bertmod.inference.resident import EVERYTHING, resident_encoder
from bertmod.model.loading import Component, stored_names
from bertmod.model.report import render_report
from bertmod.model.sites import TaskSites

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
    """

    num_hidden_layers: int
    hidden_size: int
    max_length: int
    vocab_size: int


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
        opened = source.opened
        self._want: frozenset[Part] = EVERYTHING & opened.shape.provides - {"word_embeddings"}
        self._want -= _absent_parts(source)
        resident, report = resident_encoder(opened, device=device, want=self._want)
        self.encoder: Encoder = resident.encoder
        self._tokenizer: Tokenizer = resident.tokenizer
        self._device = next(cast(Module, resident.encoder).parameters()).device
        self.head: Head | None = None
        self.labels: tuple[str, ...] | None = None
        self._adapters: tuple[Adapter, ...] = ()
        if task is not None:
            found, own = load_task(source, resident.encoder, task)
            self.head, self.labels, self._adapters = found.head, found.labels, found.adapters
            report = _both(report, own)
        self.title = opened.path
        self.notes: Sequence[str] = source.notes
        self.report = render_report(report)
        self.sizes = Sizes(
            num_hidden_layers=opened.shape.num_hidden_layers,
            hidden_size=opened.shape.hidden_size,
            max_length=opened.shape.max_length,
            vocab_size=self._tokenizer.vocab_size,
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


def _absent_parts(source: Source) -> frozenset[Part]:
    """Parts of the output, such as the pooled one, of which a checkpoint has no tensor."""
    component = Component("encoder", source.encoder_names)
    stored = {tensor.name for tensor in source.stored.values()}
    found: dict[Part, bool] = {}
    for row in source.encoder_names:
        if row.part is not None:
            own = stored_names(component, row, source.format)
            found[row.part] = found.get(row.part, False) or not stored.isdisjoint(own)
    return frozenset(part for part, is_there in found.items() if not is_there)


def _both(encoder: LoadReport, task: LoadReport) -> LoadReport:
    """One account of tensors that were read in two passes."""
    skipped = {name: why for name, why in encoder.skipped.items() if name not in task.used}
    return replace(encoder, used={**encoder.used, **task.used}, skipped=skipped)


def _real_tokens(batch: Batch) -> Tensor:
    """Which of the flat tokens are real, (tokens,), bool; packed batches have padding too."""
    context = batch.context
    return context.position_of_token_T < context.lengths_R[context.row_of_token_T]
