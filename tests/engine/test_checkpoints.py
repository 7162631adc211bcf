"""Checkpoints: damage is found, rotation leaves what is needed, state comes back exactly."""

from __future__ import annotations

import json
import logging

import pytest
import torch

from bertmod import CheckpointError
from bertmod.engine.checkpoint import Snapshot, load_newest, resume_newest, save_checkpoint
from bertmod.engine.run_folder import RunFolder


def snapshot(step: int) -> Snapshot:
    tensors = {"encoder.w": torch.full((3, 2), float(step))}
    state = {"counters": {"step": step, "score": float("nan")}}
    return Snapshot(step, tensors, {"encoder.w/exp_avg": tensors["encoder.w"] / 2}, state)


@pytest.fixture
def checkpoints(tmp_path):
    for step in (4, 8):
        save_checkpoint(tmp_path, snapshot(step), keep=2)
    return tmp_path


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(checkpoints) -> None:
    found = load_newest(checkpoints)
    assert found.step == found.state["counters"]["step"] == 8
    torch.testing.assert_close(found.model["encoder.w"], torch.full((3, 2), 8.0), rtol=0, atol=0)
    assert list(found.optimizer) == ["encoder.w/exp_avg"]
    assert str(found.state["counters"]["score"]) == "nan"


def test_no_checkpoint_is_none(tmp_path) -> None:
    assert load_newest(tmp_path) is None
    assert load_newest(tmp_path / "absent") is None


def every_damage(folder):
    """Ways to spoil a checkpoint: each gives a description and a function."""
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        yield f"{path.name} missing", path.unlink
        yield f"{path.name} empty", lambda path=path: path.write_bytes(b"")
        yield f"{path.name} shorter", lambda path=path: path.write_bytes(path.read_bytes()[:-1])
        many = 25 if path.name != "manifest.json" else size
        for place in range(0, size, max(size // many, 1)):

            def flip(path=path, place=place):
                content = bytearray(path.read_bytes())
                content[place] ^= 1
                path.write_bytes(bytes(content))

            yield f"{path.name} byte {place} flipped", flip


def test_whatever_is_damaged_the_one_before_is_used(checkpoints, caplog) -> None:
    newest = checkpoints / "step-00000008"
    whole = {path: path.read_bytes() for path in newest.iterdir()}
    for what, damage in list(every_damage(newest)):
        damage()
        caplog.clear()
        assert load_newest(checkpoints).step == 4, what
        assert str(newest) in caplog.text, what
        assert "trying the one before" in caplog.text
        assert caplog.records[0].levelno == logging.WARNING
        for path, content in whole.items():
            path.write_bytes(content)
    assert load_newest(checkpoints).step == 8


def test_all_damaged(checkpoints) -> None:
    for path in checkpoints.iterdir():
        (path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError) as error:
        load_newest(checkpoints)
    assert str(error.value) == f"{checkpoints}: none of its 2 checkpoints is whole"


def test_a_newer_format_is_refused_and_not_passed_over(checkpoints) -> None:
    path = checkpoints / "step-00000008" / "manifest.json"
    manifest = json.loads(path.read_text()) | {"format_version": 3}
    path.write_text(json.dumps(manifest))
    assert load_newest(checkpoints).step == 4, "the number alone is damage"
    del manifest["digest"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as error:
        load_newest(checkpoints)
    assert str(error.value) == (
        f"{path.parent}: checkpoint format 3, but this bertmod reads up to 2\n"
        "  go on with the bertmod that wrote it, or a newer one"
    )


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path, keep) -> None:
    for step in range(2, 12, 2):
        save_checkpoint(tmp_path, snapshot(step), keep=keep)
    assert names(tmp_path) == [f"step-{step:08d}" for step in (6, 8, 10)[3 - keep :]]


def test_saving_a_step_again_replaces_it(checkpoints) -> None:
    save_checkpoint(checkpoints, Snapshot(8, {}, {}, {"again": True}), keep=2)
    assert load_newest(checkpoints).state == {"again": True}
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


def test_a_folder_moved_aside_by_a_kill_is_found(checkpoints) -> None:
    """A kill between the two renames of a replacement leaves the old one aside."""
    (checkpoints / "step-00000008").rename(checkpoints / ".old-step-00000008")
    assert load_newest(checkpoints).step == 8
    save_checkpoint(checkpoints, snapshot(8), keep=2)
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


def test_what_a_kill_left_over_goes_with_the_next_checkpoint(checkpoints) -> None:
    (checkpoints / ".writing-step-00000005").mkdir()
    (checkpoints / ".old-step-00000004").mkdir()
    (checkpoints / ".old-.old-step-00000002").mkdir()
    (checkpoints / "notes.txt").write_text("somebody's own")
    save_checkpoint(checkpoints, snapshot(12), keep=2)
    assert names(checkpoints) == ["notes.txt", "step-00000008", "step-00000012"]


def test_resuming_puts_the_folder_in_order(checkpoints) -> None:
    """Killed while it discarded 2: nothing may be saved any more that would clear it away."""
    (checkpoints / ".old-step-00000002").mkdir()
    (checkpoints / ".writing-step-00000012").mkdir()
    assert resume_newest(checkpoints, keep=2).step == 8
    assert names(checkpoints) == ["step-00000004", "step-00000008"]
    assert load_newest(checkpoints).step == 8


@pytest.mark.parametrize("damaged", [False, True])
def test_resuming_puts_what_was_moved_aside_back(checkpoints, damaged) -> None:
    (checkpoints / "step-00000008").rename(checkpoints / ".old-step-00000008")
    if damaged:
        (checkpoints / "step-00000008").mkdir()
    assert resume_newest(checkpoints, keep=1).step == 8
    assert names(checkpoints) == ["step-00000004", "step-00000008"]
    assert load_newest(checkpoints).step == 8


def test_nothing_to_resume(tmp_path) -> None:
    assert resume_newest(tmp_path, keep=2) is None


def test_a_damaged_newer_one_does_not_push_out_what_is_whole(checkpoints) -> None:
    """Resumed at 4 since 8 is damaged, saved at 6: with one to keep, it must be 6."""
    (checkpoints / "step-00000008" / "state.json").write_text("{")
    save_checkpoint(checkpoints, snapshot(6), keep=1)
    assert names(checkpoints) == ["step-00000006"]


def test_a_failed_save_leaves_the_older_ones(checkpoints) -> None:
    bad = Snapshot(12, {}, {}, {"not json": object()})
    with pytest.raises(TypeError):
        save_checkpoint(checkpoints, bad, keep=2)
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


class Finer(torch.optim.SGD):
    """Keeps state of several dtypes, in tensors and plain values."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["sum"] = torch.zeros_like(parameter, dtype=torch.float64)
                    state["bits"] = torch.zeros(3, dtype=torch.uint8)
                    state["step"] = torch.zeros(())
                    state["count"] = 0
                state["sum"] += parameter.grad.double() / 3
                state["bits"] += 77
                state["step"] += 1
                state["count"] += 1
                parameter.data -= 0.1 * (state["sum"] / state["count"]).float()


@pytest.mark.parametrize("optimizer", ["adamw", "bert_adam", "lamb", "finer"])
def test_a_resumed_trainer_goes_on_bit_for_bit(toy, tmp_path, optimizer) -> None:
    def finer(groups):
        return Finer([{"params": [p for _, p in group.parameters]} for group in groups], lr=0.1)

    settings = {
        "optimizer": finer if optimizer == "finer" else optimizer,
        "idle": "dense",
        "sampler": "proportional",
        "schedule": "linear",
        "num_epochs": 2,
        "steps_per_epoch": 5,
        "save_every": 3,
        "evaluate_every": 100,
    }
    with RunFolder(tmp_path / "a") as folder:
        whole = toy.trainer(toy.model(dropout=0.2), folder=folder, **settings)
        whole.fit()
    before, after = (toy.model(dropout=0.2), toy.model(dropout=0.2, seed=3))
    with RunFolder(tmp_path / "b") as folder:
        stopped = toy.trainer(before, folder=folder, **settings)
        for _ in range(3):
            stopped.train_step()
        stopped._save()
        resumed = toy.trainer(after, folder=folder, **settings)
        results = resumed.fit(resume=True)
    assert toy.changed(toy.values(whole.model), after) == set()
    assert results == whole.results()
    newest = [load_newest(tmp_path / run / "checkpoints") for run in "ab"]
    assert newest[0].state == newest[1].state
    for name, value in newest[0].optimizer.items():
        assert newest[1].optimizer[name].dtype == value.dtype
        assert torch.equal(newest[1].optimizer[name], value), name


def test_a_checkpoint_of_another_model_is_refused(toy, tmp_path) -> None:
    settings = {"steps_per_epoch": 1, "num_epochs": 1}
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, **settings).fit()
        other = toy.trainer(toy.model(("flag", "other")), folder=folder, **settings)
        with pytest.raises(CheckpointError, match="the checkpoint is of another model"):
            other.fit(resume=True)
