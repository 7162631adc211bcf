"""``bertmod predict --format google``: the files of google-research/bert."""

from __future__ import annotations

import json

import numpy as np
import pytest

ELSE = "google-research/bert has files for classes and for spans, not for its answers"
GOOGLE = ("--format", "google", "--output", "out")


@pytest.fixture
def refused(refused, trained):
    """As of any command, of predict on the run."""
    return lambda message, *words: refused(message, "predict", trained, *words)


def test_probabilities_of_rows(here, trained, table, tmp_path) -> None:
    """Columns in the order of the label names, no header, digits as numpy writes float32."""
    name = table("x.csv", "premise,hypothesis\nA cat.,A dog.\nNo.,Yes.\n")
    result = here("predict", trained, "--task", "mnli", "--input", name, *GOOGLE)
    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        "",
        "out/test_results.tsv: 2 predictions of task mnli\n",
    )
    words = ("--task", "mnli", "--input", name, "--output", "y.jsonl")
    assert here("predict", trained, *words).returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    labels = ("contradiction", "entailment", "neutral")
    assert (tmp_path / "out/test_results.tsv").read_text() == "".join(
        "\t".join(str(np.float32(row["probabilities"][label])) for label in labels) + "\n"
        for row in rows
    )


def test_test_splits(here, trained, sample, tmp_path) -> None:
    result = here("predict", trained, "--task", "rte", *GOOGLE)
    assert (result.returncode, result.stderr) == (
        0,
        "out/test_results.tsv: predictions of task rte\n",
    )
    rows = (tmp_path / "out/test_results.tsv").read_text().splitlines()
    assert len(rows) == len((sample / "RTE/test.tsv").read_text().splitlines()) - 1
    assert all(sum(map(float, row.split("\t"))) == pytest.approx(1, abs=1e-5) for row in rows)
    words = ("--task", "mnli", "--task", "rte", "--format", "google", "--output", "two")
    assert here("predict", trained, *words).returncode == 0
    files = {str(path.relative_to(tmp_path / "two")) for path in (tmp_path / "two").rglob("*.*")}
    assert files == {
        "mnli/test_matched/test_results.tsv",
        "mnli/test_mismatched/test_results.tsv",
        "rte/test_results.tsv",
    }
    assert (tmp_path / "two/rte/test_results.tsv").read_text().splitlines() == rows


def test_tasks_without_such_files(here, trained, refused, table, tmp_path) -> None:
    name = table("x.tsv", "text\ttext_pair\nA cat.\tA dog.\n")
    refused(
        f'error: --format google: task "stsb": {ELSE}\n',
        *("--task", "stsb", "--input", name, *GOOGLE),
    )
    refused(f'error: task "stsb" was not answered: {ELSE}\n', "--task", "stsb", *GOOGLE)
    result = here("predict", trained, *GOOGLE)
    assert result.returncode == 0
    assert f"stsb: passed over, {ELSE}\n" in result.stderr
    assert not (tmp_path / "out/stsb").exists()


def test_arguments(refused, table) -> None:
    name = table("x.tsv", "text\ttext_pair\nA cat.\tA dog.\n")
    words = ("--format", "google", "--input", name)
    refused(
        "error: --format google: one task answers --input; name it with --task ID\n",
        *(*words, "--task", "all", "--output", "out"),
    )
    refused(
        "error: --format google writes several files: give --output FOLDER\n",
        *(*words, "--task", "mnli"),
    )
    refused(
        "error: x.tsv: is a file; --format google needs a folder\n",
        *(*words, "--task", "mnli", "--output", "x.tsv"),
    )
    refused(
        "error: no/out: there is no folder no\n",
        *(*words, "--task", "mnli", "--output", "no/out"),
    )


def test_a_form_that_nobody_knows(here, trained) -> None:
    result = here("predict", trained, "--format", "gogle", "--output", "out")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: Invalid value for '--format': ")
    assert ": 'gogle' is not one of 'usual', 'google'" in result.stderr
