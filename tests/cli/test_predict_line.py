"""``bertmod predict --text``: one example in, JSON out."""

from __future__ import annotations

import json

import pytest

TASKS = "cola, mrpc, mnli, rte, stsb, sst2, qqp, qnli, ax"
PAIRED = ("mrpc", "mnli", "rte", "stsb", "qqp", "qnli", "ax")
TEXT = ("--text", "The cat sat.")


@pytest.fixture
def refused(refused, trained):
    """As of any command, of predict on the run."""
    return lambda message, *words: refused(message, "predict", trained, *words)


def test_one_task(bertmod, trained) -> None:
    result = bertmod("predict", trained, "--task", "cola", *TEXT)
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert list(answer) == ["label", "probabilities"]
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert result.stdout == json.dumps(answer, indent=2) + "\n"


def test_a_line_is_answered_as_a_row(here, trained, table, tmp_path) -> None:
    table("x.tsv", "text\ttext_pair\nThe cat sat.\tA cat.\n")
    words = ("--task", "rte", "--input", "x.tsv", "--output", "y.jsonl")
    assert here("predict", trained, *words).returncode == 0
    row = json.loads((tmp_path / "y.jsonl").read_text())
    line = json.loads(
        here("predict", trained, "--task", "rte", *TEXT, "--text-pair", "A cat.").stdout
    )
    assert {"id": "0", **line} == row


@pytest.mark.parametrize("content", ["A cat.", "A cat.\n", "\ufeffA cat.\r\n\n"])
def test_a_second_text_from_a_file(here, trained, tmp_path, content) -> None:
    (tmp_path / "pair.txt").write_bytes(content.encode())
    words = ("predict", trained, "--task", "rte", *TEXT)
    read = here(*words, "--text-pair-file", "pair.txt")
    assert (read.returncode, read.stderr) == (0, "")
    assert read.stdout == here(*words, "--text-pair", "A cat.").stdout


def test_every_task(here, trained) -> None:
    result = here("predict", trained, "--task", "all", *TEXT, "--text-pair", "A cat.")
    assert (result.returncode, result.stderr) == (0, "")
    answers = json.loads(result.stdout)
    assert list(answers) == TASKS.split(", ")
    assert list(answers["stsb"]) == ["value"]
    result = here("predict", trained, "--task", "all", *TEXT)
    assert list(json.loads(result.stdout)) == ["cola", "sst2"]
    assert result.stderr == "".join(
        f"{task}: passed over, the second text is missing\n" for task in PAIRED
    )


def test_two_tasks_of_one_kind(here, recipe, cola) -> None:
    tasks = [{"name": "cola"}, {"name": "cola", "id": "again"}]
    assert here("run", recipe(tasks=tasks), "--data", cola, "--quiet").returncode == 0
    for words in (("--task", "cola", "--task", "again"), ("--task", "all")):
        result = here("predict", "runs/tiny", *words, "--text", "A")
        assert (result.returncode, list(json.loads(result.stdout))) == (0, ["cola", "again"])


def test_which_task(refused) -> None:
    refused(
        "error: --text: say which task answers, with --task ID, or --task all for every one\n"
        f"  the run has: {TASKS}\n",
        *TEXT,
    )
    refused(f'error: no task "colla" in this run\n  it has: {TASKS}\n', "--task", "colla", *TEXT)


def test_texts_that_do_not_suit_the_task(refused) -> None:
    refused(
        'error: task "rte": the second text is missing\n'
        '  given: "text"\n'
        '  accepted: "text_pair" or "sentence2" or "hypothesis"\n',
        *("--task", "rte", *TEXT),
    )
    refused(
        'error: --text-pair: task "cola" does not read it\n',
        *("--task", "cola", *TEXT, "--text-pair", "A cat."),
    )
    refused(
        'error: --choice: task "cola" does not read it\n',
        *("--task", "cola", *TEXT, "--choice", "A cat."),
    )


def test_what_stands_beside_the_text(refused, table, tmp_path) -> None:
    table("pair.txt", "A cat.")
    for option in ("--text-pair", "--text-pair-file", "--choice"):
        refused(f"error: {option} stands beside --text, which is not given\n", option, "pair.txt")
    refused(
        "error: --text-pair and --text-pair-file: the second text is given twice\n",
        *(*TEXT, "--text-pair", "A cat.", "--text-pair-file", "pair.txt"),
    )
    others = {"--input": "x.tsv", "--data": "x", "--output": "y.jsonl", "--columns": "a"}
    for option, value in {**others, "--format": "google"}.items():
        refused(
            f"error: {option} does not go with --text, which is answered as JSON on standard "
            "output\n",
            *(*TEXT, option, value),
        )


def test_a_file_that_cannot_be_read(refused, tmp_path) -> None:
    words = ("--task", "rte", *TEXT, "--text-pair-file")
    refused("error: no.txt: cannot be read: No such file or directory\n", *words, "no.txt")
    (tmp_path / "latin.txt").write_bytes("one\ncaf\u00e9\n".encode("latin-1"))
    refused(
        "error: latin.txt, line 2, byte 4 of the line: not UTF-8 (0xe9)\n"
        "  save the file as UTF-8\n",
        *(*words, "latin.txt"),
    )
