"""An exported model in the place of the one it was made of.

Shape letters: T tokens of a batch, R rows, L length of the padded rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from bertmod.contracts.batch import Batch, BatchContext
from bertmod.contracts.encoder import Encoder
from bertmod.contracts.exporter import Exported
from bertmod.contracts.head import HeadOutput
from bertmod.data.collate import collate, row_layout
from bertmod.data.features import FeatureTable
from bertmod.data.ragged import bounds_of
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedOutput

SIZES = ((1, 5), (3, 17), (8, None))
"""Rows and length of the batches that are compared; None stands for the longest."""


class ExportedModel(MultiTaskModel):
    """A model whose forward is that of exported files; its heads decode what they give.

    Args:
        model: The model that was exported; tasks, heads and adapters are its own.
        exported: The files, ready to be run.
        outputs: What they give.
    """

    def __init__(
        self, model: MultiTaskModel, exported: Exported, outputs: Sequence[PaddedOutput]
    ) -> None:
        super().__init__(
            cast(Encoder, model.encoder),
            {task: model.task_adapters(task) for task in model.tasks},
            {task: model.head(task) for task in model.tasks},
        )
        self.outputs = tuple(outputs)
        self._exported = exported

    def forward(self, batch: Batch, task: str) -> HeadOutput:
        """Logits of a batch of one task, without losses; padding between its tokens gives any."""
        context, wanted = batch.context, [each for each in self.outputs if each.task == task]
        length = int(context.lengths_R.max())
        found = self._exported.run(
            {name: value[:, :length].numpy() for name, value in _inputs(batch).items()},
            [output.name for output in wanted],
        )
        logits = {}
        for output in wanted:
            value = torch.from_numpy(np.array(found[output.name]))
            logits[output.logits] = value if output.per == "row" else _flat(value, context)
        return HeadOutput(logits, {})


def largest_difference(
    model: MultiTaskModel,
    exported: ExportedModel,
    *,
    vocab_size: int,
    num_types: int,
    max_length: int,
) -> float:
    """How far the logits of exported files are from the model's, which takes its usual way.

    Compared are batches of one row of 5 tokens, three rows of up to 17 and eight of up to
    ``max_length``, all tokens drawn at random.

    Args:
        model: The model, without dropout.
        exported: The files in its place.
        vocab_size: Tokens are drawn from as many, from 0.
        num_types: Segments likewise.
        max_length: Longest row, tokens.

    Returns:
        The largest absolute difference of all tasks and batches; NaN if any logit is.
    """
    found = [0.0]
    for table in _tables(vocab_size, num_types, max_length):
        for task in exported.tasks:
            batch = collate(table, layout=row_layout([model.head(task).layout], "packed"))
            found += _differences(model, exported, task, batch)
    return float(np.max(found))  # NaN wins


def _differences(
    model: MultiTaskModel, exported: ExportedModel, task: str, batch: Batch
) -> Iterator[float]:
    """Of each of a task's outputs, over its rows or its real tokens."""
    context = batch.context
    real_T = context.position_of_token_T < context.lengths_R[context.row_of_token_T]
    with torch.inference_mode():
        expected, found = (each(batch, task).logits for each in (model, exported))
    for output in exported.outputs:
        if output.task == task:
            apart = (expected[output.logits].float() - found[output.logits]).abs()
            yield float((apart[real_T] if output.per == "token" else apart).max())


def _tables(vocab_size: int, num_types: int, max_length: int) -> Iterator[FeatureTable]:
    """Features of one row of random tokens each, the first row of a table as long as told."""
    draws = np.random.default_rng(0)
    for rows, longest in SIZES:
        length = min(longest or max_length, max_length)
        lengths = [length, *draws.integers(min(2, length), length + 1, rows - 1).tolist()]
        bounds = bounds_of(lengths)
        total = int(bounds[-1])
        yield FeatureTable(
            example=np.arange(rows),
            row_bounds=np.arange(rows + 1),
            token_bounds=bounds,
            tokens={
                "input_ids": draws.integers(0, vocab_size, total).astype(np.int32),
                "token_type_ids": draws.integers(0, num_types, total).astype(np.uint8),
            },
        )


def _inputs(batch: Batch) -> dict[str, Tensor]:
    """The rows of a batch, padded with zeros, (rows, length), int64."""
    ids_RL, real_RL = batch.context.pad(batch.input_ids_T)
    types_T = batch.token_type_ids_T
    types_RL = torch.zeros_like(ids_RL) if types_T is None else batch.context.pad(types_T)[0]
    return {
        "input_ids": ids_RL,
        "attention_mask": real_RL.long(),
        "token_type_ids": types_RL,
    }


def _flat(rows_RL: Tensor, context: BatchContext) -> Tensor:
    """Entries of padded rows as the batch's flat tokens, whose own padding gets any."""
    length = rows_RL.shape[1]
    place_T = context.row_of_token_T * length + context.position_of_token_T.clamp(max=length - 1)
    return rows_RL.flatten(0, 1)[place_T]
