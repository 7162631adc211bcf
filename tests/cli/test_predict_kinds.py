"""``bertmod predict`` for questions, choices and tags, beside sentences in one run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

PASSAGE = "The cat sat on the mat. A dog slept under the old table, and it rained all day."
QUESTIONS = [
    {"id": "q1", "question": "Where did the cat sit?", "answers": [("on the mat", 12)]},
    {"id": "q2", "question": "What did the dog do?", "answers": [("slept", 30)]},
]
SENTENCES = "Ada B-PER\nLovelace I-PER\nlived O\nin O\nLondon B-LOC\n. O\n\nIt O\nrained O\n. O\n"
ENDINGS = ("She leaves.", "It rains.", "The cat sat.", "No.")


def squad_file(questions: list[dict[str, Any]], context: str = PASSAGE) -> str:
    """A file of SQuAD 1.1."""
    qas = [
        {**each, "answers": [{"text": t, "answer_start": s} for t, s in each.get("answers", ())]}
        for each in questions
    ]
    paragraphs = [{"context": context, "qas": qas}]
    return json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]})


def swag_file(*, labels: bool) -> str:
    """SWAG's CSV of eight rows."""
    columns = ["video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source"]
    columns += [f"ending{n}" for n in range(4)]
    head = ",".join(["", *columns, *(["label"] if labels else [])])
    rows = [
        ",".join([str(n), "v", str(n), "x", "A door.", "She", "gold", *ENDINGS, str(n % 4)])
        for n in range(8)
    ]
    rows = rows if labels else [row.rpartition(",")[0] for row in rows]
    return "".join(f"{row}\n" for row in (head, *rows))


@pytest.fixture(scope="session")
def kinds(
    tmp_path_factory: pytest.TempPathFactory,
    env: Mapping[str, str],
    sample: Path,
    tiny: Mapping[str, Any],
) -> Path:
    """The folder of one tiny run on a task of each kind; nobody writes into it."""
    folder = tmp_path_factory.mktemp("kinds")
    data = folder / "data"
    for name in ("CoLA", "STS-B"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).symlink_to(sample / name)
    for name in ("SQuAD", "CoNLL2003", "SWAG"):
        (data / name).mkdir()
    for split in ("train", "dev"):
        (data / f"SQuAD/{split}-v1.1.json").write_text(squad_file(QUESTIONS))
        (data / f"CoNLL2003/{split}.txt").write_text(SENTENCES)
    for split in ("train", "val"):
        (data / f"SWAG/{split}.csv").write_text(swag_file(labels=True))
    tasks = [{"name": name} for name in ("cola", "stsb", "squad", "conll", "swag")]
    tasks[2] |= {"max_query_length": 16, "doc_stride": 8}
    (folder / "kinds.json").write_text(json.dumps({**tiny, "tasks": tasks}))
    words = ["run", "kinds.json", "--data", "data", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "bertmod", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "kinds"


@pytest.fixture
def answer(here, kinds):
    """What predict says in JSON to these words."""

    def ask(*words: str | Path) -> Any:
        result = here("predict", kinds, *words)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        return json.loads(result.stdout)

    return ask


@pytest.fixture
def refused(refused, kinds):
    """As of any command, of predict on the run."""
    return lambda message, *words: refused(message, "predict", kinds, *words)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_question_and_a_passage(answer, table) -> None:
    words = ("--task", "squad", "--text", "Where did the cat sit?")
    found = answer(*words, "--text-pair", PASSAGE)
    assert {"text", "probability", "start", "end", "nbest"} <= set(found)
    assert found["text"] == " ".join(PASSAGE[found["start"] : found["end"]].split())
    assert 0 <= found["probability"] <= 1
    assert found["nbest"][0]["text"] == found["text"]
    table("passage.txt", PASSAGE + "\n")
    assert answer(*words, "--text-pair-file", "passage.txt") == found


def test_an_empty_passage_is_answered_too(answer) -> None:
    found = answer("--task", "squad", "--text", "Where?", "--text-pair", "")
    assert (found["text"], found["start"], found["end"]) == ("", None, None)


def test_the_words_of_a_line(answer) -> None:
    text = "Ada  Lovelace lived in London."
    found = answer("--task", "conll", "--text", text)
    assert found["words"] == ["Ada", "Lovelace", "lived", "in", "London", "."]
    assert len(found["tags"]) == len(found["probabilities"]) == 6
    for entity in found["entities"]:
        assert entity["text"] == text[entity["start"] : entity["end"]]


def test_choices(answer, refused) -> None:
    words = ("--task", "swag", "--text", "A door.", "--text-pair", "She")
    found = answer(*words, "--choice", "leaves.", "--choice", "rains.", "--choice", "sat.")
    assert set(found) == {"choice", "text", "probabilities"}
    assert found["text"] == ("leaves.", "rains.", "sat.")[found["choice"]]
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-5)
    refused(
        'error: task "swag": two or more choices are needed, each with text\n',
        *words,
        "--choice",
        "leaves.",
    )


def test_every_kind_at_once(here, kinds) -> None:
    words = ("--task", "all", "--text", "The cat sat.", "--text-pair", PASSAGE)
    result = here("predict", kinds, *words)
    assert list(json.loads(result.stdout)) == ["cola", "stsb", "squad", "conll"]
    assert result.stderr == "swag: passed over, a context and its choices are needed\n"
    words = (*words, "--choice", "A cat.", "--choice", "No.")
    result = here("predict", kinds, *words)
    assert (list(json.loads(result.stdout)), result.stderr) == (
        ["cola", "stsb", "squad", "conll", "swag"],
        "",
    )


def test_a_file_of_questions(here, kinds, table, tmp_path) -> None:
    unanswered = [{key: each[key] for key in ("id", "question")} for each in QUESTIONS]
    name = table("new.json", squad_file(unanswered))
    for output in ("y.json", "y.jsonl", "y.tsv"):
        words = ("--task", "squad", "--input", name, "--output", output)
        result = here("predict", kinds, *words)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == f"{output}: 2 predictions of task squad\n"
    rows = lines_of(tmp_path / "y.jsonl")
    texts = {row["id"]: row["text"] for row in rows}
    assert list(texts) == ["q1", "q2"]
    assert json.loads((tmp_path / "y.json").read_text()) == texts
    shown = "".join(f"{id_}\t{text}\n" for id_, text in texts.items())
    assert (tmp_path / "y.tsv").read_text() == f"index\tprediction\n{shown}"


def test_questions_in_google_s_files(here, kinds, table, tmp_path) -> None:
    name = table("new.json", squad_file(QUESTIONS))
    words = ("--task", "squad", "--input", name)
    result = here("predict", kinds, *words, "--format", "google", "--output", "out")
    assert (result.returncode, result.stdout, result.stderr) == (
        0,
        "",
        "out/predictions.json: 2 predictions of task squad\n"
        "out/nbest_predictions.json: 2 predictions of task squad\n",
    )
    assert here("predict", kinds, *words, "--output", "y.json").returncode == 0
    plain = (tmp_path / "out/predictions.json").read_bytes()
    assert plain == (tmp_path / "y.json").read_bytes()
    nbest = json.loads((tmp_path / "out/nbest_predictions.json").read_text())
    assert list(nbest) == ["q1", "q2"]


def test_a_table_of_questions(here, kinds, table, tmp_path) -> None:
    rows = [{"question": each["question"], "context": PASSAGE} for each in QUESTIONS]
    rows.append({"question": "Where?", "context": ""})
    name = table("x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    words = ("--task", "squad", "--input", name, "--output", "y.jsonl")
    assert here("predict", kinds, *words).returncode == 0
    found = lines_of(tmp_path / "y.jsonl")
    assert [row["id"] for row in found] == ["0", "1", "2"]
    assert (found[2]["text"], found[2]["start"]) == ("", None)


def test_a_file_of_columns(here, kinds, table, tmp_path) -> None:
    name = table("new.txt", "Ada\nlived\n\nIt\n")
    words = ("--task", "conll", "--input", name)
    assert here("predict", kinds, *words, "--output", "y.jsonl").returncode == 0
    found = lines_of(tmp_path / "y.jsonl")
    assert [row["words"] for row in found] == [["Ada", "lived"], ["It"]]
    shown = here("predict", kinds, *words).stdout.splitlines()
    assert shown == ["index\tprediction", *(f"{r['id']}\t{' '.join(r['tags'])}" for r in found)]
    rows = table("x.jsonl", json.dumps({"words": ["Ada", "lived"]}) + "\n")
    words = ("--task", "conll", "--input", rows, "--output", "z.jsonl")
    assert here("predict", kinds, *words).returncode == 0
    assert lines_of(tmp_path / "z.jsonl") == [{**found[0], "id": "0"}]


def test_a_file_of_choices(here, kinds, table, tmp_path) -> None:
    name = table("test.csv", swag_file(labels=False))
    result = here("predict", kinds, "--task", "swag", "--input", name)
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["index", "prediction"]
    assert [index for index, _ in rows[1:]] == [str(n) for n in range(8)]
    assert {choice for _, choice in rows[1:]} <= {"0", "1", "2", "3"}


def test_tasks_without_google_s_files(refused, table) -> None:
    name = table("new.txt", "Ada\n")
    refused(
        'error: --format google: task "conll": google-research/bert has files for classes and for '
        "spans, not for its answers\n",
        *("--task", "conll", "--input", name, "--format", "google", "--output", "out"),
    )


def test_files_that_are_not_of_the_task_s_form(refused, table) -> None:
    name = table("new.json", squad_file(QUESTIONS))
    endings = "input files end in .tsv, .csv, .jsonl, .parquet"
    refused(f"error: new.json: {endings}\n", "--task", "cola", "--input", name)
    told = (
        "error: new.json: tables end in .tsv, .csv, .jsonl, .parquet\n"
        "  a file of a task's own form is answered by one task, without --columns\n"
    )
    refused(told, "--task", "all", "--input", name)
    refused(told, "--task", "squad", "--input", name, "--columns", "a,b")
    refused(
        "error: no.json: cannot be read: No such file or directory\n",
        *("--task", "squad", "--input", "no.json"),
    )


def test_a_broken_file_of_questions(here, kinds, table, tmp_path) -> None:
    for text in ("{", '{"data": 3}', '{"data": [{"paragraphs": [{"qas": []}]}]}'):
        name = table("new.json", text)
        words = ("--task", "squad", "--input", name, "--output", "y.jsonl")
        result = here("predict", kinds, *words)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("error: new.json")
        assert not (tmp_path / "y.jsonl").exists()


def test_a_table_in_a_form_of_its_own(here, recipe, table, tmp_path) -> None:
    """What the options say of the table holds for the rows to be answered too."""
    rows = "".join(f"r{n};Lucky cat {n};{'good' if n % 2 else 'bad'}\n" for n in range(12))
    path = table("train.csv", f"key;review;verdict\n{rows}")
    task = {"name": "table", "train": path, "dev": path, "text": "review", "label": "verdict"}
    options = {"delimiter": ";", "id_column": "key"}
    name = recipe(tasks=[{**task, **options}])
    assert here("run", name, "--quiet").returncode == 0
    table("new.csv", "key;review\na;A cat.\nb;A dog.\n")
    words = ("predict", "runs/tiny", "--input", "new.csv")
    result = here(*words)
    assert (result.returncode, result.stderr) == (0, "")
    found = [line.split("\t") for line in result.stdout.splitlines()]
    assert [index for index, _ in found] == ["index", "a", "b"]
    assert {answer for _, answer in found[1:]} <= {"good", "bad"}
    table("new.csv", "key;text\na;A cat.\nb;A dog.\n")
    assert here(*words).stdout == result.stdout
    table("new.csv", "key;other\na;A cat.\n")
    result = here(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        'error: new.csv, row 1: task "table": the text is missing\n  given: '
    )


def test_test_splits_of_questions_do_not_meet(here, recipe, table, tmp_path) -> None:
    """Two tasks of spans write files of the same names: each has a folder."""
    squad = table("squad.json", squad_file(QUESTIONS))
    rows = [{**each, "context": PASSAGE, "answer": each["answers"][0][0]} for each in QUESTIONS]
    spans = table("spans.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    small = {"max_query_length": 16, "doc_stride": 8}
    files = [{"train": path, "dev": path, "test": path} for path in (squad, spans)]
    tasks = [{"name": "squad", **files[0], **small}, {"name": "span_table", **files[1], **small}]
    assert here("run", recipe(tasks=tasks), "--quiet").returncode == 0
    result = here("predict", "runs/tiny", "--output", "out")
    assert result.returncode == 0
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in tmp_path.glob("out/*/*"))
    assert found == [
        f"{task}/{name}"
        for task in ("span_table", "squad")
        for name in ("nbest_predictions.json", "predictions.json")
    ]
    assert list(json.loads((tmp_path / "out/squad/predictions.json").read_text())) == ["q1", "q2"]
    result = here("predict", "runs/tiny", "--task", "squad", "--output", "one")
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "nbest_predictions.json",
        "predictions.json",
    ]
