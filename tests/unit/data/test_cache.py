from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import shutil

import numpy as np
import pytest

from bertmod.contracts.tokenizer import RowTable
from bertmod.data.cache import cached_features, file_hash
from bertmod.data.features import FeatureTable
from bertmod.errors import DataError

KEY = {"tokenizer": "abc", "max_length": "128"}


def table(rows: int = 5) -> FeatureTable:
    lengths = np.arange(1, rows + 1)
    tokens = int(lengths.sum())
    return FeatureTable.from_rows(
        RowTable(
            input_ids=np.arange(tokens, dtype=np.int32),
            token_type_ids=np.zeros(tokens, dtype=np.uint8),
            bounds=np.concatenate([[0], np.cumsum(lengths)]),
            truncated=np.zeros(rows, dtype=bool),
        ),
        {"labels": np.arange(rows)},
    )


class Maker:
    """Makes a table and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> FeatureTable:
        self.calls += 1
        return table()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("a\n")
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "features"


def same(one: FeatureTable, other: FeatureTable) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(one[i].rows[0]["input_ids"], other[i].rows[0]["input_ids"])
        and one[i].targets["labels"] == other[i].targets["labels"]
        for i in range(len(one))
    )


def test_the_second_time_nothing_is_made(cache, source) -> None:
    make = Maker()
    first = cached_features(cache, files=[source], key=KEY, make=make)
    again = cached_features(cache, files=[source], key=KEY, make=make)
    assert make.calls == 1
    assert same(first, table())
    assert same(again, table())
    assert isinstance(again.tokens["input_ids"], np.memmap)
    assert [path.name[0] != "." for path in cache.iterdir()] == [True]


def test_what_is_hashed(cache, source, tmp_path) -> None:
    make = Maker()
    cached_features(cache, files=[source], key=KEY, make=make)
    cached_features(cache, files=[source], key={**KEY, "max_length": "64"}, make=make)
    assert make.calls == 2
    copy = tmp_path / "other_name.tsv"
    shutil.copy(source, copy)
    cached_features(cache, files=[copy], key=dict(reversed(KEY.items())), make=make)
    assert make.calls == 2
    source.write_text("b\n")
    cached_features(cache, files=[source], key=KEY, make=make)
    assert make.calls == 3


def test_a_file_is_hashed_once_until_it_changes(source, monkeypatch) -> None:
    assert file_hash(source) == hashlib.sha256(b"a\n").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr("hashlib.file_digest", None)
        file_hash(source)
    source.write_text("bb\n")
    assert file_hash(source) == hashlib.sha256(b"bb\n").hexdigest()


def test_a_missing_file(cache, tmp_path) -> None:
    with pytest.raises(DataError, match=r"none\.tsv: cannot be read: No such file or directory$"):
        cached_features(cache, files=[tmp_path / "none.tsv"], key=KEY, make=Maker())


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _truncate(path):
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("damage", [_flip, _truncate, os.remove])
@pytest.mark.parametrize("file", ["000.npy", "columns.json", "manifest.json"])
def test_a_damaged_entry_is_made_again(cache, source, caplog, damage, file) -> None:
    make = Maker()
    cached_features(cache, files=[source], key=KEY, make=make)
    (entry,) = cache.iterdir()
    damage(entry / file)
    assert same(cached_features(cache, files=[source], key=KEY, make=make), table())
    assert make.calls == 2
    assert caplog.messages == [f"{entry}: damaged cache entry, made again"]
    cached_features(cache, files=[source], key=KEY, make=make)
    assert make.calls == 2
    assert list(cache.iterdir()) == [entry]


def test_a_failing_maker_leaves_nothing(cache, source) -> None:
    def fail() -> FeatureTable:
        raise DataError("no")

    with pytest.raises(DataError, match=r"^no$"):
        cached_features(cache, files=[source], key=KEY, make=fail)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, source, caplog) -> None:
    blocked = tmp_path / "blocked"
    blocked.touch()
    assert same(cached_features(blocked, files=[source], key=KEY, make=Maker()), table())
    assert caplog.messages == [f"{blocked}: features are not kept: File exists"]


def test_half_written_folders_go_after_a_day(cache, source) -> None:
    for name, age in (("old", 0), ("new", None)):
        (cache / f".writing-{name}").mkdir(parents=True)
        if age is not None:
            os.utime(cache / f".writing-{name}", (age, age))
    cached_features(cache, files=[source], key=KEY, make=Maker())
    assert not (cache / ".writing-old").exists()
    assert (cache / ".writing-new").exists()


def _ask(cache, source, barrier, results):
    def make() -> FeatureTable:
        barrier.wait()  # every process has found the cache empty
        return table()

    found = cached_features(cache, files=[source], key=KEY, make=make)
    results.put(same(found, table()))


def test_processes_may_ask_at_once(cache, source) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.SimpleQueue()
    asking = [context.Process(target=_ask, args=(cache, source, barrier, results)) for _ in "abcd"]
    for process in asking:
        process.start()
    for process in asking:
        process.join(30)
    assert [results.get() for _ in asking] == [True] * 4
    assert len(list(cache.iterdir())) == 1


def test_warnings_are_given_again(cache, source) -> None:
    def warned() -> FeatureTable:
        logging.getLogger("bertmod").warning("a row is malformed")
        return table()

    again = []
    arguments = {"files": [source], "key": KEY, "warn_again": lambda: again.append("again")}
    cached_features(cache, make=warned, **arguments)
    assert again == []
    cached_features(cache, make=warned, **arguments)
    assert again == ["again"]
    other = {**arguments, "key": {**KEY, "max_length": "64"}}
    for _ in range(2):
        cached_features(cache, make=table, **other)
    assert again == ["again"], "nothing was wrong with these"
