"""Rows of several tasks in one forward: every adapter, both layouts, heads of either kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from bertmod import Batch, EncoderOutput, HeadOutput, Span
from bertmod.data.collate import collate
from bertmod.data.features import Column, FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode, decode_mixed, mixed_batches
from bertmod.library import build_adapter, build_encoder, build_head, installed
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.context import RowContext

SMALL: dict[str, dict[str, Any]] = {
    "pals": {"bottleneck_size": 12},
    "low_rank": {"bottleneck_size": 8},
    "bottleneck": {"bottleneck_size": 8, "layer_norms": ("attention_norm", "output_norm")},
}
"""Options that fit a small encoder, or reach more of an adapter; others take their defaults."""

COMPOSITIONS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "pals, then lhuc on them": (
        ("pals", {"bottleneck_size": 12}),
        ("lhuc", {"site": "layer_residual"}),
    ),
    "low rank behind the attention, pals behind the feed-forward": (
        ("low_rank", {"bottleneck_size": 8, "site": "attention_output"}),
        ("pals", {"bottleneck_size": 12, "site": "ffn_output"}),
    ),
    "a bottleneck, lhuc and a layer on top": (
        ("bottleneck", {"bottleneck_size": 8}),
        ("lhuc", {}),
        ("top_layer", {}),
    ),
}
LENGTHS = {"a": (5, 2, 9), "b": (4,), "c": (9, 1), "d": (3, 3)}


@contextmanager
def refused(message: str) -> Iterator[None]:
    """Expects a ValueError whose message begins so."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        yield


class Stranger(torch.nn.Module):
    """An adapter of somebody else's: it pads, attends, and counts on rows and positions."""

    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sites = {"layer_residual": (1,), "ffn_up": (0,), "encoder_output": (0,)}
        self.scale = torch.nn.Parameter(torch.randn(()))
        self.offset = torch.nn.Parameter(torch.randn(width))

    def forward(self, site, layer, x_TI, y_TO, context):
        if site == "ffn_up":
            return y_TO * self.scale
        rows_RLI, mask_RL = context.pad(x_TI)
        mean_RI = rows_RLI.sum(1) / mask_RL.sum(1, keepdim=True)
        x_TND = x_TI.view(len(x_TI), 2, -1)
        seen_TI = context.attention(x_TND, x_TND, x_TND, dropout=0.1).flatten(-2)
        place_T1 = context.position_of_token_T[:, None] / context.lengths_R[0]
        delta = mean_RI[context.row_of_token_T] + seen_TI + self.offset * place_T1
        first = x_TI[context.first_token_of_row_R][context.row_of_token_T]
        delta = context.dropout(delta + first, 0.5) * self.scale
        return delta if y_TO is None else y_TO + delta


class PaddedTokens(torch.nn.Module):
    """A head that reads padded rows, hidden states of every layer and the word embeddings."""

    layout = "padded"
    want = frozenset({"hidden", "layers", "word_embeddings"})
    info = None

    def num_targets(self, targets, lengths):
        return {}

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        rows = len(batch.context.lengths_R)
        mixed = sum(output.layers, output.hidden_TH).view(rows, batch.context.max_length, -1)
        return HeadOutput({"logits": mixed @ output.word_embeddings_VH[:3].T}, {})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Mapping[str, np.ndarray]]:
        lengths = batch.context.lengths_R.tolist()
        logits = output.logits["logits"].cpu().numpy()
        return [{"tokens": row[:length]} for row, length in zip(logits, lengths, strict=True)]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 48}
    return build_encoder(
        "bert", num_hidden_layers=2, vocab_size=40, max_position_embeddings=16, **sizes
    )


def shaken(module):
    """The module with values that matter."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module


def model_of(encoder, adapters) -> MultiTaskModel:
    """Tasks a, c and d have adapters of their own values, b has none."""
    heads = {
        task: shaken(build_head(encoder, task, "classification", labels=tuple("xyz"[:labels])))
        for task, labels in zip("abcd", (2, 3, 2, 3), strict=True)
    }
    own = {task: {id_: shaken(make(task)) for id_, make in adapters.items()} for task in ("a", "c")}
    first = dict(list(adapters.items())[:1])
    own["d"] = {id_: shaken(make("d")) for id_, make in first.items()}
    return MultiTaskModel(encoder, own, heads).eval()


def table(lengths, seed: int) -> FeatureTable:
    generator = np.random.default_rng(seed)
    bounds = np.cumsum([0, *lengths])
    ids = generator.integers(1, 40, bounds[-1]).astype(np.int32)
    types = generator.integers(0, 2, bounds[-1]).astype(np.uint8)
    count = np.arange(len(lengths))
    return FeatureTable(
        count, np.arange(len(lengths) + 1), bounds, {"input_ids": ids, "token_type_ids": types}
    )


def tables() -> dict[str, FeatureTable]:
    return {task: table(lengths, ord(task)) for task, lengths in LENGTHS.items()}


def assert_as_alone(model: MultiTaskModel, layout: str) -> None:
    each = tables()
    whole = FeatureTable.concatenate(list(each.values()))
    tasks = [model.number(task) for task, lengths in LENGTHS.items() for _ in lengths]
    with torch.no_grad():
        answers = model.answer(collate(whole, layout=layout, tasks=tasks))
        assert [answer.task for answer in answers] == list(LENGTHS)
        found = {answer.task: answer.output.logits["logits"] for answer in answers}
        for task, rows in each.items():
            alone = model(collate(rows), task).logits["logits"]
            torch.testing.assert_close(found[task], alone, rtol=0, atol=1e-5)
        plain = model(collate(each["a"]), "b").logits["logits"]
        assert (found["a"] - plain[:, :2]).abs().max() > 1e-3


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("name", [entry.full_name for entry in installed().entries("adapter")])
def test_every_adapter_gives_what_it_gives_alone(encoder, name, layout) -> None:
    options = SMALL.get(name.split("/")[1], {})
    model = model_of(encoder, {"one": lambda task: build_adapter(encoder, task, name, **options)})
    assert_as_alone(model, layout)


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("parts", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_compositions_give_what_they_give_alone(encoder, parts, layout) -> None:
    adapters = {
        name: lambda task, name=name, options=options: build_adapter(encoder, task, name, **options)
        for name, options in parts
    }
    assert_as_alone(model_of(encoder, adapters), layout)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_strangers_adapter_gives_what_it_gives_alone(encoder, layout) -> None:
    adapters = {
        "strange": lambda _: Stranger(24),
        "pals": lambda task: build_adapter(encoder, task, "pals", bottleneck_size=12),
    }
    assert_as_alone(model_of(encoder, adapters), layout)


class Scale(torch.nn.Module):
    """A factor per task, which can act for several tasks at once; counts its calls."""

    replaces: frozenset[tuple[str, int]] = frozenset()
    calls: list[str] = []  # noqa: RUF012  (the test's own book)

    def __init__(self, start: float, site: str = "ffn_output") -> None:
        super().__init__()
        self.sites = {site: (0, 1)}
        self.scale = torch.nn.Parameter(torch.tensor(start))

    def forward(self, site, layer, x_TI, y_TO, context):
        self.calls.append("one")
        return y_TO * self.scale

    @classmethod
    def group(cls, adapters):
        if any(each.scale > 10 for each in adapters.values()):
            return None
        return ManyScales(adapters)


class ManyScales(torch.nn.Module):
    """Scales of several tasks."""

    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self, adapters: Mapping[int, Scale]) -> None:
        super().__init__()
        self.sites = next(iter(adapters.values())).sites
        self.scale_K = torch.ones(max(adapters) + 1)
        for number, adapter in adapters.items():
            self.scale_K[number] = adapter.scale

    def forward(self, site, layer, x_TI, y_TO, context):
        Scale.calls.append("group")
        return y_TO * self.scale_K[context.task_of_row_R][context.row_of_token_T, None]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"group"}),
        ({"c": {"scale": Scale(20.0)}}, {"one"}),
        ({"c": {"scale": Scale(2.0, "ffn_up")}}, {"one"}),
        ({"c": {"other": Scale(2.0)}}, {"one"}),
        ({"b": {}}, {"one"}),
    ],
    ids=["alike", "declined", "other sites", "other ids", "one has none"],
)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "between others"])
def test_adapters_that_act_as_one(encoder, change, expected, beside) -> None:
    own = {
        task: {"scale": Scale(start)}
        for task, start in zip("abcd", (2.0, 0.5, 3.0, 1.0), strict=True)
    }
    own |= change
    if beside:
        own = {
            task: {
                "before": build_adapter(encoder, task, "pals", bottleneck_size=12),
                **each,
                "behind": shaken(build_adapter(encoder, task, "lhuc")),
            }
            for task, each in own.items()
        }
    heads = {
        task: build_head(encoder, task, "classification", labels=tuple("xyz")) for task in "abcd"
    }
    model = MultiTaskModel(encoder, own, heads).eval()
    each = tables()
    whole = FeatureTable.concatenate(list(each.values()))
    tasks = [model.number(task) for task, lengths in LENGTHS.items() for _ in lengths]
    with torch.no_grad():
        Scale.calls.clear()
        answers = model.answer(collate(whole, tasks=tasks))
        assert set(Scale.calls) == expected
        for answer in answers:
            wanted = model(collate(each[answer.task]), answer.task).logits["logits"]
            found = answer.output.logits["logits"]
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
        model.train()
        Scale.calls.clear()
        model.answer(collate(whole, tasks=tasks))
        assert set(Scale.calls) == {"one"}


@pytest.fixture
def mixed(encoder) -> MultiTaskModel:
    """Tasks a, b, c, d with PALs on all but b; ``e`` borrows from ``c``."""
    model = model_of(
        encoder, {"pals": lambda task: build_adapter(encoder, task, "pals", bottleneck_size=12)}
    )
    model.borrow("e", "c")
    return model


def assert_equal_answers(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for task, answers in wanted.items():
        assert len(found[task]) == len(answers)
        for one, two in zip(found[task], answers, strict=True):
            assert one.keys() == two.keys()
            for key in one:
                np.testing.assert_allclose(one[key], two[key], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_decoding_of_several_tasks_keeps_their_orders(mixed, batch_size) -> None:
    settings = EvaluationSettings(batch_size=batch_size)
    each = {**tables(), "e": table((6, 2), 5), "b": table((), 6)}
    told = []
    mixed.train()
    found = decode_mixed(mixed, each, settings=settings, advance=told.append)
    assert mixed.training
    wanted = {task: decode(mixed, task, rows, settings=settings) for task, rows in each.items()}
    assert_equal_answers(found, wanted)
    assert sum(told) == sum(map(len, each.values()))
    assert max(told) <= batch_size
    assert decode_mixed(mixed, {}, settings=settings) == {}


def test_progress_counts_examples_once_their_last_feature_is_answered(mixed) -> None:
    windows = replace(table((4, 2, 5, 3), 9), example=np.array([0, 0, 0, 1]))
    each = {"a": windows, "b": table((6, 1), 5)}
    settings, told = EvaluationSettings(batch_size=1), []
    decode(mixed, "a", windows, settings=settings, advance=told.append)
    assert told == [0, 0, 1, 1], "longest first: 5 and 4 of the first, 3 of the second, 2"
    told.clear()
    decode_mixed(mixed, each, settings=settings, advance=told.append)
    assert sum(told) == 2 + 2


def test_a_head_that_wants_padded_rows_gets_them_among_others(mixed) -> None:
    mixed.attach("f", {}, PaddedTokens())
    each = {**tables(), "f": table((7, 3), 8)}
    settings = EvaluationSettings()
    wanted = {task: decode(mixed, task, rows, settings=settings) for task, rows in each.items()}
    assert_equal_answers(decode_mixed(mixed, each, settings=settings), wanted)


def test_features_of_several_rows(mixed) -> None:
    rows = table((4, 2, 5, 3), 9)
    choices = replace(rows, example=np.arange(2), row_bounds=np.array([0, 2, 4]))
    both = FeatureTable.concatenate([choices, choices])
    answers = mixed.answer(collate(both, tasks=[0, 0, 0, 0, 2, 2, 2, 2]))
    assert [answer.batch.feature_of_row_R.tolist() for answer in answers] == [[0, 0, 1, 1]] * 2


def test_features_without_segments_among_others(mixed) -> None:
    each = tables()
    bare = replace(each["a"], tokens={"input_ids": each["a"].tokens["input_ids"]})
    settings = EvaluationSettings()
    wanted = {"a": decode(mixed, "a", bare, settings=settings)}
    wanted["c"] = decode(mixed, "c", each["c"], settings=settings)
    found = decode_mixed(mixed, {"a": bare, "c": each["c"]}, settings=settings)
    assert_equal_answers(found, wanted)


def test_unknown_tasks_are_named(mixed) -> None:
    batch = collate(table((3, 2), 1), tasks=[0, 7])
    with refused(
        "rows 1 to 1 of the batch are of task number 7, which "
        "the model has not; it has 0 a, 1 b, 2 c, 3 d"
    ):
        mixed.answer(batch)
    with refused("rows 1 to 1 of the batch are of task number 7"):
        mixed.encode(batch, want=frozenset())
    with refused('the model has no task "z"; it has a, b, c, d, e'):
        decode_mixed(mixed, {"z": table((3,), 1)}, settings=EvaluationSettings())


def test_targets_stay_behind(mixed) -> None:
    rows = table((3, 2), 1)
    labelled = replace(rows, targets={"labels": Column(np.array([0, 1]))})
    for tasks in ([0, 0], [0, 1]):
        assert not any(
            answer.output.losses for answer in mixed.answer(collate(labelled, tasks=tasks))
        )


def test_narrowed_parts_belong_together() -> None:
    lengths = np.array([2, 3, 1])
    context = RowContext.of(lengths, tasks=[0, 1, 1])
    ids = torch.arange(6)
    batch = Batch(ids, None, torch.tensor([0, 1, 2]), {"labels": torch.zeros(3)}, context)
    output = EncoderOutput(
        torch.arange(12).view(6, 2), torch.arange(3).view(3, 1), (ids, ids + 10), torch.ones(4, 2)
    )
    span = context.spans[1]
    assert span == Span(1, 1, 3, 2, 6)
    part, own = batch.narrow(span), output.narrow(span)
    assert (part.input_ids_T.tolist(), part.token_type_ids_T) == ([2, 3, 4, 5], None)
    assert (part.feature_of_row_R.tolist(), dict(part.targets)) == ([0, 1], {})
    assert part.context.first_token_of_row_R.tolist() == [0, 3]
    assert own.hidden_TH.tolist() == [[4, 5], [6, 7], [8, 9], [10, 11]]
    assert own.pooled_RH.tolist() == [[1], [2]]
    assert [layer.tolist() for layer in own.layers] == [[2, 3, 4, 5], [12, 13, 14, 15]]
    assert own.word_embeddings_VH is output.word_embeddings_VH
    bare = EncoderOutput(output.hidden_TH).narrow(span)
    assert (bare.pooled_RH, bare.layers) == (None, None)


def test_the_longest_rows_share_a_batch(mixed, monkeypatch) -> None:
    seen = []
    inner = mixed.decode
    monkeypatch.setattr(mixed, "decode", lambda batch: seen.append(batch.context) or inner(batch))
    decode_mixed(mixed, tables(), settings=EvaluationSettings(batch_size=4))
    longest = [context.lengths_R.tolist() for context in seen]
    assert [min(one) >= max(two) for one, two in pairwise(longest)] == [True]
    assert all(
        [span.task for span in context.spans] == sorted(span.task for span in context.spans)
        for context in seen
    )


def test_a_task_that_fills_a_batch_has_it_to_itself() -> None:
    tasks = np.array([0, 3, 0, 0, 3, 7, 0, 0])
    lengths = np.array([5, 9, 2, 8, 1, 4, 7, 3])
    found = [batch.tolist() for batch in mixed_batches(tasks, lengths, 2)]
    assert found == [[3, 6], [0, 7], [1, 4], [5, 2]]
    assert list(mixed_batches(tasks[:0], lengths[:0], 2)) == []
