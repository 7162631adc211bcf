"""Pre-training: fresh masks in each pass, two losses, phases; stopped, cut and dealt out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertmod.data.training_rows import Phase
from bertmod.engine.order import PhasedRows
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.tasks import TrainingTask
from bertmod.sample.stories import stories

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def write(write_recipe, tmp_path_factory):
    """Writes a recipe of two phases on little text: two corpora, of which one weighs more."""

    def make(**changes) -> Path:
        folder = tmp_path_factory.mktemp("recipe")
        for name, part in (("one", stories()[:14]), ("two", stories()[14:26])):
            text = "\n".join("".join(f"{line}\n" for line in story) for story in part)
            (folder / f"{name}.txt").write_text(text)
        one, two = str(folder / "one.txt"), str(folder / "two.txt")
        phases = [
            {"share": 0.7, "train": [one, {"path": two, "weight": 1.5}], "max_length": 16},
            {"share": 0.3, "train": [two]},
        ]
        task = {"name": "pretraining", "phases": phases, "held_out": 0.2, "dupe_factor": 1}
        task |= {"masking": {"probability": 0.3}}
        training = {"global_batch_size": 16, **changes.pop("training", {})}
        return write_recipe(
            folder, tasks=[task], adapters=[], training=training, **{"sampler": {"name": "sqrt"}}
        )

    return make


@pytest.fixture(scope="module")
def recipe(write) -> Path:
    return write()


@pytest.fixture(scope="module")
def whole(program, recipe, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 0, ended.err
    return run


def steps(run_files, run: Path) -> list[dict]:
    return run_files.rows(run, "step")


def test_what_a_run_leaves(whole, run_files) -> None:
    rows = steps(run_files, whole)
    assert len(rows) == 24
    assert rows[0]["losses"].keys() == {"masked_lm", "next_sentence"}
    mean = [
        np.mean([row["tokens"] / row["features"] for row in part])
        for part in (rows[:17], rows[17:])
    ]
    assert mean[0] <= 16 < mean[1]  # rows of the second phase are longer
    lines = (whole / "predictions/eval_results.txt").read_text().splitlines()
    assert lines[0] == "global_step = 24"


@pytest.mark.parametrize("step", [5, 19])
def test_stopped_in_the_middle_and_resumed_bit_equal(
    program, recipe, whole, tmp_path, run_files, step
) -> None:
    """In the first phase and in the second one, neither at the end of a pass."""
    run = tmp_path / "run"
    stopped = program("run", recipe, "--output", run, "--quiet", term_at_step=step)
    assert stopped.status != 0
    again = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert again.status == 0, again.err
    run_files.assert_same(run, whole)


def test_killed_and_resumed_bit_equal(program, recipe, whole, tmp_path, run_files) -> None:
    run = tmp_path / "run"
    assert program("run", recipe, "--output", run, "--quiet", kill_at=150).status == -9
    again = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert again.status == 0, again.err
    run_files.assert_same(run, whole)


def test_two_processes_and_smaller_micro_batches_see_the_same_rows(
    program, write, tmp_path, run_files
) -> None:
    """Without dropout the losses are equal: each is divided by all masked pieces of the step."""
    plain = {"dropout_epochs": 0}
    found, scores = {}, {}
    for name, processes, more in (
        ("one", 1, {}),
        ("cut", 1, {"gradient_accumulation_steps": 4}),
        ("two", 2, {}),
        ("both", 2, {"gradient_accumulation_steps": 2}),
        ("parts", 2, {"parallel": "fsdp", "gradient_accumulation_steps": 2}),
    ):
        run = tmp_path / name
        ended = program(
            *("run", write(training={**plain, **more}), "--output", run, "--quiet"),
            processes=processes,
        )
        assert ended.status == 0, ended.err
        found[name] = steps(run_files, run)
        scores[name] = run_files.rows(run, "evaluation")[-1]["scores"]
    for name, rows in found.items():
        for row, first in zip(rows, found["one"], strict=True):
            assert row["tokens"] == first["tokens"]
            assert row["losses"] == pytest.approx(first["losses"], abs=1e-4)
        assert scores[name] == pytest.approx(scores["one"], rel=1e-3)


def test_bf16(program, write, tmp_path, run_files, whole) -> None:
    run = tmp_path / "run"
    ended = program("run", write(training={"precision": "bf16"}), "--output", run, "--quiet")
    assert ended.status == 0, ended.err
    for row, first in zip(steps(run_files, run), steps(run_files, whole), strict=True):
        assert row["loss"] == pytest.approx(first["loss"], rel=0.05)


def test_the_phase_of_a_step(toy) -> None:
    first, last = (toy.features("flag", count) for count in (12, 8))
    settings = TrainerSettings(global_batch_size=4)
    rows = PhasedRows(TrainingTask("flag", first, later=[Phase(last, 0.1)]), settings)
    for step in (0, 899_999, 900_000, 999_999):
        drawn = rows.batch(step, step=step, total=1_000_000)
        assert drawn.rows is (first if step < 900_000 else last)
        assert [len(table) for table in drawn.tables()] == [4]
    alone = PhasedRows(TrainingTask("flag", first), settings)
    assert alone.batch(2, step=9, total=10).rows is first
