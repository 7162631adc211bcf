"""Runs with ``optimizer.touched_rows``: rows of no batch stay, and all else is as ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bertmod.engine.checkpoint import load_newest
from bertmod.engine.groups import build_groups
from bertmod.engine.parallel import ALONE
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.settings import TrainerSettings
from bertmod.library import build

WORDS = "encoder.embeddings.word_embeddings.weight"
TABLES = {
    WORDS,
    "encoder.embeddings.position_embeddings.weight",
    "encoder.embeddings.token_type_embeddings.weight",
}
OPTIMIZERS = ("adamw", "bert_adam")
SETTINGS = {"num_epochs": 2, "steps_per_epoch": 6, "evaluate_every": 4, "save_every": 3}


def by_row(name: str, **options):
    return lambda groups: build("optimizer", name, groups, touched_rows=True, **options)


def named_tables(model: nn.Module) -> set[str]:
    users = {name: frozenset({"flag"}) for name, _ in model.named_parameters()}
    groups = build_groups(model, users, TrainerSettings(layer_decay=0.5))
    for group in groups:
        assert group.tables <= dict(group.parameters).keys()
    return set().union(*(group.tables for group in groups))


def test_tables_are_the_weights_of_embeddings(toy) -> None:
    """Of any part of the model; frozen ones are in no group."""
    model = toy.model(("flag",))
    assert named_tables(model) == TABLES
    model.head("flag").own = nn.Embedding(5, 3)
    model.head("flag").bags = nn.EmbeddingBag(5, 3)
    model.encoder.embeddings.requires_grad_(False)
    assert named_tables(model) == {"heads.flag.own.weight", "heads.flag.bags.weight"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_rows_of_no_batch_stay(toy, optimizer, accumulation) -> None:
    """And every row that a batch had moves, micro-batches taken together, under clipping too."""
    trainer = toy.trainer(
        toy.model(("flag",)),
        optimizer=by_row(optimizer),
        gradient_accumulation_steps=accumulation,
        max_grad_norm=0.1,
    )
    before = toy.values(trainer.model)[WORDS]
    seen: set[int] = set()
    for step in range(3):
        tables = trainer.rows("flag", step, step=step).tables()
        assert len(tables) == accumulation
        seen |= {int(each) for table in tables for each in table.tokens["input_ids"]}
        trainer.train_step()
    after = trainer.model.state_dict()[WORDS]
    assert set((after != before).any(1).nonzero().flatten().tolist()) == seen
    assert 0 < len(seen) < len(before)


@pytest.mark.usefixtures("host_copies")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_host_memory_as_on_the_device(toy, optimizer) -> None:
    plain, moved = (
        toy.trainer(toy.model(dropout=0.1), optimizer=by_row(optimizer), offload=where)
        for where in (None, "cpu")
    )
    before = toy.values(moved.model)[WORDS]
    for _ in range(4):
        assert plain.train_step() == moved.train_step()
    assert toy.changed(toy.values(plain.model), moved.model) == set()
    assert torch.equal(before[0], moved.model.state_dict()[WORDS][0])  # toys have no token 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_in_processes_as_in_one(toy, in_processes, optimizer, mode) -> None:
    """Each has other rows of the batch, and with fsdp other rows of the tables."""

    def course(ranks, **options):
        trainer = toy.trainer(
            ranks=ranks, optimizer=by_row(optimizer), learning_rate=1e-3, **options
        )
        before = toy.values(trainer.model)[WORDS].numpy()
        for _ in range(6):
            trainer.train_step()
        after = {name: value.numpy() for name, value in toy.values(trainer.model).items()}
        return after, (after[WORDS] != before).any(1)

    expected, moved = course(ALONE)
    for values, rows in in_processes(lambda ranks: course(ranks, parallel=mode)):
        assert np.array_equal(rows, moved)
        assert not rows[0]
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("settings", [{}, {"idle": "dense", "ema": 0.9}], ids=["plain", "dense"])
def test_resumed_bit_equal(toy, tmp_path, optimizer, settings) -> None:
    settings = {**SETTINGS, **settings}
    whole = toy.trainer(toy.model(dropout=0.1), optimizer=by_row(optimizer), **settings)
    whole.fit()
    with RunFolder(tmp_path / "run") as folder:
        for epochs in (1, 2):
            given = {"folder": folder, **settings, "num_epochs": epochs}
            model = toy.model(dropout=0.1, seed=epochs - 1)
            part = toy.trainer(model, optimizer=by_row(optimizer), **given)
            part.fit(resume=epochs == 2)
        snapshot = load_newest(folder.checkpoints)
    assert snapshot is not None
    assert toy.changed(toy.values(whole.model), part.model) == set()
    moments = whole._optimizer.state[dict(whole.model.named_parameters())[WORDS]]
    for key, value in moments.items():
        assert torch.equal(value, snapshot.optimizer[f"{WORDS}/{key}"])
    assert not moments["exp_avg"][0].any()
    assert moments["exp_avg"].any()


def mask_rows(run: Path) -> list[torch.Tensor]:
    """The row of [MASK], which no text has, in the run's last two checkpoints."""
    vocabulary = (run / "final/encoder/vocab.txt").read_text().splitlines()
    kept = sorted((run / "checkpoints").glob("step-*"))
    words = [load_file(path / "model.safetensors")[WORDS] for path in kept]
    assert len(words) == 2
    assert not torch.equal(*(each[vocabulary.index("[CLS]")] for each in words))
    return [each[vocabulary.index("[MASK]")] for each in words]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_killed_and_resumed(program, write_recipe, run_files, tmp_path, optimizer) -> None:
    """Bit for bit the run that was not; a row of no batch stays, which decay moves without."""
    recipe = write_recipe(
        tmp_path,
        optimizer={"name": optimizer, "touched_rows": True, "weight_decay": 0.1},
        training={"num_epochs": 1},
    )
    words = ("run", recipe, "--quiet")
    whole, killed, dense = (tmp_path / name for name in ("whole", "killed", "dense"))
    assert program(*words, "--output", whole).status == 0
    assert program(*words, "--output", killed, term_at_step=5, signal="SIGKILL").status == -9
    off = ("--set", "optimizer.touched_rows=false")
    refused = program(*words, *off, "--output", killed, "--resume")
    assert refused.status == 2
    assert "optimizer.touched_rows" in refused.err
    ended = program(*words, "--output", killed, "--resume")
    assert (ended.status, ended.err) == (0, "")
    run_files.assert_same(killed, whole)
    assert program(*words, *off, "--output", dense).status == 0
    assert torch.equal(*mask_rows(whole))
    assert not torch.equal(*mask_rows(dense))


def test_the_program_shows_it(program) -> None:
    for name, offered in (("adamw", True), ("bert_adam", True), ("lamb", False)):
        shown = program("show", "optimizer", name)
        assert shown.status == 0
        assert ("touched_rows" in shown.out) == offered
