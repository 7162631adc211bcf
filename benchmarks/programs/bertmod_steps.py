"""Rounds of training steps with bertmod's trainer; ``serving.py`` says how it is used.

Settings: ``recipe``; ``changes``, ``path=json`` texts; ``steps`` of a round; ``threads``;
``device``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    """Make the trainer, and tell in which precision it trains."""
    torch.set_num_threads(settings["threads"])
    device = f'training.device="{settings["device"]}"'
    trainer = new_trainer(settings["recipe"], (device, *settings["changes"]))
    about = {"precision": trainer.settings.precision}
    return about, lambda _: one_round(trainer, settings["steps"])


def new_trainer(recipe: dict[str, Any], changes: Sequence[str] = ()) -> Trainer:
    """The trainer of ``bertmod run``, without its folder.

    Args:
        recipe: Its recipe.
        changes: What is set in that, ``path=json`` texts.

    Raises:
        Unable: If the recipe is refused.
    """
    registry = load_registry()
    try:
        resolved = resolve(apply_overrides(raw_recipe(recipe), changes), registry)
    except RecipeError as error:
        raise Unable(str(error)) from error
    return assemble(resolved, registry).trainer(quiet=True)


def one_round(trainer: Trainer, num_steps: int) -> dict[str, float]:
    """Make steps, and tell what they were of and how many seconds they took."""
    begun = time.perf_counter()
    started = [trainer.start_step()[1] for _ in range(num_steps)]
    steps = [wait() for wait in started]
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    return {
        "seconds": seconds,
        "rows": sum(step.features for step in steps),
        "tokens": sum(step.tokens for step in steps),
    }


if __name__ == "__main__":
    serve(start)
