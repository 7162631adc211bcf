"""The files in which SQuAD's predictions are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bertmod import Prediction
from bertmod.data.tables import write_text


def write_squad(predictions: Sequence[Prediction], folder: Path, *, no_answers: bool) -> list[Path]:
    """Write ``predictions.json`` and ``nbest_predictions.json``, each an object by question id.

    Args:
        predictions: One per question.
        folder: Where; made if absent.
        no_answers: Whether ``null_odds.json`` is written too.

    Returns:
        The files.

    Raises:
        DataError: If one cannot be written.

    Source: google-research/bert run_squad.py.
    """
    keys = {"predictions.json": "text", "nbest_predictions.json": "nbest"}
    if no_answers:
        keys["null_odds.json"] = "null_odds"
    written = []
    for name, key in keys.items():
        found = {prediction["id"]: prediction[key] for prediction in predictions}
        written.append(write_text(folder / name, json.dumps(found, indent=4) + "\n"))
    return written
