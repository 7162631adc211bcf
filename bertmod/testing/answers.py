"""What a head decodes of an encoder's output that was drawn at random.

Tasks are checked with it: any head's answers, without a forward through an encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import EncoderOutput
from bertmod.contracts.head import HeadContext, TaskInfo
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.library import installed
from bertmod.nn.initialisation import initialise
from bertmod.testing.bench import stir
from bertmod.testing.subject import host_shape, validated

if TYPE_CHECKING:
    from bertmod.contracts.batch import Arrays

BATCH = 256


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
    context = HeadContext("task", host_shape(), info, initialise)
    head = spec.build(validated(spec, options), context)
    stir(head, seed=1, scale=1.0).eval()
    decoded: list[Arrays] = []
    for start in range(0, len(features), BATCH):
        table = features.take(torch.arange(start, min(start + BATCH, len(features))).numpy())
        batch = collate(table, layout="padded" if head.layout == "padded" else "packed")
        with torch.no_grad():
            decoded += head.decode(head(random_output(batch), batch), batch)
    return decoded


def random_output(batch: Batch, *, times: int = 1) -> EncoderOutput:
    """An encoder's output with every part, from normal draws, for a batch.

    Args:
        batch: The batch.
        times: How often the batch repeats the same rows; its output repeats with them.
    """
    shape, draws = host_shape(), torch.Generator().manual_seed(0)
    tokens = len(batch.input_ids_T) // times
    rows = len(batch.context.lengths_R) // times
    hidden = [
        torch.randn(tokens, shape.hidden_size, generator=draws).repeat(times, 1)
        for _ in range(shape.num_hidden_layers + 1)
    ]
    pooled = torch.randn(rows, shape.hidden_size, generator=draws).tanh()
    return EncoderOutput(
        hidden_TH=hidden[-1],
        pooled_RH=pooled.repeat(times, 1),
        layers=tuple(hidden),
        word_embeddings_VH=torch.randn(40, shape.hidden_size, generator=draws),
    )
