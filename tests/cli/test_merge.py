"""``bertmod merge``: adapter files of one kind into one."""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file


@pytest.fixture
def files(trained):
    return {task: trained / "best/mean" / task for task in ("cola", "sst2", "mnli", "rte")}


def test_an_average_of_two(here, files, tmp_path) -> None:
    words = ("--weights", "3,1")
    result = here("merge", "out", files["cola"], files["sst2"], *words)
    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        "",
        "out: task cola, merged from 0.75 cola, 0.25 sst2\n",
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "model.safetensors",
        "task.json",
    ]
    record = json.loads((tmp_path / "out/task.json").read_text())
    assert [source["id"] for source in record["merged_from"]] == ["cola", "sst2"]
    mean, one, two = (
        load_file(folder / "model.safetensors")
        for folder in (tmp_path / "out", files["cola"], files["sst2"])
    )
    name = "head.classifier.weight"
    assert (mean[name] - (0.75 * one[name] + 0.25 * two[name])).abs().max() < 1e-6


def test_task_arithmetic_with_a_head(here, files, tmp_path) -> None:
    words = ("--method", "arithmetic", "--weights=1,-0.5", "--head", "mnli")
    result = here("merge", "out", files["cola"], files["mnli"], *words)
    assert (result.returncode, result.stderr) == (
        0,
        "out: task mnli, merged from 1 cola, -0.5 mnli\n",
    )


def test_what_is_refused(here, files, trained) -> None:
    cola, mnli = files["cola"], files["mnli"]
    for words, message in (
        (("out", cola), "merging takes two adapter files at least, not 1\n"),
        (
            ("out", cola, mnli, "--weights", "1,x"),
            "--weights 1,x: numbers with commas between them, such as 0.5,0.5\n",
        ),
        (
            ("out", cola, mnli),
            f"{cola} and {mnli} cannot be merged with their heads: cola has the labels 0, 1 and "
            "mnli has the labels contradiction, entailment, neutral\n"
            "  say which head the merged adapter gets: --head cola or --head mnli\n",
        ),
        (
            ("out", cola, trained),
            f"{trained}: no adapter file (it has no task.json)\n"
            "  accepted: the folder of one task, such as RUN/best/tasks/cola\n",
        ),
        ((trained, cola, mnli), f"{trained}: exists already; name another folder\n"),
    ):
        result = here("merge", *words)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {message}")
