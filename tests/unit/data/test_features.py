"""Features in columns: the same features whether built one by one, in bulk, or read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertmod import DataError, Feature
from bertmod.contracts.tokenizer import RowTable
from bertmod.data.features import Column, FeatureTable


def row(*ids: int) -> dict[str, np.ndarray]:
    return {
        "input_ids": np.array(ids, np.int32),
        "token_type_ids": np.zeros(len(ids), np.uint8),
    }


def feature(example: int, *rows, spans=(), label: int = 0) -> Feature:
    return Feature(
        example=example,
        rows=rows,
        targets={"labels": np.array(label)},
        positions={"start": np.array(1)},
        host={"spans": np.array(spans, np.int32)},
    )


FEATURES = [
    feature(0, row(1, 2, 3), spans=[4, 5]),
    feature(0, row(4, 5), row(6, 7, 8, 9), label=1),
    feature(2, row(10), spans=[6]),
]


def assert_same(first, second) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.example == b.example
        assert len(a.rows) == len(b.rows)
        for ours, theirs in zip(a.rows, b.rows, strict=True):
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])
                assert ours[name].dtype == theirs[name].dtype
        for group in ("targets", "positions", "host"):
            ours, theirs = getattr(a, group), getattr(b, group)
            assert ours.keys() == theirs.keys()
            for name in ours:
                np.testing.assert_array_equal(ours[name], theirs[name])


def test_features_come_back_one_by_one() -> None:
    table = FeatureTable.from_features(FEATURES)
    assert_same(table, FEATURES)
    assert_same([table[-1], table[0]], [FEATURES[2], FEATURES[0]])
    assert_same(table[1:], FEATURES[1:])
    assert table.lengths.tolist() == [3, 6, 1]
    assert table.row_lengths.tolist() == [3, 2, 4, 1]
    for index in (3, -4):
        with pytest.raises(IndexError):
            table[index]


def test_taking_some() -> None:
    table = FeatureTable.from_features(FEATURES)
    taken = table.take(np.array([2, 1, 1]))
    assert_same(taken, [FEATURES[2], FEATURES[1], FEATURES[1]])
    assert len(table.take(np.array([], np.int64))) == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_saved_and_opened(tmp_path, count) -> None:
    table = FeatureTable.from_features(FEATURES[:count])
    table.save(tmp_path)
    opened = FeatureTable.open(tmp_path)
    assert_same(opened, FEATURES[:count])
    if count:
        assert isinstance(opened.tokens["input_ids"], np.memmap)
        assert_same(opened.take(np.arange(count)[::-1]), FEATURES[:count][::-1])


def test_a_damaged_table_is_a_data_error(tmp_path) -> None:
    FeatureTable.from_features(FEATURES).save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        content = path.read_bytes()
        for damage in (content[:9], b""):
            path.write_bytes(damage)
            with pytest.raises(DataError, match="damaged feature table"):
                FeatureTable.open(tmp_path)
        path.write_bytes(content)
    assert_same(FeatureTable.open(tmp_path), FEATURES)


def test_concatenated_tables() -> None:
    tables = [FeatureTable.from_features(FEATURES[:2]), FeatureTable.from_features(FEATURES[2:])]
    assert_same(FeatureTable.concatenate(tables), FEATURES)
    assert FeatureTable.concatenate(tables[:1]) is tables[0]


def test_tables_of_different_columns_do_not_mix() -> None:
    other = Feature(0, (row(1),), {"other": np.array(1)}, {}, {})
    tables = [FeatureTable.from_features(FEATURES), FeatureTable.from_features([other])]
    for pair in (tables, tables[::-1]):
        with pytest.raises(ValueError, match="a column must be there for all features"):
            FeatureTable.concatenate(pair)
    with pytest.raises(ValueError, match="a column must be there for all features"):
        FeatureTable.from_features([*FEATURES, other])


def test_an_empty_split_joins_any_other() -> None:
    tables = [FeatureTable.from_features([]), FeatureTable.from_features(FEATURES)]
    assert_same(FeatureTable.concatenate(tables), FEATURES)
    assert len(FeatureTable.concatenate([tables[0], tables[0]])) == 0


def test_rows_of_a_tokenizer() -> None:
    rows = RowTable(
        np.array([1, 2, 3, 4], np.int32),
        np.array([0, 0, 0, 1], np.uint8),
        np.array([0, 1, 4]),
        np.array([False, False]),
    )
    table = FeatureTable.from_rows(rows, {"labels": np.array([7, 8])})
    assert [each.example for each in table] == [0, 1]
    assert [each.targets["labels"].item() for each in table] == [7, 8]
    assert table[1].rows[0]["input_ids"].tolist() == [2, 3, 4]
    other = FeatureTable.from_rows(rows, example=np.array([5, 5]))
    assert [each.example for each in other] == [5, 5]


@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    data=st.data(),
)
def test_a_column_gives_the_vectors_wanted(lengths, data) -> None:
    vectors = [np.arange(n) + 10 * i for i, n in enumerate(lengths)]
    wanted = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    taken = Column.of(vectors).take(np.array(wanted, np.int64))
    assert [taken[i].tolist() for i in range(len(wanted))] == [vectors[i].tolist() for i in wanted]
