"""``bertmod compare``: runs side by side, from their folders alone."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertmod.cli import main
from bertmod.recipe.count import parameter_counts
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, cache: Path, trained: Path) -> Path:
    """A folder with a series of two seeds and two single runs; nobody writes into it."""
    folder = tmp_path_factory.mktemp("compared")
    eight: dict[str, Any] = json.loads((trained.parents[1] / "eight.json").read_text())
    two = {**eight, "tasks": [{"name": "mrpc"}, {"name": "rte"}]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BERTMOD_PLUGINS", "")
        patch.setenv("XDG_CACHE_HOME", str(cache))
        for name, recipe, words in (
            ("pals", two, ("--seeds", "1,2")),
            ("shared", {**two, "adapters": []}, ()),
            ("one", {**two, "tasks": [{"name": "rte"}], "evaluation": {"select": "sum"}}, ()),
        ):
            (folder / f"{name}.json").write_text(json.dumps(recipe))
            assert main(["run", f"{name}.json", "--quiet", *words]) == 0
    return folder / "runs"


def score(folder: Path, task: str, state: str = "best/mean") -> float:
    """What a run says of a task, as the table shows it."""
    return 100 * float(json.loads((folder / state / task / "task.json").read_text())["score"])


def test_the_table(bertmod, runs) -> None:
    result = bertmod("compare", runs / "shared", runs / "pals", runs / "one")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert re.split("  +", lines[0]) == [
        *("method", "parameters", "seeds", "average", "mrpc", "rte"),
    ]
    single = [score(runs / "shared", task) for task in ("mrpc", "rte")]
    average = f"{sum(single) / 2:.1f}"
    assert re.split("  +", lines[2]) == [
        *("shared", "1.000", "1", average, f"{single[0]:.1f}", f"{single[1]:.1f}"),
    ]
    rte = [score(runs / f"pals/seed-{seed}", "rte") for seed in (1, 2)]
    cells = re.split("  +", lines[3])
    deviation = abs(rte[0] - rte[1]) / 2**0.5
    assert (cells[0], cells[2]) == ("pals", "2")
    assert cells[5] == f"{sum(rte) / 2:.1f} ± {deviation:.1f}"
    assert re.split("  +", lines[4])[3:5] == ["-", "-"]
    assert lines[5:] == [
        "parameters: of encoder and all adapters, as a multiple of the encoder's",
        "scores: 100 x mrpc dev/accuracy, rte dev/accuracy, at the best mean over tasks of "
        "each run",
        "average: plain mean over 2 tasks: accuracy",
        "±: sample standard deviation over the seeds",
        "one: no average, it lacks mrpc",
        SYNTHETIC,
        "no paired test with shared: too few common seeds (pals 0, one 1; it takes 3)",
    ]


def test_parameters_are_those_of_the_recipe(here, trained) -> None:
    recipe = resolve(load_recipe(trained / "recipe.json"), load_registry())
    line = here("compare", trained).stdout.splitlines()[2]
    assert line.split()[1] == f"{parameter_counts(recipe).multiple:.3f}"


def test_the_eight_tasks_of_the_paper(here, trained) -> None:
    result = here("compare", trained)
    assert (
        "average: PALs-dev, the plain mean over the PALs paper's eight tasks: cola matthews, "
        "stsb pearson, accuracy of the others" in result.stdout.splitlines()
    )
    assert " ax" not in result.stdout.splitlines()[0], "what trains nothing has no column"


@pytest.mark.parametrize(
    ("source", "state", "said"),
    [
        ("best", "best/tasks", "each task's own best"),
        ("final", "final", "the last step"),
    ],
)
def test_other_states(here, runs, source, state, said) -> None:
    result = here("compare", runs / "shared", "--from", source)
    lines = result.stdout.splitlines()
    assert lines[2].split()[-1] == f"{score(runs / 'shared', 'rte', state):.1f}"
    assert f"at {said} of each run" in lines[4]


def test_files(here, runs, tmp_path) -> None:
    result = here(
        "compare", runs / "pals", "--output", "table.md", "--output", "table.csv", "--quiet"
    )
    assert result.returncode == 2, "there is nothing to be quiet about"
    words = ("compare", runs / "pals", "--output", "table.md", "--output", "table.csv")
    result = here(*words)
    assert (result.returncode, result.stderr) == (0, "")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[0] == "| method | parameters | seeds | average | mrpc | rte |"
    assert lines[-1] == f"- {SYNTHETIC}"
    with (tmp_path / "table.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["method"], row["seeds"], row["synthetic"]) == ("pals", "1 2", "true")
    rte = [score(runs / f"pals/seed-{seed}", "rte") / 100 for seed in (1, 2)]
    assert float(row["rte/dev/accuracy"]) == pytest.approx(sum(rte) / 2, abs=1e-5)
    assert not list(tmp_path.glob(".writing-*"))


def test_a_terminal_without_the_sign(bertmod, runs, env) -> None:
    result = bertmod("compare", runs / "pals", env={**env, "PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"pals .* \d+\.\d \+/- \d+\.\d", result.stdout)


def test_neither_torch_nor_plugins_nor_the_checkpoint_are_needed(runs, env, tmp_path) -> None:
    """A run of a plugin that has gone is read all the same."""
    moved = tmp_path / "moved"
    shutil.copytree(runs / "shared", moved)
    values = json.loads((moved / "recipe.json").read_text())
    values["adapters"] = [{"name": "bertmod-gone/gate", "id": "gate"}]
    values["checkpoint"] = {"name": "bertmod/huggingface", "path": "/gone"}
    (moved / "recipe.json").write_text(json.dumps(values))
    program = (
        "import sys; from bertmod.cli import main\n"
        f"status = main(['compare', {str(moved)!r}])\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'tensorboard'} & set(sys.modules)\n"
        "assert status == 0 and not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(env), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].startswith("moved ")


def test_an_interrupted_run_is_marked(here, runs, tmp_path) -> None:
    shutil.copytree(runs / "shared", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/final")
    result = here("compare", "cut")
    assert result.returncode == 0
    note = "cut: cut has not come to its end; its state so far counts"
    assert note in result.stdout.splitlines()


def test_folders_that_are_refused(here, runs, tmp_path) -> None:
    accepted = (
        "  accepted: a run folder, or a folder with runs in seed-1, seed-2 ..., as run --seeds "
        "makes it\n"
    )
    shutil.copytree(runs / "shared", tmp_path / "young")
    shutil.rmtree(tmp_path / "young/best")
    shutil.rmtree(tmp_path / "young/final")
    for words, message in (
        (("nowhere",), f"nowhere: no such folder\n{accepted}"),
        ((".",), f".: not a run folder (it has no recipe.json)\n{accepted}"),
        (
            (runs / "pals", "young"),
            "young: no trained state of the kind mean yet\n"
            "  let the run go on until its first evaluation\n",
        ),
        (
            (runs / "one", "--from", "best"),
            f"{runs / 'one'}: no trained state of the kind best yet\n  use --from mean\n",
        ),
        (
            (runs / "pals/seed-2", runs / "pals"),
            f"{runs / 'pals/seed-2'}: named twice; a folder of seeds names the runs in it, too\n",
        ),
    ):
        result = here("compare", *words)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--output", "t.tex"), "t.tex: a comparison is written to .md or .csv"),
        (("--output", "folder.md"), "folder.md: is a folder, not a file"),
        (("--output", "no/t.md"), "no/t.md: there is no folder no"),
        (("--output", "t.md", "--output", "./t.md"), "t.md: named twice with --output"),
    ],
)
def test_files_that_are_refused(here, runs, tmp_path, words, message) -> None:
    (tmp_path / "folder.md").mkdir()
    result = here("compare", runs / "pals", *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.md"]


def test_no_runs(here) -> None:
    result = here("compare")
    assert (result.returncode, result.stderr) == (
        2,
        "error: Missing argument 'RUN...'.\ntry: bertmod compare --help\n",
    )
