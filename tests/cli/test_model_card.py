"""Every state of a run explains itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

RECIPE = {
    "encoder": {
        "name": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    "data": {"max_length": 32},
    "tasks": [{"name": "rte"}, {"name": "stsb"}],
    "adapters": [{"name": "pals", "bottleneck_size": 12, "num_heads": 2, "tasks": ["rte"]}],
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "training": {
        "num_epochs": 1,
        "steps_per_epoch": 3,
        "global_batch_size": 8,
        "precision": "fp32",
        "device": "cpu",
    },
    "evaluation": {"batch_size": 256},
}


@pytest.fixture
def run(here, tmp_path) -> Path:
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE), encoding="utf-8")
    assert here("run", "recipe.json", "--output", "out", "--quiet").returncode == 0
    return tmp_path / "out"


def test_every_state_has_a_readme(run) -> None:
    lock = json.loads((run / "lock.json").read_text())
    for place, tasks in (
        ("best/mean", ("rte", "stsb")),
        ("best/tasks/rte", ("rte",)),
        ("best/tasks/stsb", ("stsb",)),
        ("final", ("rte", "stsb")),
    ):
        text = (run / place / "README.md").read_text(encoding="utf-8")
        assert f"# {', '.join(tasks)} ({place})\n" in text
        for task in tasks:
            folder = run / place if place.endswith(task) else run / place / task
            record = json.loads((folder / "task.json").read_text())
            assert f"| {task} | {record['head']['name'].split('/')[1]} " in text
            assert f"{record['metric'].replace('_', chr(92) + '_')} {record['score']:.4f}" in text
            assert record["encoder_hash"] in text
            size = sum(
                tensor.numel() for tensor in load_file(folder / "model.safetensors").values()
            )
            assert f"| {size:,} |" in text
        data = {"rte": "RTE/train.tsv", "stsb": "STS-B/train.tsv"}
        for task in ("rte", "stsb"):
            (found,) = (h for path, h in lock["data"].items() if path.endswith(data[task]))
            shown = f"| `{data[task]}` | `{found}` |"
            assert (shown in text) == (task in tasks)
        assert ("`entailment`" in text) == ("rte" in tasks)
        assert ("a number from 0 to 5" in text) == ("stsb" in tasks)
        assert "synthetic" in text
        assert f"| torch | {lock['libraries']['torch']} |".replace("+", "+") in text
        assert '"steps_per_epoch": 3' in text
        assert "by the recipe below, from scratch; seed 42." in text


def test_no_readme_tells_where_files_lay(run) -> None:
    recipe = json.loads((run / "recipe.json").read_text())
    folder = str(Path(recipe["tokenizer"]["vocab"]).parent)
    for readme in run.rglob("README.md"):
        text = readme.read_text(encoding="utf-8")
        assert folder not in text
        assert str(run.parent) not in text
        assert '"vocab": "vocab.txt"' in text


def test_what_training_started_from(run, here) -> None:
    done = here("run", "recipe.json", "--checkpoint", "out/final", "--output", "more", "--quiet")
    assert done.returncode == 0, done.stderr
    text = (run.parent / "more/final/README.md").read_text(encoding="utf-8")
    assert "by the recipe below, from the checkpoint `final`; seed 42." in text
    assert '"path": "final"' in text


def test_the_readme_shows_how_to_read_the_state(run, monkeypatch) -> None:
    """The Python on it runs in the run folder."""
    monkeypatch.chdir(run)
    for place in ("best/mean", "best/tasks/rte", "final"):
        text = (run / place / "README.md").read_text(encoding="utf-8")
        code = text.split("```python\n")[1].split("```")[0]
        names: dict[str, object] = {}
        exec(code, names)
        assert names["task"].record.id == "rte"


def test_conversions_and_exports_keep_what_the_run_knew(run, here) -> None:
    assert here("convert", "out", "copy", "--to", "bertmod").returncode == 0
    assert here("convert", "out", "hub", "--to", "huggingface", "--task", "stsb").returncode == 0
    lock = json.loads((run / "lock.json").read_text())
    recipe_hash = json.loads((run / "best/mean/rte/task.json").read_text())["recipe_hash"]
    for place, tasks in (("copy", ("RTE", "STS-B")), ("hub", ("STS-B",))):
        text = (run.parent / place / "README.md").read_text(encoding="utf-8")
        assert "synthetic" in text
        assert recipe_hash in text
        for path, found in lock["data"].items():
            assert (found in text) == (Path(path).parent.name in tasks)
