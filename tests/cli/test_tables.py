"""Tables of the user's own: trained, scored, answered and refused."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = {"yes": ("good", "fine"), "no": ("bad", "dull")}


def reviews(count: int, *, delimiter: str = ",") -> str:
    rows = [delimiter.join(("key", "review", "verdict", "stars", "topics"))]
    for number in range(count):
        verdict = ("no", "yes")[number % 2]
        word = WORDS[verdict][number // 2 % 2]
        cells = (f"r{number}", f"a {word} film", verdict, str(number % 5 + 1), f"film|{word}")
        rows.append(delimiter.join(cells))
    return "\n".join(rows) + "\n"


def result_lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r", "\n").splitlines()]


def test_every_kind_of_label_on_one_encoder(here, recipe, table, tmp_path: Path) -> None:
    table("reviews.csv", reviews(60))
    table("other.csv", reviews(12, delimiter=";"))
    train = {"name": "table", "train": "reviews.csv", "text": "review", "id_column": "key"}
    other = {**train, "train": None, "dev": "other.csv", "delimiter": ";"}
    shares = {"dev": 0.2, "test": 0.1}
    balanced = {"name": "classification", "class_weights": "balanced"}
    tasks = [
        {**train, "id": "verdict", "label": "verdict", "split": shares, "head": balanced},
        {**train, "id": "stars", "label": "stars", "value_range": [1, 5], "split": {}},
        {**train, "id": "topics", "label": "topics", "label_separator": "|", "split": {}},
        {**other, "id": "other", "label": "verdict", "uses": "verdict"},
    ]
    run = here("run", recipe(tasks=tasks, adapters=[]), "--output", "run")
    assert run.returncode == 0, run.stderr
    assert "synthetic" not in run.stdout
    log = (tmp_path / "run/log.txt").read_text()
    shown = "task verdict: 2 labels: no (30), yes (30)"
    assert shown in log
    assert shown in result_lines(run.stderr)
    assert [line for line in result_lines(run.stderr) if line.startswith("task ")] == [
        shown,
        "task topics: 5 labels: bad (15), dull (15), film (60), fine (15), good (15)",
    ]
    scores = here("evaluate", "run")
    assert [line.split()[:3] for line in scores.stdout.splitlines()[1:]] == [
        ["verdict", "dev", "accuracy"],
        ["verdict", "dev", "macro_f1"],
        ["verdict", "test", "accuracy"],
        ["verdict", "test", "macro_f1"],
        ["stars", "dev", "pearson"],
        ["stars", "dev", "spearman"],
        ["stars", "dev", "rmse"],
        ["topics", "dev", "micro_f1"],
        ["topics", "dev", "macro_f1"],
        ["topics", "dev", "exact_match"],
        ["other", "dev", "accuracy"],
        ["other", "dev", "macro_f1"],
    ]
    words = ("predict", "run", "--task", "topics", "--input", "reviews.csv", "--output", "t.jsonl")
    assert here(*words).returncode == 0
    answers = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [answer["id"] for answer in answers] == [f"r{number}" for number in range(60)]
    assert answers[0]["probabilities"].keys() == {"film", "good", "fine", "bad", "dull"}
    assert here("predict", "run", "--output", "out").returncode == 0
    written = (tmp_path / "out/verdict.test.tsv").read_text().splitlines()
    assert (written[0], len(written)) == ("index\tprediction", 7)


def test_what_check_finds(here, recipe) -> None:
    task = {"name": "table", "train": "x.csv", "label": "text", "metrics": ["pearson"]}
    tasks = [task, {"name": "table", "id": "b", "train": "x.csv", "metrics": ["acuracy"]}]
    result = here(
        "check", recipe(tasks=[*tasks, {"name": "choice_table", "dev": "d.csv"}], adapters=[])
    )
    assert result.returncode == 2
    assert result.stderr == (
        "tiny.json: 4 problems\n"
        "  tasks[0].label\n"
        '      "text" is a column of text too: it would tell the label\n'
        "  tasks[0].metrics[0]\n"
        '      "pearson" does not score one label per row\n'
        "      metrics that do: accuracy, exact_match, f1, macro_f1, matthews, micro_f1\n"
        "  tasks[1].metrics[0]\n"
        '      no metric called "acuracy", did you mean "accuracy"?\n'
        "      available: accuracy, exact_match, f1, macro_f1, mae, matthews, micro_f1, pearson, "
        "rmse, spearman\n"
        "  tasks[2]\n"
        '      task "choice_table" has no train split; "uses" names the task that answers it\n'
        '      for example "uses": "table"\n'
        '      or name its training data with "train"\n'
    )


def test_without_dev_rows_the_last_step_answers(here, recipe, table, tmp_path: Path) -> None:
    table("reviews.csv", reviews(20))
    task = {"name": "table", "train": "reviews.csv", "text": "review", "label": "verdict"}
    path = recipe(tasks=[task], adapters=[])
    assert "task table: bertmod/classification, not scored (it has no dev rows)" in (
        here("check", path).stdout
    )
    run = here("run", path, "--output", "run")
    assert (run.returncode, "no task is scored" in run.stderr) == (0, True)
    assert here("predict", "run", "--text", "a good film").returncode == 0
    scored = here("evaluate", "run")
    assert (scored.returncode, scored.stderr) == (
        2,
        "error: nothing to score: no task of the run has dev rows\n",
    )


def test_what_is_said_of_dev_rows_is_said_once(here, recipe, table) -> None:
    table("reviews.csv", reviews(20))
    table("dev.csv", reviews(4).replace("yes", "perhaps", 1))
    task = {"name": "table", "train": "reviews.csv", "dev": "dev.csv", "text": "review"}
    result = here("run", recipe(tasks=[{**task, "label": "verdict"}]), "--output", "run")
    assert (result.returncode, result.stderr.count('"perhaps" is none of')) == (0, 1)


def test_a_table_of_another_form_stops_the_run(here, recipe, table, tmp_path: Path) -> None:
    table("reviews.csv", reviews(20, delimiter=";"))
    task = {"name": "table", "train": "reviews.csv", "split": {}, "text": "review"}
    result = here(
        "run", recipe(tasks=[{**task, "label": "verdict"}], adapters=[]), "--output", "run"
    )
    assert (result.returncode, result.stderr) == (
        2,
        f"error: {tmp_path}/reviews.csv: the cells are separated by semicolons, not by commas\n"
        '  state "delimiter": ";" (or ",", if it is so after all), or save the file with commas\n',
    )
