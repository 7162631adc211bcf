"""Rounds of training steps with bertmod's trainer; ``serving.py`` says how it is used.

Settings: ``recipe``; ``changes``, ``path=json`` texts; ``steps`` of a round; ``threads``.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from serving import Told, Unable, serve

from bertmod.assemble.run import assemble
from bertmod.engine.trainer import Trainer
from bertmod.errors import RecipeError
from bertmod.recipe.load import apply_overrides, raw_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Make the trainer of ``bertmod run``, without its folder."""
    torch.set_num_threads(settings["threads"])
    registry = load_registry()
    try:
        raw = apply_overrides(raw_recipe(settings["recipe"]), settings["changes"])
        recipe = resolve(raw, registry)
    except RecipeError as error:
        raise Unable(str(error)) from error
    trainer = assemble(recipe, registry).trainer(quiet=True)
    about = {"precision": trainer.settings.precision}
    return about, lambda _: one_round(trainer, settings["steps"])


def one_round(trainer: Trainer, num_steps: int) -> dict[str, float]:
    """Make steps, and tell what they were of and how many seconds they took."""
    begun = time.perf_counter()
    steps = [trainer.train_step()[1] for _ in range(num_steps)]
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "rows": sum(step.features for step in steps),
        "tokens": sum(step.tokens for step in steps),
    }


if __name__ == "__main__":
    serve(start)
