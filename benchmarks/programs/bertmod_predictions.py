"""Rounds of ``bertmod predict``, from file to file; ``serving.py`` says how it is used.

Settings: ``run``, a run's folder; ``export``, a folder that was exported of it and answers in its
place, or null; ``task``, ``input``, ``output``, ``columns``, ``threads``. Whatever is loaded once
is loaded before the first round or in it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from serving import Told, Unable, serve

from bertmod.cli.predict_rows import answer_input
from bertmod.cli.trained import load_trained
from bertmod.engine.run_folder import RECIPE_FILE
from bertmod.errors import BertmodError


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Load the run."""
    torch.set_num_threads(settings["threads"])
    folder, export = Path(settings["run"]), settings["export"]
    exported = Path(export) if export else None
    try:
        run = load_trained(folder, source="mean", device="cpu", export=exported)
    except BertmodError as error:
        raise Unable(str(error)) from error
    output = Path(settings["output"])

    def predict(_: str) -> Told:
        begun = time.perf_counter()
        answer_input(
            lambda: run,
            [settings["task"]],
            Path(settings["input"]),
            columns=settings["columns"],
            output=output,
            form="usual",
        )
        seconds = time.perf_counter() - begun
        lines = output.read_text(encoding="utf-8").splitlines()
        return {"seconds": seconds, "rows": len(lines) - 1}

    recipe = json.loads((folder / RECIPE_FILE).read_text(encoding="utf-8"))
    return {"precision": recipe["training"]["precision"]}, predict


if __name__ == "__main__":
    serve(start)
