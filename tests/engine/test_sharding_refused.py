"""What cannot be held in parts, and what is said of it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from bertmod import RecipeError
from bertmod.engine import sharding
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.sharding import placed_model

TWO = Ranks(0, 2)


def refused(model, ranks: Ranks = TWO) -> str:
    with pytest.raises(RecipeError) as caught:
        placed_model(model, "fsdp", ranks)
    return str(caught.value)


def test_a_number_is_refused(toy) -> None:
    model = toy.model()
    model.heads["flag"].scale = Parameter(torch.tensor(1.0))
    model.heads["size"].exact = Parameter(torch.zeros(2, dtype=torch.float64))
    assert refused(model) == (
        "this run: 2 problems\n"
        "  training.parallel\n"
        '      "fsdp" cuts parameters along their first axis, and heads.flag.scale has none\n'
        '      give it the shape (1,), or use "ddp"\n'
        "  training.parallel\n"
        '      "fsdp" trains fp32 parameters alone, and heads.size.exact is torch.float64\n'
        '      make it torch.float32, or use "ddp"'
    )


def test_one_process_and_an_old_torch(toy, monkeypatch) -> None:
    monkeypatch.setattr(sharding, "OLDEST_TORCH", "99.1")
    assert refused(toy.model(), ALONE) == (
        "this run: 2 problems\n"
        "  training.parallel\n"
        '      "fsdp" shares a model between processes, and there is one\n'
        "      start several: --nproc N, or torchrun\n"
        "  training.parallel\n"
        f'      "fsdp" needs torch 99.1 or newer, and this is {torch.__version__}\n'
        '      install it, or use "ddp"'
    )


@pytest.mark.slow
def test_one_process_is_refused(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path, training={"parallel": "fsdp", "num_epochs": 1})
    alone = program("run", recipe, "--output", tmp_path / "alone")
    assert alone.status == 2
    assert alone.err == (
        f"{recipe}: 1 problem\n"
        "  training.parallel\n"
        '      "fsdp" shares a model between processes, and there is one\n'
        "      start several: --nproc N, or torchrun\n"
        '      or use "auto", "single" or "ddp"\n'
    )
    assert not (tmp_path / "alone").exists()
