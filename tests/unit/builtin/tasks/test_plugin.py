from __future__ import annotations

import pytest

from bertmod import EmptyConfig, TaskSpec
from bertmod.builtin.tasks.plugin import bertmod_tasks

SPECS: dict[str, TaskSpec] = {
    spec.name: spec for spec in bertmod_tasks() if spec.config is EmptyConfig
}
CONFIG = EmptyConfig()
NLI_DEV = ("dev_matched", "dev_mismatched")


def test_names() -> None:
    assert list(SPECS) == [
        "cola",
        "sst2",
        "mrpc",
        "stsb",
        "qqp",
        "mnli",
        "qnli",
        "rte",
        "wnli",
        "ax",
    ]


@pytest.mark.parametrize("name", SPECS)
def test_splits(name) -> None:
    names = {
        "mnli": ("train", *NLI_DEV, "test_matched", "test_mismatched"),
        "ax": ("test",),
    }.get(name, ("train", "dev", "test"))
    assert SPECS[name].splits(CONFIG) == {split: split.split("_")[0] for split in names}


@pytest.mark.parametrize("name", SPECS)
def test_metrics_of_dev_splits_the_main_one_first(name) -> None:
    metrics = {
        "cola": ("matthews", "accuracy"),
        "mrpc": ("accuracy", "f1"),
        "qqp": ("accuracy", "f1"),
        "stsb": ("pearson", "spearman"),
    }.get(name, ("accuracy",))
    splits = {"mnli": NLI_DEV, "ax": ()}.get(name, ("dev",))
    assert SPECS[name].metrics(CONFIG) == dict.fromkeys(splits, metrics)


@pytest.mark.parametrize("name", SPECS)
def test_head_and_targets_suit_each_other(name) -> None:
    regression = name == "stsb"
    head = "bertmod/regression" if regression else "bertmod/classification"
    assert SPECS[name].head(CONFIG) == {"name": head}
    assert SPECS[name].targets(CONFIG) == {"labels": "value" if regression else "class"}
    expected = {"mnli": 3, "ax": 3, "stsb": 1}.get(name, 2)
    assert SPECS[name].num_labels(CONFIG) == expected


def test_options_never_clash() -> None:
    assert all(tuple(spec.check(CONFIG)) == () for spec in SPECS.values())
