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
    assert f'task "verdict": labels in {tmp_path}/reviews.csv: no (30), yes (30)' in log
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
    result = here("check", recipe(tasks=[task], adapters=[]))
    assert result.returncode == 2
    assert result.stderr == (
        "tiny.json: 3 problems\n"
        "  tasks[0].dev\n"
        "      missing: without dev rows nobody knows which state is the best\n"
        "      name a table\n"
        '      or take some of the training rows: "split": {"dev": 0.1}\n'
        "  tasks[0].label\n"
        '      "text" is a column of text too: it would tell the label\n'
        "  tasks[0].metrics[0]\n"
        '      "pearson" does not score one label per row\n'
        "      metrics that do: accuracy, exact_match, f1, macro_f1, matthews, micro_f1\n"
    )


def test_a_table_of_another_form_stops_the_run(here, recipe, table, tmp_path: Path) -> None:
    table("reviews.csv", reviews(20, delimiter=";"))
    task = {"name": "table", "train": "reviews.csv", "split": {}, "text": "review"}
    result = here(
        "run", recipe(tasks=[{**task, "label": "verdict"}], adapters=[]), "--output", "run"
    )
    assert (result.returncode, result.stderr) == (
        2,
        f"error: {tmp_path}/reviews.csv: the cells are separated by semicolons, not by commas\n"
        '  state "delimiter": ";" (or ",", if it is so after all)\n',
    )
