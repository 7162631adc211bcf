"""A model as a function of padded rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertmod import HeadOutput, TaskInfo
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedModel, PaddedOutput
from bertmod.nn.padded import padded_batch

SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}


class Odd(nn.Module):
    """A head that gives one number of a whole batch."""

    want = frozenset({"pooled"})
    layout = "any"
    info = TaskInfo()

    def forward(self, output: Any, batch: Any) -> HeadOutput:
        return HeadOutput({"logits": output.pooled_RH.mean()[None]}, {})


@pytest.fixture
def model() -> MultiTaskModel:
    """Three tasks: two without adapters, one with PALs; and one that borrows."""
    torch.manual_seed(0)
    encoder = build_encoder(**SIZES)
    heads = {
        "topic": build_head(encoder, "topic", "classification", labels=("a", "b", "c")),
        "found": build_head(encoder, "found", "span"),
        "tagged": build_head(encoder, "tagged", "token_classification", labels=("a", "b")),
    }
    pals = build_adapter(encoder, "found", "pals", bottleneck_size=12, num_heads=3)
    whole = MultiTaskModel(encoder, {"found": {"pals": pals}}, heads, uses={"more": "topic"})
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return whole.eval()


@pytest.fixture
def rows() -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and types of rows of 9, 4 and 1 tokens."""
    draws = torch.Generator().manual_seed(1)
    mask = torch.arange(9) < torch.tensor([[9], [4], [1]])
    ids = torch.randint(1, 40, (3, 9), generator=draws)
    types = torch.randint(0, 2, (3, 9), generator=draws)
    return ids, mask.long(), types


def test_outputs_of_several_tasks(model) -> None:
    assert PaddedModel(model, model.tasks).outputs == (
        PaddedOutput("topic.logits", "topic", "logits", "row", (3,)),
        PaddedOutput("found.start_logits", "found", "start", "token", ()),
        PaddedOutput("found.end_logits", "found", "end", "token", ()),
        PaddedOutput("tagged.logits", "tagged", "logits", "token", (2,)),
    )


def test_outputs_of_one_task(model) -> None:
    assert [output.name for output in PaddedModel(model, ["topic"]).outputs] == ["logits"]
    names = [output.name for output in PaddedModel(model, ["found"]).outputs]
    assert names == ["start_logits", "end_logits"]


def test_what_an_exporter_gets(model) -> None:
    padded = PaddedModel(model, ["found"])
    context = padded.context()
    assert context.module is padded
    assert context.outputs == ("start_logits", "end_logits")
    assert context.max_length == SIZES["max_position_embeddings"]
    assert tuple(context.module(**context.example)) == context.outputs


def test_tasks_without_adapters_share_a_pass(model) -> None:
    assert PaddedModel(model, model.tasks).passes == (("topic", "tagged"), ("found",))


def test_a_task_that_borrows(model, rows) -> None:
    found = PaddedModel(model, ["more"])(*rows)["logits"]
    assert torch.equal(found, PaddedModel(model, ["topic"])(*rows)["logits"])


def test_it_has_what_its_tasks_need_and_no_more(model) -> None:
    names = [name for name, _ in PaddedModel(model, ["topic"]).named_parameters()]
    assert not [name for name in names if "found" in name or "tagged" in name]


def test_logits_are_those_of_packed_rows(model, rows) -> None:
    ids, mask, types = rows
    real = mask.bool()
    table = FeatureTable(
        example=np.arange(3),
        row_bounds=np.arange(4),
        token_bounds=np.array([0, 9, 13, 14]),
        tokens={"input_ids": ids[real].numpy(), "token_type_ids": types[real].numpy()},
    )
    batch = collate(table)
    with torch.no_grad():
        found = PaddedModel(model, model.tasks)(*rows)
        topic, spans = (model(batch, task).logits for task in ("topic", "found"))
    torch.testing.assert_close(found["topic.logits"], topic["logits"], rtol=0, atol=1e-6)
    lengths, context = torch.tensor([9, 4, 1]), batch.context
    own = context.position_of_token_T < lengths[context.row_of_token_T]
    starts = found["found.start_logits"][real]
    torch.testing.assert_close(starts, spans["start"][own], rtol=0, atol=1e-6)


def test_what_stands_behind_a_row_does_not_count(model, rows) -> None:
    ids, mask, types = rows
    padded = PaddedModel(model, ["topic"])
    with torch.no_grad():
        found = padded(ids, mask, types)["logits"]
        other = padded(torch.where(mask == 1, ids, 7), mask, torch.where(mask == 1, types, 1))
    torch.testing.assert_close(other["logits"], found, rtol=0, atol=1e-6)


def test_rows_and_positions_without_division(rows) -> None:
    context = padded_batch(*rows).context
    assert context.row_of_token_T.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert context.position_of_token_T.tolist() == [*range(9)] * 3
    assert context.lengths_R.tolist() == [9, 4, 1]
    assert context.first_token_of_row_R.tolist() == [0, 9, 18]


def test_a_head_that_answers_neither_rows_nor_tokens(model) -> None:
    model.attach("odd", {}, Odd())
    told = (
        'of 3 rows of 7 tokens the head of task "odd" gives 1 "logits", neither one per row nor '
        "one per token"
    )
    with pytest.raises(ValueError, match=told):
        PaddedModel(model, ["odd"])
