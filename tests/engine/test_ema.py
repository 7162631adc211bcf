"""The average of the weights is what a run scores and keeps, and the weights go on without it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bertmod import CheckpointError
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.ema import WeightAverage
from bertmod.engine.run_folder import RunFolder

SETTINGS = {"num_epochs": 2, "steps_per_epoch": 6, "evaluate_every": 4, "save_every": 3}


def trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def test_the_average_of_every_step(toy) -> None:
    """Of all parameters, those of the task that sits out a step included."""
    trainer = toy.trainer(ema=0.9)
    expected = {name: value.double() for name, value in trained(trainer.model).items()}
    for step in range(1, 9):
        trainer.train_step()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in trained(trainer.model).items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    assert trainer._average.values.keys() == expected.keys()
    for name, value in trainer._average.values.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)


def test_what_does_not_move_is_its_own_average(toy) -> None:
    model = toy.model()
    model.encoder.requires_grad_(False)
    trainer = toy.trainer(model, [toy.task("flag"), toy.task("size")], ema=0.99)
    before = toy.values(model)
    trainer.train_step()
    task = "size" if any(".flag." in name for name in toy.changed(before, model)) else "flag"
    for name, value in trainer._average.values.items():
        assert not name.startswith("encoder.")  # frozen: never averaged
        if f".{task}." in name:
            assert torch.equal(value, before[name])


def test_training_is_as_without(toy) -> None:
    ours, theirs = toy.model(dropout=0.1), toy.model(dropout=0.1)
    toy.trainer(ours, ema=0.9, **SETTINGS).fit()
    toy.trainer(theirs, **SETTINGS).fit()
    assert toy.changed(toy.values(ours), theirs) == set()


def test_evaluation_scores_the_average(toy) -> None:
    """And the model has its own weights again afterwards, bit for bit, whatever went wrong."""
    trainer = toy.trainer(ema=0.99, **SETTINGS)
    for _ in range(6):
        trainer.train_step()
    own, average = toy.values(trainer.model), dict(trainer._average.values)
    average = {name: value.clone() for name, value in average.items()}
    found = trainer.evaluate().scores
    assert toy.changed(own, trainer.model) == set()
    other = toy.model()
    other.load_state_dict({**own, **average})
    assert toy.trainer(other).evaluate().scores == found
    assert toy.trainer(other).evaluate().scores != toy.trainer(trainer.model).evaluate().scores
    with contextlib.suppress(KeyError), trainer._average.applied(trainer.model):
        assert toy.changed(own, trainer.model) == average.keys()
        raise KeyError
    assert toy.changed(own, trainer.model) == set()
    assert all(torch.equal(trainer._average.values[name], average[name]) for name in average)


def test_without_a_decay_nothing_is_kept(toy) -> None:
    trainer = toy.trainer()
    trainer.train_step()
    assert trainer._average.values == {}


@pytest.mark.usefixtures("host_copies")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"precision": "fp16"},
        {"offload": "cpu"},
        {"idle": "dense", "gradient_accumulation_steps": 2},
    ],
    ids=["fp32", "fp16", "offload", "dense"],
)
def test_resumed_bit_equal(toy, tmp_path, settings) -> None:
    whole = toy.trainer(toy.model(dropout=0.1), ema=0.9, **SETTINGS, **settings)
    expected = whole.fit()
    with RunFolder(tmp_path / "run") as folder:
        first = toy.trainer(
            toy.model(dropout=0.1),
            folder=folder,
            ema=0.9,
            **{**SETTINGS, "num_epochs": 1},
            **settings,
        )
        first.fit()
        second = toy.trainer(
            toy.model(dropout=0.1, seed=3), folder=folder, ema=0.9, **SETTINGS, **settings
        )
        ends = second.fit(resume=True)  # of the shorter run's own evaluations one may be its best
        assert [each.final for each in ends] == [each.final for each in expected]
        snapshot = load_newest(folder.checkpoints)
    assert snapshot is not None
    assert toy.changed(toy.values(whole.model), second.model) == set()
    for name, value in whole._average.values.items():
        assert torch.equal(value, second._average.values[name])
        assert torch.equal(value, snapshot.average[name])
        assert torch.equal(snapshot.model[name], whole.model.state_dict()[name])


@pytest.mark.usefixtures("host_copies")
def test_offloading_changes_nothing(toy) -> None:
    plain, moved = (toy.trainer(toy.model(), ema=0.9, offload=where) for where in (None, "cpu"))
    for _ in range(5):
        plain.train_step()
        moved.train_step()
    assert plain.evaluate().scores == moved.evaluate().scores
    for name, value in plain._average.values.items():
        assert torch.equal(value, moved._average.values[name])
    assert toy.changed(toy.values(plain.model), moved.model) == set()


def test_a_checkpoint_of_a_run_with_or_without(toy, tmp_path) -> None:
    """Neither goes on as the other; a recipe that changed it is refused before that."""
    for name, before, now in (("with", 0.9, None), ("without", None, 0.9)):
        with RunFolder(tmp_path / name) as folder:
            toy.trainer(folder=folder, ema=before, **SETTINGS).fit()
            with pytest.raises(CheckpointError, match="weight averages are of other parameters"):
                toy.trainer(folder=folder, ema=now, **SETTINGS).fit(resume=True)


def test_no_parameters() -> None:
    average = WeightAverage([], 0.5)
    average.update(1)
    with average.applied(torch.nn.Linear(1, 1)):
        pass


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: value
        for path in folder.rglob("*.safetensors")
        for name, value in load_file(path).items()
    }


@pytest.mark.slow
def test_from_a_recipe(program, write_recipe, tmp_path) -> None:
    """best/ and final/ have the averages; a run that was stopped ends with the same files."""
    recipe, run = write_recipe(tmp_path / "recipe", training={"ema": 0.9}), tmp_path / "run"
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 0, ended.err
    newest = run / "checkpoints" / "step-00000024"
    own, average = (load_file(newest / f"{kind}.safetensors") for kind in ("model", "average"))
    name = "heads.rte.classifier.weight"
    kept = [
        value for key, value in tensors_of(run / "final" / "rte").items() if "classifier.w" in key
    ]
    assert any(torch.equal(value, average[name]) for value in kept)
    assert not any(torch.equal(value, own[name]) for value in kept)
    again = tmp_path / "again"
    assert program("run", recipe, "--output", again, "--quiet", term_at_step=10).status == 130
    assert program("run", recipe, "--output", again, "--quiet", "--resume").status == 0
    for part in ("final", "best", "predictions", f"checkpoints/{newest.name}"):
        for path in (path for path in (run / part).rglob("*") if path.is_file()):
            assert (again / path.relative_to(run)).read_bytes() == path.read_bytes(), path
