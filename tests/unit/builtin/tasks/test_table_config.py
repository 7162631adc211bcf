"""What follows from the options of ``table`` without data, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bertmod.builtin.tasks.sentences.table_config import TABLE, TableConfig

FILES: Mapping[str, Any] = {"train": "t.csv", "dev": "d.csv"}


@pytest.mark.parametrize(
    ("options", "head", "kind", "count", "metrics"),
    [
        ({}, "classification", "class", None, ("accuracy", "macro_f1")),
        ({"labels": ("a", "b")}, "classification", "class", 2, ("accuracy", "macro_f1")),
        ({"value_range": (0.0, 5.0)}, "regression", "value", 1, ("pearson", "spearman", "rmse")),
        (
            {"label": ("x", "y", "z")},
            "multi_label",
            "flags",
            3,
            ("micro_f1", "macro_f1", "exact_match"),
        ),
        (
            {"label_separator": "|", "metrics": ("macro_f1",)},
            "multi_label",
            "flags",
            None,
            ("macro_f1",),
        ),
    ],
)
def test_the_options_say_what_a_label_is(options, head, kind, count, metrics) -> None:
    config = TableConfig(**FILES, **options)
    assert TABLE.check(config) == []
    assert TABLE.head(config) == {"name": f"bertmod/{head}"}
    assert TABLE.targets(config) == {"labels": kind}
    assert TABLE.num_labels(config) == count
    assert TABLE.metrics(config) == {"dev": metrics}


@pytest.mark.parametrize(
    ("options", "splits"),
    [
        (FILES, ("train", "dev")),
        ({**FILES, "test": "x.csv"}, ("train", "dev", "test")),
        ({"train": "t.csv", "split": {}}, ("train", "dev")),
        ({"train": "t.csv", "split": {"test": 0.1}}, ("train", "dev", "test")),
        ({"train": "t.csv", "test": "x.csv", "split": {}}, ("train", "dev", "test")),
        ({"dev": "d.csv"}, ("dev",)),
        ({"train": "t.csv"}, ("train",)),
    ],
)
def test_splits(options, splits) -> None:
    config = TableConfig(**options)
    assert TABLE.check(config) == []
    assert TABLE.splits(config) == {split: split for split in splits}
    assert tuple(TABLE.metrics(config)) == tuple(s for s in splits if s != "train")


@pytest.mark.parametrize(
    ("options", "path", "what", "more"),
    [
        ({}, "train", "missing: name the training table", ()),
        (
            {**FILES, "split": {}},
            "split",
            '"dev" names a table, and split takes dev rows too',
            ("leave one of the two out",),
        ),
        (
            {"train": "t.csv", "test": "x.csv", "split": {"test": 0.1}},
            "split.test",
            '"test" names a table already',
            ("leave one of the two out",),
        ),
        (
            {"train": "t.csv", "split": {"dev": 0.5, "test": 0.5}},
            "split",
            "dev 0.5 and test 0.5 leave no training rows",
            ("together they must be below 1",),
        ),
        (
            {"dev": None, "split": {}},
            "split",
            "there is no training table to take rows from",
            ('state "train"',),
        ),
        ({**FILES, "text": ()}, "text", "empty: name at least one column", ()),
        (
            {**FILES, "text": ("a", "a")},
            "text",
            '"a" stands twice',
            ("name each column once",),
        ),
        (
            {**FILES, "text": ("label", "b")},
            "label",
            '"label" is a column of text too: it would tell the label',
            (),
        ),
        (
            {**FILES, "value_range": (5.0, 0.0)},
            "value_range",
            "5 to 0 is no range",
            ("the lowest label first, then the highest",),
        ),
        (
            {**FILES, "value_range": (0.0, 5.0), "labels": ("a", "b")},
            "labels",
            "labels are numbers of value_range, not names",
            ("leave one of the two out",),
        ),
        (
            {**FILES, "label": ("a", "b"), "label_separator": "|"},
            "label_separator",
            "the columns of label are the labels",
            ("leave it out",),
        ),
        (
            {**FILES, "labels": ("a",)},
            "labels",
            "the label names must be two or more, each once",
            (),
        ),
        (
            {**FILES, "metrics": ("accuracy", "rmse")},
            "metrics[1]",
            '"rmse" does not score one label per row',
            ("metrics that do: accuracy, exact_match, f1, macro_f1, matthews, micro_f1",),
        ),
        (
            {**FILES, "delimiter": "\n"},
            "delimiter",
            "a quotation mark, line end or zero byte cannot part cells",
            (),
        ),
        (
            {**FILES, "encoding": "utf8x"},
            "encoding",
            'no encoding is called "utf8x"',
            ('for example "cp1252", "latin-1", "utf-16", "gb18030"',),
        ),
        (
            {**FILES, "encoding": "base64"},
            "encoding",
            'no encoding is called "base64"',
            ('for example "cp1252", "latin-1", "utf-16", "gb18030"',),
        ),
    ],
)
def test_options_that_clash(options, path, what, more) -> None:
    (problem,) = TABLE.check(TableConfig(**options))
    assert (problem.path, problem.what, problem.more) == (path, what, more)
