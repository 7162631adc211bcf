"""``bertmod evaluate``: the scores of a trained run."""

from __future__ import annotations

import json
import shutil

import pytest

TASKS = ("cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli")


def test_the_final_state_scores_as_the_run_said(bertmod, trained, tmp_path) -> None:
    words = ("evaluate", trained, "--from", "final", "--task", "all", "--output", "scores.json")
    result = bertmod(*words)
    assert (result.returncode, result.stderr) == (0, "")
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores) == [
        *("cola/dev/matthews", "cola/dev/accuracy", "mrpc/dev/accuracy", "mrpc/dev/f1"),
        *("mnli/dev_matched/accuracy", "mnli/dev_mismatched/accuracy", "rte/dev/accuracy"),
        *("stsb/dev/pearson", "stsb/dev/spearman", "sst2/dev/accuracy", "qqp/dev/accuracy"),
        *("qqp/dev/f1", "qnli/dev/accuracy"),
    ]
    table = (trained.parents[1] / "stdout.txt").read_text().splitlines()[4:-1]
    last = {f"{row.split()[0]}/{row.split()[1]}": row.split()[2] for row in table}
    assert len(last) == len(TASKS)
    for name, shown in last.items():
        assert f"{scores[name]:.4f}" == shown
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["task", "split", "metric", "score"]
    assert rows[1:] == [[*name.split("/"), f"{value:.4f}"] for name, value in scores.items()]


def test_chosen_tasks_in_the_order_of_the_run(here, trained) -> None:
    result = here("evaluate", trained, "--task", "rte", "--task", "cola", "--from", "best")
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["cola", "cola", "rte"]


def test_each_state_has_scores(here, trained) -> None:
    for source in ("mean", "best"):
        result = here("evaluate", trained, "--task", "rte", "--from", source)
        record = trained / {"mean": "best/mean", "best": "best/tasks"}[source] / "rte/task.json"
        score = json.loads(record.read_text())["score"]
        assert result.stdout.splitlines()[1].split() == ["rte", "dev", "accuracy", f"{score:.4f}"]


def test_other_data(here, trained, sample, cola) -> None:
    result = here("evaluate", trained, "--task", "cola", "--data", "data", "--from", "final")
    assert result.returncode == 0
    assert result.stdout.splitlines()[2].split()[:3] == ["cola", "dev", "accuracy"]
    shutil.copy(sample / "CoLA/dev.tsv", cola / "CoLA/dev.tsv")
    again = here("evaluate", trained, "--task", "cola", "--data", "data", "--from", "final")
    own = here("evaluate", trained, "--task", "cola", "--from", "final")
    assert again.stdout == own.stdout


def test_data_with_other_labels(here, trained, cola) -> None:
    file = cola / "CoLA/dev.tsv"
    file.write_text("x\tgood\t\tA cat.\nx\tbad\t\tA dog.\n")
    result = here("evaluate", trained, "--task", "cola", "--data", "data")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        "error: data/CoLA/dev.tsv: every row is malformed (2)\n"
        '  line 1: label "good" is none of "0", "1"\n'
        '  line 2: label "bad" is none of "0", "1"\n',
    )


def test_a_head_with_other_labels_than_the_data(here, trained, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    path = copy / "best/mean/rte/task.json"
    values = json.loads(path.read_text())
    values["info"]["labels"].reverse()
    path.unlink()
    path.write_text(json.dumps(values))
    result = here("evaluate", "copy", "--task", "rte")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        'error: task rte: the data\'s labels are ["not_entailment", "entailment"], the head\'s '
        '["entailment", "not_entailment"]\n',
    )


def test_malformed_dev_rows(here, trained, cola) -> None:
    file = cola / "CoLA/dev.tsv"
    file.write_text(file.read_text() + "x\t1\tshort\n")
    words = ("evaluate", trained, "--task", "cola", "--data", "data")
    problem = "data/CoLA/dev.tsv: %s1 malformed row of 17\n  line 17: 3 columns, not 4\n"
    result = here(*words)
    assert (result.returncode, result.stderr) == (0, f"WARNING: {problem % 'left out '}")
    result = here(*words, "--strict-data")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: {problem % ''}"
        "  such rows are left out with a warning unless --strict-data is set\n",
    )


def test_tasks_that_cannot_be_scored(here, trained) -> None:
    result = here("evaluate", trained, "--task", "colla")
    assert (result.returncode, result.stderr) == (
        2,
        'error: no task "colla" in this run\n'
        "  it has: cola, mrpc, mnli, rte, stsb, sst2, qqp, qnli, ax\n",
    )
    result = here("evaluate", trained, "--task", "ax")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        "error: task ax: it has no dev split to be scored on\n",
    )


def test_the_output_is_checked_before_any_work(here, tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    for output, message in (
        ("no/x.json", "there is no folder no"),
        ("folder", "is a folder, not a file"),
    ):
        result = here("evaluate", "not_even_looked_for", "--output", output)
        assert (result.returncode, result.stderr) == (2, f"error: {output}: {message}\n")


def test_confidence_intervals(here, trained, tmp_path) -> None:
    words = ("evaluate", trained, "--task", "rte", "--task", "stsb", "--resamples", "50")
    result = here(*words, "--confidence", "0.9", "--seed", "3", "--output", "scores.json")
    assert (result.returncode, result.stderr) == (0, "")
    *lines, note = result.stdout.splitlines()
    assert note == (
        "low, high: 90 % of 50 resamples of the split's rows lie between them "
        "(percentile bootstrap, seed 3)"
    )
    rows = [line.split() for line in lines]
    assert rows[0] == ["task", "split", "metric", "score", "low", "high"]
    values = json.loads((tmp_path / "scores.json").read_text())
    assert list(values) == ["/".join(row[:3]) for row in rows[1:]]
    plain = [line.split()[3] for line in here(*words[:6]).stdout.splitlines()[1:]]
    assert [row[3] for row in rows[1:]] == plain
    for row, value in zip(rows[1:], values.values(), strict=True):
        assert [f"{value[key]:.4f}" for key in ("score", "low", "high")] == row[3:]
        assert value["low"] <= value["high"]
    assert values["rte/dev/accuracy"]["low"] < values["rte/dev/accuracy"]["high"]
    again = here(*words, "--confidence", "0.9", "--seed", "3")
    assert again.stdout == result.stdout
    assert here(*words, "--confidence", "0.9", "--seed", "4").stdout != result.stdout


def test_googles_files(here, trained, tmp_path) -> None:
    words = ("evaluate", trained, "--format", "google", "--output", "out", "--from", "final")
    result = here(*words, "--task", "mrpc", "--task", "mnli", "--task", "stsb")
    assert (result.returncode, result.stderr) == (0, "")
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.txt")}
    assert files == {
        *("mrpc/eval_results.txt", "stsb/eval_results.txt"),
        *(f"mnli/{split}/eval_results.txt" for split in ("dev_matched", "dev_mismatched")),
    }
    found = {}
    for name, keys in (
        ("mrpc", ["eval_accuracy", "eval_f1", "eval_loss", "global_step", "loss"]),
        ("stsb", ["eval_loss", "eval_pearson", "eval_spearman", "global_step", "loss"]),
    ):
        lines = (tmp_path / "out" / name / "eval_results.txt").read_text().splitlines()
        found[name] = dict(line.split(" = ") for line in lines)
        assert list(found[name]) == keys
        assert (found[name]["global_step"], found[name]["loss"]) == ("6", found[name]["eval_loss"])
    shown = {tuple(line.split()[:3]): line.split()[3] for line in result.stdout.splitlines()}
    accuracy = float(found["mrpc"]["eval_accuracy"])
    assert f"{accuracy:.4f}" == shown["mrpc", "dev", "accuracy"]
    assert 0.3 < float(found["mrpc"]["eval_loss"]) < 1.5


def test_pictures_of_a_run_without_null_odds(here, trained, tmp_path) -> None:
    result = here("evaluate", trained, "--task", "rte", "--plots", "drawn")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",  # nothing was scored, which may take minutes
        "error: --plots: there is nothing to draw, for no task that would be scored has null odds\n"
        '  it draws SQuAD of version "2.0"\n',
    )
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--format", "google"),
            "--format google writes files into --output FOLDER, which is not given\n",
        ),
        (
            ("--format", "google", "--output", "file"),
            "file: is a file; --format google writes into a folder\n",
        ),
        (("--resamples", "9"), "--resamples goes with --confidence, which is not given\n"),
        (("--seed", "9"), "--seed goes with --confidence, which is not given\n"),
        (("--null-odds", "x"), "--null-odds goes with --predictions FILE, which is not given\n"),
        (
            ("--confidence", "95"),
            "Invalid value for '--confidence': 95 is not between 0 and 1; usual: 0.95\n"
            "try: bertmod evaluate --help\n",
        ),
    ],
)
def test_words_that_are_refused(here, tmp_path, words, message) -> None:
    (tmp_path / "file").touch()
    result = here("evaluate", "not_even_looked_for", *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {message}")
