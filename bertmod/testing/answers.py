"""What a head decodes of an encoder's output that was drawn at random.

Tasks are checked with it: any head's answers, without a forward through an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import EncoderOutput
from bertmod.contracts.head import HeadContext, TaskInfo
from bertmod.data.collate import collate, row_layout
from bertmod.data.features import FeatureTable
from bertmod.library import installed
from bertmod.nn.initialisation import initialise
from bertmod.testing.bench import stir
from bertmod.testing.subject import host_shape, validated

if TYPE_CHECKING:
    from bertmod.contracts.batch import Arrays

BATCH = 256
PIECES = 40
"""Pieces of the vocabulary that a batch drawn at random is from."""

PADDING = 5.0
"""What the encoder gives of padding, unlike anything it gives of a real token."""


def decoded_at_random(
    slot: Mapping[str, Any], features: FeatureTable, info: TaskInfo
) -> Sequence[Arrays]:
    """What the head of a slot decodes of each feature, in order.

    Args:
        slot: Head as a recipe writes it.
        features: Features, whose tokens only give the shapes.
        info: Labels or value range that the head is built with.
    """
    spec: Any = installed().get("head", slot["name"], near="bertmod").spec
    options = {key: value for key, value in slot.items() if key != "name"}
    longest = int(features.row_lengths.max(initial=1))
    shape = replace(host_shape(), vocab_size=_vocabulary(features))
    context = HeadContext("task", shape, info, initialise, longest)
    head = spec.build(validated(spec, options), context)
    stir(head, seed=1, scale=1.0).eval()
    decoded: list[Arrays] = []
    for start in range(0, len(features), BATCH):
        table = features.take(torch.arange(start, min(start + BATCH, len(features))).numpy())
        batch = collate(table, layout=row_layout([head.layout], "packed"))
        with torch.no_grad():
            output = random_output(batch, vocab_size=shape.vocab_size)
            decoded += head.decode(head(output, batch), batch)
    return decoded


def _vocabulary(features: FeatureTable) -> int:
    """A size of the vocabulary that every token and every target is an index into."""
    columns = [features.tokens["input_ids"], *(each.values for each in features.targets.values())]
    highest = [int(values.max(initial=0)) for values in columns if values.dtype.kind in "iu"]
    return max([PIECES - 1, *highest]) + 1


def random_output(batch: Batch, *, times: int = 1, vocab_size: int | None = None) -> EncoderOutput:
    """An encoder's output with every part, from normal draws, for a batch.

    Args:
        batch: The batch.
        times: How often the batch repeats the same rows; its output repeats with them.
        vocab_size: Rows of the word embeddings; None: ``PIECES``.
    """
    shape, draws = host_shape(), torch.Generator().manual_seed(0)
    tokens = int(batch.context.lengths_R.sum()) // times
    rows = len(batch.context.lengths_R) // times
    layers = [
        torch.randn(tokens, shape.hidden_size, generator=draws).repeat(times, 1)
        for _ in range(shape.num_hidden_layers + 1)
    ]
    pooled = torch.randn(rows, shape.hidden_size, generator=draws).tanh()
    return output_of(batch, layers, pooled.repeat(times, 1), vocab_size=vocab_size or PIECES)


def output_of(
    batch: Batch, layers: Sequence[Tensor], pooled_RH: Tensor, *, vocab_size: int = PIECES
) -> EncoderOutput:
    """An encoder's output with these values, whatever the layout of the batch.

    Args:
        batch: The batch.
        layers: Embedding output and one per block, each (real tokens, hidden size), row by row.
        pooled_RH: Pooled output, (rows, hidden size).
        vocab_size: Rows of the word embeddings.
    """
    context = batch.context
    real_T = context.position_of_token_T < context.lengths_R[context.row_of_token_T]

    def placed(values: Tensor) -> Tensor:
        whole = values.new_full((len(real_T), values.shape[1]), PADDING)
        whole[real_T] = values
        return whole

    everywhere = tuple(placed(values) for values in layers)
    draws = torch.Generator().manual_seed(1)
    words_VH = torch.randn(vocab_size, host_shape().hidden_size, generator=draws)
    return EncoderOutput(everywhere[-1], pooled_RH, everywhere, words_VH)
