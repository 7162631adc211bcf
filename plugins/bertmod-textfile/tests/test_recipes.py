"""The recipes check, and run two steps on small trees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "recipes"
SHORT = (
    *("training.num_epochs=2", "training.steps_per_epoch=1", "training.global_batch_size=4"),
    *("evaluation.every_steps=2", "encoder.hidden_size=24", "encoder.num_attention_heads=2"),
    "adapters[0].bottleneck_size=12",
)


@pytest.fixture(scope="module")
def bertmod(tmp_path_factory):
    """Runs the program with a cache of its own; gives the finished process."""
    cache = str(tmp_path_factory.mktemp("cache"))
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "BERTMOD_PLUGINS": "textfile"}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bertmod", *map(str, words)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("name", ["textfile", "imdb"])
def test_it_checks(bertmod, tree, name) -> None:
    path = RECIPES / f"{name}.json"
    ended = bertmod("check", path, "--data", tree)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{path}: no problems\n")


def train(bertmod, recipe: str, tree: Path, run: Path, *more: str):
    words = [word for option in (*SHORT, *more) for word in ("--set", option)]
    path = RECIPES / f"{recipe}.json"
    return bertmod("run", path, "--data", tree, "--output", run, "--quiet", *words)


@pytest.mark.slow
def test_a_run_and_its_predictions(bertmod, tree, tmp_path) -> None:
    run = tmp_path / "run"
    ended = train(bertmod, "textfile", tree, run)
    assert ended.returncode == 0, ended.stderr
    assert "reviews" in ended.stdout
    rows = (run / "predictions/reviews.dev.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 9
    assert rows[0] == "file\tprediction"
    assert {row.partition("\t")[2] for row in rows[1:]} <= {"blame", "praise", "shrug"}

    texts = tmp_path / "texts.csv"
    texts.write_text("text\nit was fine\nbad\n", encoding="utf-8")
    ended = bertmod("predict", run, "--task", "reviews", "--input", texts)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 3

    shutil.rmtree(tree / "reviews/test")
    ended = bertmod("predict", run, "--task", "reviews", "--output", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        'error: task "reviews" was not answered: there are no files of its test split in the data '
        "folder of the run\n"
    )


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row["loss"] for row in map(json.loads, lines) if row["event"] == "step"]


@pytest.mark.slow
def test_moving_a_file_changes_its_label_in_the_next_run(bertmod, tree, tmp_path) -> None:
    """Even if the texts, one behind another, stay what they were: features are cached."""
    whole = "training.global_batch_size=24"
    assert train(bertmod, "textfile", tree, tmp_path / "first", whole).returncode == 0
    assert train(bertmod, "textfile", tree, tmp_path / "again", whole).returncode == 0
    texts = tree / "reviews/train"
    (texts / "blame/7.txt").rename(texts / "praise/!.txt")
    assert train(bertmod, "textfile", tree, tmp_path / "moved", whole).returncode == 0
    first, again, moved = (losses(tmp_path / name) for name in ("first", "again", "moved"))
    assert first == again
    assert first[0] != moved[0]


@pytest.mark.slow
def test_the_imdb_layout(bertmod, tree, tmp_path) -> None:
    data = tmp_path / "data"
    for split, source in (("train", "train"), ("test", "dev")):
        for label, name in (("neg", "blame"), ("pos", "praise"), ("unsup", "shrug")):
            shutil.copytree(tree / "reviews" / source / name, data / "aclImdb" / split / label)
    ended = train(bertmod, "imdb", data, tmp_path / "run")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_a_missing_folder_is_one_message(bertmod, tree, tmp_path) -> None:
    shutil.rmtree(tree / "reviews/dev")
    ended = train(bertmod, "textfile", tree, tmp_path / "run")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f'error: {tree}/reviews/dev: no such folder, task "reviews" needs it\n'
        f"  {tree}/reviews holds: test, train\n"
    )
