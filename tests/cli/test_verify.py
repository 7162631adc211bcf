"""``bertmod verify`` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod.convert.verification import open_side
from bertmod.data.features import FeatureTable
from bertmod.inference import load_run

TEXTS = ["The cat sat on the mat.", "Nobody knows when."]


def test_minilm_against_transformers(bertmod, minilm: Path, tmp_path: Path) -> None:
    """Real weights: every layer as close as the originals' notebooks report."""
    result = bertmod("verify", minilm, f"transformers:{minilm}", "--json", "table.json")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "part"
    assert [line.split("  ")[0] for line in lines[1:-1]] == [
        "embedding output",
        *(f"layer {number}" for number in range(6)),
        "pooled output",
    ]
    assert lines[-1].startswith("equal: max |B - A| ")
    assert lines[-1].endswith("is within the tolerance 1e-05, on 10 texts of 324 tokens")
    assert f"A: {minilm}" in result.stderr
    assert "103 tensors used" in result.stderr
    assert f"B: transformers:{minilm}\nrun by transformers " in result.stderr
    values = json.loads((tmp_path / "table.json").read_text())
    assert (values["equal"], values["different"], values["notes"]) == (True, [], [])
    assert all(0 < part["standard_deviation"] < 9e-7 for part in values["parts"])


@pytest.fixture
def encoder(trained: Path, tmp_path: Path) -> Path:
    """The encoder that a run left, in a folder of the test's own."""
    return shutil.copytree(trained / "best" / "mean" / "encoder", tmp_path / "encoder")


def change(folder: Path, name: str) -> None:
    """Change one tensor by a hundredth, and forget what the folder's hash was."""
    tensors = load_file(folder / "model.safetensors")
    tensors[name] = tensors[name] * 1.01
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["encoder_hash"] = ""
    (folder / "config.json").write_text(json.dumps(config))


def test_equal(here, trained: Path, encoder: Path) -> None:
    result = here("verify", trained, encoder, "--text", "A cat.", "--text-pair", "A dog.")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1].startswith(
        "equal: max |B - A| 0.00e+00 is within the tolerance 1e-05, on 1 text of "
    )


def test_not_equal(here, trained: Path, encoder: Path) -> None:
    change(encoder, "encoder.layer.1.ffn.down.weight")
    result = here("verify", trained, encoder)
    assert result.returncode == 1
    assert " is beyond the tolerance 1e-05, on 10 texts of " in result.stdout.splitlines()[-1]
    assert here("verify", trained, encoder, "--tolerance", "1").returncode == 0


def test_lines_of_a_file(here, trained: Path, table) -> None:
    table("texts.txt", "One text.\nA text ||| and another\n\nÜber 中文\n")
    result = here("verify", trained, trained, "--input", "texts.txt", "--max-length", "8")
    assert result.returncode == 0
    assert " on 4 texts of " in result.stdout


def test_a_task_with_its_adapters(here, trained: Path) -> None:
    result = here("verify", trained, trained, "--task", "mnli")
    assert result.returncode == 0
    assert "\nlogits  " in result.stdout
    alone = here("verify", trained, trained)
    assert "\nlogits  " not in alone.stdout


def test_logits_are_those_of_the_run(trained: Path) -> None:
    """The adapters act: the logits are what the run itself answers with."""
    side = open_side(str(trained), task="cola")
    rows = side.rows([(text, None) for text in TEXTS])
    logits = side.states(FeatureTable.from_rows(rows)).logits["logits"]
    run = load_run(trained)
    task = run.task("cola").task
    answers = run.predict("cola", [task.example({"text": text}) for text in TEXTS])
    found = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(torch.softmax(logits, 1).numpy(), found, atol=2e-6)
    plain = open_side(str(trained)).states(FeatureTable.from_rows(rows)).layers
    assert not torch.equal(plain[-1], side.states(FeatureTable.from_rows(rows)).layers[-1])


def test_bad_input(refused, trained: Path, table, tmp_path: Path) -> None:
    run = str(trained)
    empty = table("empty.txt", "")
    refused(f"error: {empty}: has no lines\n", "verify", run, run, "--input", empty)
    refused(
        "error: nothing.txt: cannot be read: No such file or directory\n",
        *("verify", run, run, "--input", "nothing.txt"),
    )
    refused(
        "error: --text and --input: texts are given by one of the two, not both\n",
        *("verify", run, run, "--input", empty, "--text", "a"),
    )
    refused(
        "error: --text-pair goes with --text, which is not given\n",
        *("verify", run, run, "--text-pair", "a"),
    )
    refused(f"error: {tmp_path}: is a folder, not a file\n", "verify", run, run, "--json", tmp_path)


def test_bad_checkpoints(here, trained: Path, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        result = here("verify", *words)
        assert (result.returncode, result.stdout) == (2, "")
        return result.stderr.partition("error: ")[2]

    run, nothing = str(trained), str(tmp_path / "nothing")
    assert told(nothing, run).startswith(f"there is no {nothing}\n")
    assert told(run, nothing).startswith(f"there is no {nothing}\n")
    assert told(run, f"transformers:{nothing}").startswith(
        f"transformers:{nothing}: there is no such folder\n"
    )
    assert told(run, run, "--task", "none").startswith(f'{run}: no task "none" there\n  there: ')
    assert told(run, run, "--max-length", "65").startswith(
        f"--max-length 65: {run} takes rows of 64 tokens at most"
    )
