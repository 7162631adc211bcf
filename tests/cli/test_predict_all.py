"""``bertmod predict --task all``: every task's answer to every row, in one pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EIGHT = ("cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli")
ALONE = ("cola", "sst2")
PAIRED = tuple(task for task in EIGHT if task not in ALONE)
PAIRS = [("The cat sat.", "A cat sat down."), ("No.", "Yes, no."), ("It rained on.", "Sun.")]


@pytest.fixture
def pairs(table) -> str:
    rows = (json.dumps({"text": one, "text_pair": two}) + "\n" for one, two in PAIRS)
    return table("pairs.jsonl", "".join(rows))


@pytest.mark.parametrize("source", ["mean", "best"])
def test_every_answer_is_the_task_s_own(here, trained, pairs, tmp_path, source) -> None:
    words = ("--task", "all", "--input", pairs, "--from", source, "--output", "all.jsonl")
    result = here("predict", trained, *words)
    named = ", ".join((*EIGHT, "ax"))
    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        "",
        f"all.jsonl: answers of 9 tasks to 3 rows: {named}\n",
    )
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [list(row) for row in rows] == [["index", *EIGHT, "ax"]] * 3
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    for task in (*EIGHT, "ax"):
        words = ("--task", task, "--input", pairs, "--from", source, "--output", "one.jsonl")
        assert here("predict", trained, *words).returncode == 0
        alone = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
        for row, wanted in zip(rows, alone, strict=True):
            answer = row[task]
            if task == "stsb":
                assert answer == {"prediction": pytest.approx(wanted["value"], abs=1e-4)}
                continue
            assert answer["prediction"] == wanted["label"]
            assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5)


def test_a_table_with_a_column_per_task(here, trained, table, pairs, tmp_path) -> None:
    shown = here("predict", trained, "--task", "all", "--input", pairs)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0].split("\t") == ["index", *EIGHT, "ax"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["0", "1", "2"]
    assert all(len(line.split("\t")[5].split(".")[1]) == 3 for line in lines[1:])
    here("predict", trained, "--task", "all", "--input", pairs, "--output", "y.tsv")
    assert (tmp_path / "y.tsv").read_text() == shown.stdout
    (tmp_path / "y.tsv").unlink()
    rows = "".join(f"{one}\t{two}\tq{n}\n" for n, (one, two) in enumerate(PAIRS))
    named = table("named.tsv", f"a\tb\tid\n{rows}")
    words = ("--task", "all", "--input", named, "--columns", "a,b")
    again = here("predict", trained, *words).stdout.splitlines()
    assert [line.split("\t")[1:] for line in again] == [line.split("\t")[1:] for line in lines]
    assert [line.split("\t")[0] for line in again[1:]] == ["q0", "q1", "q2"]


def test_tasks_of_two_texts_are_passed_over_where_there_is_one(here, trained, table) -> None:
    name = table("x.tsv", "text\nThe cat sat.\n")
    result = here("predict", trained, "--task", "all", "--input", name)
    assert result.returncode == 0
    assert next(line.split("\t") for line in result.stdout.splitlines()) == ["index", *ALONE]
    assert result.stderr == "".join(
        f"{task}: passed over, the second text is missing\n" for task in (*PAIRED, "ax")
    )


def test_several_tasks_that_are_named_must_answer(here, trained, table, pairs) -> None:
    words = ("--task", "sst2", "--task", "cola", "--input")
    result = here("predict", trained, *words, table("x.tsv", "text\nA cat.\n"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "index\tcola\tsst2"
    result = here("predict", trained, "--task", "rte", *words, "x.tsv")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        'error: x.tsv, row 1: task "rte": the second text is missing\n'
        '  given: "text"\n'
        '  accepted: "text_pair" or "sentence2" or "hypothesis"\n',
    )
    result = here("predict", trained, "--task", "all", "--task", "rte", "--input", "x.tsv")
    assert result.returncode == 2
    for beside in ("cola", "all"):
        result = here("predict", trained, "--task", beside, "--task", "colla", "--input", pairs)
        assert result.returncode == 2
        assert result.stderr.startswith('error: no task "colla" in this run\n')


@pytest.mark.parametrize("words", [(), ("--output", "y.jsonl")])
def test_rows_that_nobody_can_answer(here, trained, table, tmp_path, words) -> None:
    name = table("x.tsv", "a\tb\nThe cat sat.\tNo.\n")
    result = here("predict", trained, "--task", "all", "--input", name, *words)
    reasons = "".join(f"  {task}: the text is missing\n" for task in (*EIGHT, "ax"))
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: x.tsv: no task can answer its rows\n{reasons}"
        "  columns there: a, b; --columns says which are texts\n",
    )
    assert not (tmp_path / "y.jsonl").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("a,c", 'error: x.tsv, row 1: no column "c"; it has: a, b\n'),
        ("a,b,a", "error: --columns a,b,a: at most 2 columns of text\n"),
    ],
)
def test_columns_that_are_wrong(here, trained, table, columns, message) -> None:
    name = table("x.tsv", "a\tb\nThe cat sat.\tNo.\n")
    words = ("--task", "all", "--input", name, "--columns", columns)
    result = here("predict", trained, *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)


def test_a_later_row_that_lacks_a_text(here, trained, table) -> None:
    name = table("x.jsonl", '{"text": "A", "text_pair": "B"}\n{"text": "A"}\n')
    result = here("predict", trained, "--task", "all", "--input", name)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        'error: x.jsonl, row 2: task "mrpc": the second text is missing\n'
    )


def test_a_task_called_as_the_rows_are(here, recipe, cola, table) -> None:
    name = recipe(tasks=[{"name": "cola", "id": "index"}])
    run = here("run", name, "--data", Path("data"), "--output", "run", "--quiet")
    assert run.returncode == 0
    rows = table("x.tsv", "text\nA cat.\n")
    result = here("predict", "run", "--task", "all", "--input", rows)
    assert (result.returncode, result.stderr) == (
        2,
        'error: the task "index" is called as the column of the rows\' numbers is: answer it by '
        "itself, with --task index\n",
    )
