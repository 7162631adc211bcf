"""Runs side by side: rows, statistics and what is said of them."""

from __future__ import annotations

import csv
import io
import json
import statistics

import pytest

from bertmod.errors import CheckpointError, RunFolderError
from bertmod.inference.comparison import compare
from bertmod.inference.comparison_table import (
    average_formula,
    notes,
    render_csv,
    render_markdown,
    render_text,
)
from bertmod.inference.scores import is_finished, run_folders

GLUE = ("cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli")
SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."


def test_seeds_of_a_recipe_are_one_row(make_run, tmp_path) -> None:
    for seed, (cola, rte) in enumerate([(0.5, 0.7), (0.6, 0.6), (0.4, 0.8)], 1):
        make_run(f"pals/seed-{seed}", {"cola": cola, "rte": rte}, seed=seed, adapter=5)
    make_run("shared", {"cola": 0.25, "rte": 0.75})
    found = compare([tmp_path / "shared", tmp_path / "pals"])
    shared, pals = found.methods
    assert (shared.label, shared.seeds, shared.multiple) == ("shared", (1,), 1.0)
    assert (pals.label, pals.seeds, pals.multiple) == ("pals", (1, 2, 3), 1.1)
    score = pals.score("cola")
    assert (score.mean, score.deviation) == (
        pytest.approx(0.5),
        pytest.approx(statistics.stdev([0.5, 0.6, 0.4])),
    )
    average = pals.average(found.averaged)
    assert (average.mean, average.deviation) == (pytest.approx(0.6), pytest.approx(0.0))
    assert render_text(found).splitlines() == [
        "method  parameters  seeds     average         cola          rte",
        "---------------------------------------------------------------",
        "shared       1.000      1        50.0         25.0         75.0",
        "pals         1.100      3  60.0 ± 0.0  50.0 ± 10.0  70.0 ± 10.0",
        "parameters: of encoder and all adapters, as a multiple of the encoder's",
        "scores: 100 x cola dev/matthews, rte dev/accuracy, at the best mean over tasks of "
        "each run",
        "average: plain mean over 2 tasks: cola matthews, rte accuracy",
        "±: sample standard deviation over the seeds",
        SYNTHETIC,
        "no paired test with shared: too few common seeds (pals 1; it takes 3)",
    ]


def test_the_last_step_is_another_state(make_run) -> None:
    run = make_run("one", {"cola": 0.5}, final={"cola": 0.3})
    assert compare([run]).methods[0].score("cola").mean == 0.5
    found = compare([run], "final")
    assert found.methods[0].score("cola").mean == 0.3
    assert "scores: 100 x cola dev/matthews, at the last step of each run" in notes(found)


def test_a_machine_is_no_method_but_precision_is(make_run) -> None:
    runs = [
        make_run("a", {"cola": 0.1}, seed=1),
        make_run("b", {"cola": 0.2}, seed=2, training={"device": "cuda:0"}),
        make_run("c", {"cola": 0.3}, seed=3, training={"precision": "bf16"}),
    ]
    first, second = compare(runs).methods
    assert (first.seeds, second.seeds) == ((1, 2), (3,))


def test_the_same_seed_again_is_a_row_of_its_own(make_run) -> None:
    runs = [make_run(f"{x}/seed-{n}", {"cola": 0.1}, seed=n) for x in "ab" for n in (1, 2)]
    found = compare(runs).methods
    assert [(method.label, method.seeds) for method in found] == [("a", (1, 2)), ("b", (1, 2))]


def test_labels_tell_rows_apart(make_run) -> None:
    one = make_run("x/pals/seed-1", {"cola": 0.1}, adapter=1)
    two = make_run("y/pals/seed-1", {"cola": 0.1}, adapter=2)
    assert [m.label for m in compare([one, two]).methods] == ["x/pals", "y/pals"]
    loose = [make_run(f"low_rank-{n}", {"cola": 0.1}, seed=n, adapter=3) for n in (1, 2)]
    assert compare(loose).methods[0].label == "low_rank"
    third = make_run("x/pals/seed-2", {"cola": 0.1}, seed=2, adapter=4)
    labels = [method.label for method in compare([one, third]).methods]
    assert labels == [str(one), str(third)]


def test_a_row_that_lacks_a_task_has_no_average(make_run) -> None:
    some = make_run("some", {"cola": 0.5})
    both = make_run("both", {"cola": 0.5, "rte": 0.7})
    found = compare([some, both])
    lines = render_text(found).splitlines()
    assert lines[2].split() == ["some", "1.000", "1", "-", "50.0", "-"]
    assert lines[3].split() == ["both", "1.000", "1", "60.0", "50.0", "70.0"]
    assert "some: no average, it lacks rte" in lines


def test_a_score_that_was_not_measured(make_run, tmp_path) -> None:
    make_run("x/seed-1", {"cola": 0.5, "rte": 0.5}, seed=1)
    bad = make_run("x/seed-2", {"cola": None, "rte": 0.5}, seed=2)
    found = compare([tmp_path / "x"])
    assert found.methods[0].score("cola") is None
    assert f"x: no finite score of cola in {bad}" in notes(found)
    assert render_text(found).splitlines()[2].split() == [
        *("x", "1.000", "2", "-", "-", "50.0", "±", "0.0"),
    ]


def test_the_average_of_the_paper_is_named(make_run) -> None:
    run = make_run("x", dict.fromkeys(GLUE, 0.5))
    found = compare([run])
    expected = (
        "PALs-dev, the plain mean over the PALs paper's eight tasks: cola matthews, "
        "stsb pearson, accuracy of the others"
    )
    assert average_formula(found.metrics, found.names) == expected
    assert f"average: {expected}" in notes(found)
    assert f"average: {expected}" in render_markdown(found)
    assert expected in render_csv(found).splitlines()[0]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"a": "dev/accuracy", "b": "dev/accuracy"}, "plain mean over 2 tasks: accuracy"),
        (
            {"a": "dev/f1", "b": "dev/accuracy"},
            "plain mean over 2 tasks: a f1, b accuracy",
        ),
        (
            {"a": "dev/f1", "b": "dev/f1", "c": "dev/accuracy"},
            "plain mean over 3 tasks: c accuracy, f1 of the others",
        ),
    ],
)
def test_formulas(metrics, expected) -> None:
    names = {task: f"other/{task}" for task in metrics}
    assert average_formula(metrics, names) == expected


def test_the_paper_is_not_named_for_another_metric(make_run) -> None:
    metrics = {**dict.fromkeys(GLUE, "dev/accuracy"), "mnli": "dev_matched/accuracy"}
    found = compare([make_run("x", dict.fromkeys(GLUE, 0.5), metrics=metrics)])
    assert average_formula(found.metrics, found.names) == "plain mean over 8 tasks: accuracy"


def test_a_metric_that_falls_is_not_averaged(make_run) -> None:
    metrics = {"cola": "dev/matthews", "text": "dev/perplexity"}
    found = compare(
        [make_run("x", {"cola": 0.5, "text": 12.0}, metrics=metrics)], falling=["perplexity"]
    )
    lines = render_text(found).splitlines()
    assert lines[2].split() == ["x", "1.000", "1", "50.0", "12.000"]
    assert "no average: of text a smaller score is better" in lines
    assert (
        "scores: 100 x cola dev/matthews; as they are text dev/perplexity, "
        "at the best mean over tasks of each run" in lines
    )


def test_csv_has_the_scores_as_measured(make_run, tmp_path) -> None:
    for seed, cola in ((1, 0.5), (2, 0.25)):
        make_run(f"x/seed-{seed}", {"cola": cola, "rte": 0.75}, seed=seed, data="/data")
    (row,) = csv.DictReader(io.StringIO(render_csv(compare([tmp_path / "x"]))))
    average = "average (plain mean over 2 tasks: cola matthews, rte accuracy)"
    assert row == {
        **{"method": "x", "parameters": "1", "seeds": "1 2", "state": "mean"},
        **{"finished": "true", "synthetic": "false"},
        average: "0.5625",
        f"{average} standard deviation": "0.0883883",
        "cola/dev/matthews": "0.375",
        "cola/dev/matthews standard deviation": "0.176777",
        "rte/dev/accuracy": "0.75",
        "rte/dev/accuracy standard deviation": "0",
    }


def test_markdown(make_run) -> None:
    assert render_markdown(compare([make_run("a|b", {"cola": 0.5}, data="/data")])) == (
        "| method | parameters | seeds | cola |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| a\\|b | 1.000 | 1 | 50.0 |\n"
        "\n"
        "- parameters: of encoder and all adapters, as a multiple of the encoder's\n"
        "- scores: 100 x cola dev/matthews, at the best mean over tasks of each run\n"
    )


def test_what_makes_scores_hard_to_compare_is_said(make_run) -> None:
    runs = [
        make_run("a", {"cola": 0.5}, data="/data", files=("one",)),
        make_run("b", {"cola": 0.5}, files=("two",), finished=False),
    ]
    assert notes(compare(runs))[2:] == [
        f"b: {runs[1]} has not come to its end; its state so far counts",
        "not all of these runs read the same data files: see data in their lock.json",
        f"b: on the built-in sample. {SYNTHETIC}",
    ]
    assert notes(compare(runs[:1]))[2:] == []


def test_a_run_made_longer_is_not_finished(make_run) -> None:
    run = make_run("a", {"cola": 0.5})
    assert is_finished(run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["training"]["num_epochs"] = 12
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert not is_finished(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {"nli": "dev/f1"}}, "scored by dev/accuracy in {a}, scored by dev/f1 in {b}"),
        ({"names": {"nli": "bertmod/rte"}}, "a bertmod/nli in {a}, a bertmod/rte in {b}"),
    ],
)
def test_one_column_holds_one_metric_of_one_task(make_run, change, message) -> None:
    kept = {"metrics": {"nli": "dev/accuracy"}}
    a = make_run("a", {"nli": 0.5}, **kept)
    b = make_run("b", {"nli": 0.5}, **{**kept, **change})
    with pytest.raises(RunFolderError) as failure:
        compare([a, b])
    assert str(failure.value) == (
        f"task nli is {message.format(a=a, b=b)}\n"
        "  one column cannot hold both: compare these runs apart"
    )


def test_the_order_of_patterns_tells_methods_apart(make_run) -> None:
    """The first pattern that matches counts; components have no order."""
    rates = {"*.bias": 1.0, "encoder.*": 2.0, "heads": 3.0, "adapters": 4.0}
    turned = dict(reversed(rates.items()))
    folded = {"adapters": 4.0, "heads": 3.0, "*.bias": 1.0, "encoder.*": 2.0}
    runs = [
        make_run(name, {"cola": 0.5}, seed=seed, optimizer={"learning_rate": each})
        for seed, (name, each) in enumerate([("a", rates), ("b", turned), ("c", folded)])
    ]
    assert [len(method.runs) for method in compare(runs).methods] == [2, 1]


def test_folders(make_run, tmp_path) -> None:
    for seed in (10, 9):
        make_run(f"x/seed-{seed}", {"cola": 0.5}, seed=seed)
    (tmp_path / "x/seed-11").mkdir()
    (tmp_path / "x/seed-y").mkdir()
    assert [path.name for path in run_folders(tmp_path / "x")] == ["seed-9", "seed-10"]
    with pytest.raises(RunFolderError, match="seed-9: named twice; a folder of seeds names the"):
        compare([tmp_path / "x", tmp_path / "x/seed-9"])


@pytest.mark.parametrize(
    ("values", "lacking"),
    [({}, 'no "tasks"'), ({"tasks": [{"name": "cola"}]}, "a task without id")],
)
def test_a_recipe_that_no_run_wrote(make_run, values, lacking) -> None:
    run = make_run("x", {"cola": 0.5})
    whole = json.loads((run / "recipe.json").read_text())
    kept = {**whole, **values} if values else {}
    (run / "recipe.json").write_text(json.dumps(kept))
    with pytest.raises(RunFolderError) as failure:
        compare([run])
    assert str(failure.value) == f"{run}/recipe.json: not a recipe that a run wrote ({lacking})"


def test_a_damaged_tensor_file(make_run) -> None:
    run = make_run("x", {"cola": 0.5})
    (run / "best/mean/cola/model.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"cola/model.safetensors: cannot be read: "):
        compare([run])
