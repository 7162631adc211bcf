"""``bertmod run``: what it shows, what it leaves, and what another run makes of that."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod.builtin.adapters.pals_config import PalsConfig
from bertmod.builtin.adapters.pals_config import names as pals_names
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.encoders.names import names as bert_names
from bertmod.engine.interrupt import WHAT_FOLLOWS

SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."
STILL = ("--set", "optimizer.learning_rate=1e-60", "--set", "optimizer.weight_decay=0.0")
"""Options that keep every weight as it was loaded."""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_the_table_is_on_standard_output(trained) -> None:
    lines = (trained.parents[1] / "stdout.txt").read_text().splitlines()
    assert lines[:2] == ["eight.json: runs/eight", SYNTHETIC]
    assert lines[2].split() == [
        *("task", "metric", "last", "best", "at", "step", "baseline", "rows", "updates"),
        *("own", "param."),
    ]
    tasks = [line.split()[0] for line in lines[4:-1]]
    assert tasks == ["cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli"]
    assert lines[-1].startswith("plain mean of 8 ")
    updates = [int(line.split()[-2]) for line in lines[4:-1]]
    assert sum(updates) == 6


def test_progress_is_plain_lines_without_a_terminal(trained) -> None:
    text = (trained.parents[1] / "stderr.txt").read_text()
    assert "\r" not in text
    assert "\x1b" not in text
    lines = text.splitlines()
    assert re.fullmatch(r"step 3: cola -?\d\.\d{4}  mrpc .*", lines[0])
    assert re.fullmatch(
        r"epoch 2/2, step 6/6, \d+ examples/s, 0 s left, loss \w+ \d+\.\d{3}.*", lines[1]
    )


def test_the_log_says_that_the_sample_is_synthetic(trained) -> None:
    log = (trained / "log.txt").read_text()
    assert log.splitlines()[0].endswith(f" INFO {SYNTHETIC}")
    assert "plain mean of 8" in log


def test_the_run_folder(trained) -> None:
    assert {path.name for path in trained.iterdir()} >= {
        *("recipe.json", "lock.json", "log.txt", "metrics.jsonl", "tensorboard"),
        *("checkpoints", "best", "final", "predictions"),
    }
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {
        "step-00000003",
        "step-00000006",
    }
    assert not list(trained.rglob(".writing-*"))


def test_the_lock_file(trained, sample) -> None:
    lock = json.loads((trained / "lock.json").read_text())
    assert lock["plugins"] == {"bertmod": lock["bertmod"]}
    assert lock["libraries"]["torch"] == torch.__version__
    assert lock["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (lock["seed"], lock["synthetic_sample"], lock["checkpoint"]) == (42, True, {})
    assert len(lock["data"]) == 17, "train and dev of eight tasks, MNLI has two dev files"
    file = str(sample / "RTE/train.tsv")
    hashed = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
    assert lock["data"][file] == hashed.stdout.split()[0]


def test_the_resolved_recipe_has_every_default(trained, sample) -> None:
    values = json.loads((trained / "recipe.json").read_text())
    assert values["tokenizer"] == {
        "name": "bertmod/wordpiece",
        "vocab": str(sample / "vocab.txt"),
        "lower_case": True,
        "split_cjk": True,
        "drop_unassigned": False,
        "max_word_length": 200,
    }
    assert values["encoder"]["vocab_size"] == len((sample / "vocab.txt").read_text().splitlines())
    assert values["training"]["precision"] == "fp32"
    assert values["sampler"] == {"name": "bertmod/anneal", "drop": 0.8, "sizes": None}
    assert [tracker["name"] for tracker in values["trackers"]] == [
        "bertmod/jsonl",
        "bertmod/tensorboard",
    ]


@pytest.mark.slow
def test_the_resolved_recipe_gives_the_same_run(bertmod, trained, tmp_path) -> None:
    result = bertmod("run", trained / "recipe.json", "--output", "again", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    again = tmp_path / "again"
    assert (again / "recipe.json").read_bytes() == (trained / "recipe.json").read_bytes()
    for part in sorted(path.name for path in (trained / "final").iterdir() if path.is_dir()):
        assert same_weights(trained / "final" / part, again / "final" / part)


def test_a_longer_run_on_resume(here, trained, tmp_path) -> None:
    shutil.copytree(trained, tmp_path / "runs/eight")
    recipe = trained.parents[1] / "eight.json"
    longer = ("--set", "training.num_epochs=3")
    result = here("run", recipe, "--resume", "--output", "runs/eight", "--quiet", *longer)
    assert (result.returncode, result.stderr) == (0, "")
    kept = sorted(path.name for path in (tmp_path / "runs/eight/checkpoints").iterdir())
    assert kept == ["step-00000006", "step-00000009"]


def test_another_run_as_the_checkpoint(here, recipe, trained, tmp_path) -> None:
    name = recipe(tasks=[{"name": "rte"}, {"name": "cola"}], adapters=[], seed=7)
    result = here("run", name, "--checkpoint", trained, "--output", "out", "--quiet", *STILL)
    took = "read as bertmod (best/mean/encoder/config.json says it is bertmod's)"
    assert (result.returncode, result.stderr) == (0, f"note: checkpoint.path: {took}\n")
    assert same_weights(trained / "best/mean/encoder", tmp_path / "out/final/encoder")
    assert not same_weights(trained / "best/mean/rte", tmp_path / "out/final/rte")
    lock = json.loads((tmp_path / "out/lock.json").read_text())
    assert str(trained / "best/mean/encoder/model.safetensors") in lock["checkpoint"]
    log = (tmp_path / "out/log.txt").read_text()
    assert f"checkpoint {trained}, read by the loader bertmod/bertmod\n" in log
    assert "\n39 tensors used: encoder 39\n" in log
    assert "tensors skipped: task head that nobody asked for" in log


@pytest.mark.parametrize("use", [["heads", "adapters"], ["rte"]])
def test_heads_and_adapters_of_another_run(here, recipe, trained, tmp_path, use) -> None:
    name = recipe(
        tasks=[{"name": "rte"}, {"name": "cola"}],
        checkpoint={"name": "auto", "path": str(trained / "final"), "use": use},
        encoder={"name": "bert"},
        seed=7,  # fresh weights differ from those of the other run
    )
    result = here("run", name, "--output", "out", "--quiet", *STILL)
    took = "read as bertmod (encoder/config.json says it is bertmod's)"
    assert (result.returncode, result.stderr) == (0, f"note: checkpoint.path: {took}\n")
    assert same_weights(trained / "final/encoder", tmp_path / "out/final/encoder")
    assert same_weights(trained / "final/rte", tmp_path / "out/final/rte")
    log = (tmp_path / "out/log.txt").read_text()
    for part in ("encoder 39", "heads.rte 2", "adapters.rte.pals"):
        assert f" {part}" in log
    cola = same_weights(trained / "final/cola", tmp_path / "out/final/cola")
    assert cola is ("heads" in use)


def test_a_checkpoint_whose_encoder_was_changed(here, recipe, trained, tmp_path) -> None:
    shutil.copytree(trained / "final", tmp_path / "changed")
    path = tmp_path / "changed/encoder/model.safetensors"
    tensors = load_file(path)
    tensors["encoder.embeddings.norm.bias"][0] += 1
    save_file(tensors, path)
    result = here("run", recipe(), "--checkpoint", "changed", "--output", "out")
    assert result.returncode == 2
    assert result.stderr.endswith(
        f"error: {tmp_path / 'changed'}: damaged: its weights are not those that config.json was "
        "written for\n"
    )
    assert not (tmp_path / "out").exists()


def _config(vocab: Path) -> dict[str, object]:
    return {
        "vocab_size": len(vocab.read_text().splitlines()),
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 48,
        "type_vocab_size": 2,
    }


def _random(rows, format_: str, task: str = "") -> dict[str, torch.Tensor]:
    """Random tensors under every name that a format gives them."""
    made: dict[str, torch.Tensor] = {}
    for row in rows:
        tensor = 0.02 * torch.randn(row.shape)
        for name in (row.stored[format_], *row.copies.get(format_, ())):
            made[name.replace("{task}", task)] = tensor.clone()
    return made


def test_a_hugging_face_folder(here, recipe, sample, tmp_path) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    shutil.copy(sample / "vocab.txt", hub)
    config = _config(hub / "vocab.txt")
    (hub / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    tensors = _random(bert_names(BertConfig(**config)), "huggingface")
    save_file(tensors, hub / "model.safetensors")
    result = here("run", recipe(), "--checkpoint", "hub", "--output", "out", "--quiet", *STILL)
    assert result.returncode == 0, result.stderr
    notes = "".join(
        f"note: encoder.{key}: {config[key]} from the checkpoint, in place of the recipe's {old}\n"
        for key, old in (
            ("hidden_size", 32),
            ("intermediate_size", 64),
            ("max_position_embeddings", 64),
        )
    )
    took = "read as huggingface (config.json of a BERT model beside model.safetensors)"
    notes += f"note: checkpoint.path: {took}\n"
    assert sorted(result.stderr.splitlines()) == sorted(notes.splitlines())
    stored = weights(tmp_path / "out/final/encoder")
    rows = bert_names(BertConfig(**config))
    for row in rows:
        assert torch.equal(
            stored[f"encoder.{row.canonical}"], tensors[row.stored["huggingface"]]
        ), row.canonical
    assert f"{len(rows)} tensors used" in (tmp_path / "out/log.txt").read_text()


def test_a_bert_n_pals_checkpoint(here, recipe, sample, tmp_path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(sample / "vocab.txt", old)
    config = _config(old / "vocab.txt")
    pals = {"mult": True, "pals": True, "hidden_size_aug": 12, "num_tasks": 2}
    (old / "pals_config.json").write_text(json.dumps({**config, **pals}))
    tensors = _random(bert_names(BertConfig(**config)), "bert_n_pals")
    rows = pals_names(PalsConfig(bottleneck_size=12), shape(BertConfig(**config)), (0, 1))
    for index, labels in enumerate((2, 1)):
        tensors |= _random(rows, "bert_n_pals", str(index))
        tensors[f"classifier.{index}.weight"] = torch.randn(labels, 24)
        tensors[f"classifier.{index}.bias"] = torch.randn(labels)
    torch.save(tensors, old / "model.pth")
    name = recipe(
        encoder={"name": "bert"},
        tasks=[{"name": "stsb"}, {"name": "rte"}],
        adapters=[{"name": "pals", "bottleneck_size": 12, "num_heads": 6}],
        checkpoint={
            "name": "bert_n_pals",
            "path": "old",
            "tasks": ["rte", "stsb"],
            "use": ["heads", "adapters"],
        },
    )
    result = here("run", name, "--output", "out", "--quiet", *STILL)
    assert result.returncode == 0
    (told,) = result.stderr.splitlines()
    assert "its heads.rte is taken to have them in the order not_entailment, entailment" in told
    for index, task in enumerate(("rte", "stsb")):
        stored = weights(tmp_path / "out/final" / task)
        assert torch.equal(stored["head.classifier.weight"], tensors[f"classifier.{index}.weight"])
        for row in rows:
            expected = tensors[row.stored["bert_n_pals"].replace("{task}", str(index))]
            assert torch.equal(stored[f"adapters.pals.{row.canonical}"], expected), row.canonical
    encoder = weights(tmp_path / "out/final/encoder")
    for row in bert_names(BertConfig(**config)):
        expected = tensors[row.stored["bert_n_pals"]]
        assert torch.equal(encoder[f"encoder.{row.canonical}"], expected), row.canonical


def test_help_of_run(bertmod) -> None:
    result = bertmod("run", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("--data", "--checkpoint", "--output", "--set", "--resume", "--quiet"):
        assert f"  {option} " in result.stdout


@pytest.mark.slow
def test_ctrl_c_on_a_terminal(recipe, env, tmp_path) -> None:
    """The bar is shown, the step is finished and saved, and the terminal is left clean."""
    name = recipe(training={"steps_per_epoch": 100_000, "device": "cpu", "precision": "fp32"})
    process, screen = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        command = [sys.executable, "-m", "bertmod", "run", name, "--output", "out"]
        os.execve(sys.executable, command, dict(env))
    ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    shown, asked = b"", False
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            shown += os.read(screen, 65536)
        except OSError:  # the other side has gone
            break
        if not asked and shown.count(b"step/s") > 5:
            asked = True
            os.write(screen, b"\x03")
    if time.monotonic() > deadline:
        os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(screen)
    bar, message = shown.decode().rsplit("\r\n", 2)[:2]
    assert status == 130
    assert f"\r\nSIGINT received: {WHAT_FOLLOWS}\r\n" in shown.decode()
    assert re.search(r"epoch 1/3: .* \d+/300000 .* ex/s cola \d\.\d{3}\]$", bar)
    found = re.fullmatch(r"error: stopped by SIGINT after step (\d+); go on with --resume", message)
    assert found
    assert (tmp_path / f"out/checkpoints/step-{int(found[1]):08d}").is_dir()
