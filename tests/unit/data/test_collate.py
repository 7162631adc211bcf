"""Batches: layouts, targets and positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod import Feature
from bertmod.data.collate import collate, host_targets, row_layout
from bertmod.data.features import FeatureTable


def feature(*rows, start: int = 0, label: float = 0.0) -> Feature:
    return Feature(
        example=0,
        rows=tuple(
            {
                "input_ids": np.array(ids, np.int32),
                "token_type_ids": np.array([0] * (len(ids) - 1) + [1], np.uint8),
            }
            for ids in rows
        ),
        targets={"labels": np.array(label)},
        positions={"start": np.array(start), "pair": np.array([start, start + 1])},
        host={},
    )


TABLE = FeatureTable.from_features(
    [
        feature([11, 12, 13], start=1, label=0.5),
        feature([21, 22], [31, 32, 33, 34], start=4, label=1.5),
        feature([41], start=-3, label=2.5),
        feature([51, 52], start=2, label=3.5),
    ]
)


def tokens_at(batch, name: str) -> list:
    """The token that each position names; None where it does not count."""
    flat = batch.targets[name].flatten().tolist()
    return [None if place < 0 else batch.input_ids_T[place].item() for place in flat]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_a_batch_of_rows(layout) -> None:
    batch = collate(TABLE, layout=layout)
    context = batch.context
    real = context.position_of_token_T < context.lengths_R[context.row_of_token_T]
    assert batch.input_ids_T[real].tolist() == [
        *(11, 12, 13),
        *(21, 22),
        *(31, 32, 33, 34),
        41,
        *(51, 52),
    ]
    assert batch.token_type_ids_T[real].tolist() == [0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1]
    assert not batch.input_ids_T[~real].any()
    assert context.lengths_R.tolist() == [3, 2, 4, 1, 2]
    assert batch.feature_of_row_R.tolist() == [0, 1, 1, 2, 3]
    assert batch.targets["labels"].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert batch.targets["labels"].dtype == torch.float64
    assert batch.input_ids_T.dtype == torch.int64


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_positions_count_flat_tokens(layout) -> None:
    """Below 0 is the first token; beyond the feature counts nothing."""
    batch = collate(TABLE, layout=layout)
    assert tokens_at(batch, "start") == [12, 33, 41, None]
    assert tokens_at(batch, "pair") == [12, 13, 33, 34, 41, 41, None, None]
    assert batch.targets["pair"].shape == (4, 2)


def test_targets_on_the_host_tell_what_counts() -> None:
    targets = host_targets(TABLE)
    assert targets["start"].tolist() == [1, 4, 0, -1]
    assert targets["pair"].tolist() == [[1, 2], [4, 5], [0, 0], [-1, -1]]
    assert targets["labels"].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_shapes_that_repeat() -> None:
    """Padded rows have a multiple of 8 tokens, packed ones 64 together if there is room."""
    long = FeatureTable.from_features([feature(list(range(1, 18)))] * 5)
    for layout, tokens in (("padded", 120), ("packed", 120)):
        batch = collate(long, layout=layout)
        assert batch.context.max_length == 24
        assert len(batch.input_ids_T) == tokens
    mixed = FeatureTable.from_features([feature(list(range(1, n + 1))) for n in (40, 3, 2, 1, 9)])
    batch = collate(mixed)
    assert len(batch.input_ids_T) == 64
    assert len(collate(mixed, layout="padded").input_ids_T) == 200


def test_rows_of_several_tasks() -> None:
    batch = collate(TABLE, tasks=[3, 3, 3, 1, 1])
    assert [(span.task, span.first_row, span.end_row) for span in batch.context.spans] == [
        (3, 0, 3),
        (1, 3, 5),
    ]


def test_without_segments() -> None:
    only = {"input_ids": np.array([5, 6], np.int32)}
    table = FeatureTable.from_features([Feature(0, (only,), {}, {}, {})])
    assert collate(table).token_type_ids_T is None


def words(*places: int, tokens: int) -> Feature:
    """A feature of some tokens with a tag at each of these places."""
    row = {"input_ids": np.arange(1, tokens + 1, dtype=np.int32)}
    targets = {"labels": 10 * np.array(places, np.int64)}
    return Feature(0, (row,), targets, {"words": np.array(places, np.int64)}, {})


@pytest.mark.parametrize("layout", ["packed", "padded", 40])
def test_positions_of_which_features_have_unequal_numbers(layout) -> None:
    """They lie one behind another, beside their targets; a feature may have none."""
    features = [words(0, 2, tokens=3), words(tokens=5), words(-4, 1, 9, tokens=4)]
    table = FeatureTable.from_features(features)
    assert host_targets(table)["words"].tolist() == [0, 2, 0, 1, -1]
    batch = collate(table, layout=layout)
    assert tokens_at(batch, "words") == [1, 3, 1, 2, None]
    assert batch.input_ids_T[batch.targets["words"][2]] == 1
    assert batch.targets["labels"].tolist() == [0, 20, -40, 10, 90]
    turned = collate(table.take(np.array([2, 0])), layout=layout)
    assert tokens_at(turned, "words") == [1, 2, None, 1, 3]
    first = batch.context.first_token_of_row_R
    assert batch.targets["words"][3] == first[2] + 1


def test_rows_of_a_stated_length() -> None:
    """A row that is longer is not cut: such a batch is not for losses."""
    context = collate(TABLE, layout=13).context
    assert (context.max_length, len(context.slot_of_token_T)) == (13, 5 * 13)
    assert collate(TABLE, layout=4).context.max_length == 4
    assert collate(TABLE, layout=3).context.max_length == 8


def test_the_layout_that_suits_every_head() -> None:
    assert row_layout([], "packed") == row_layout(["any", "any"], "packed") == "packed"
    assert row_layout(["any", "padded"], "packed") == row_layout(["any"], "padded") == "padded"
    assert row_layout(["padded", 128, "any", 384], "packed") == 384


def test_memory_mapped_features(tmp_path, recwarn) -> None:
    TABLE.save(tmp_path)
    opened = FeatureTable.open(tmp_path)
    for layout in ("packed", "padded"):
        ours, theirs = collate(opened, layout=layout), collate(TABLE, layout=layout)
        assert torch.equal(ours.input_ids_T, theirs.input_ids_T)
        for name, target in theirs.targets.items():
            assert torch.equal(ours.targets[name], target)
    assert not recwarn.list


def rows_of(*lengths: int) -> FeatureTable:
    return FeatureTable.from_features([feature(range(length)) for length in lengths])


def test_rows_that_hardly_differ_are_padded_where_no_token_is_to_move() -> None:
    near, far = rows_of(41, 40, 41, 40, 41, 41), rows_of(41, 9, 41, 9, 9, 41)
    assert [collate(table).context.dense for table in (near, far)] == [False, False]
    tight = [collate(table, tight=True).context for table in (near, far)]
    assert [context.dense for context in tight] == [True, False]
    assert [context.max_length for context in tight] == [41, 41]
    assert len(tight[0].slot_of_token_T) == 6 * 41


def test_tight_rows_of_a_stated_length_have_it() -> None:
    assert collate(rows_of(5, 9), tight=True, layout=16).context.max_length == 16
    assert collate(rows_of(5, 9), tight=True, layout="padded").context.max_length == 9
