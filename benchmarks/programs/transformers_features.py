"""Take features of lines with transformers: batches in input order, padded to their longest row.

Runs in the environment that has transformers, not bertmod:

    python transformers_features.py LINES SETTINGS OUTPUT VECTORS

LINES is a text file and SETTINGS a JSON file that ``benchmarks/features.py`` writes; OUTPUT (JSON)
and VECTORS (NumPy's .npy, or JSON lines in Google's form where SETTINGS names layers) are files
that it reads.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def batches(
    lines: list[str], model: Any, tokenizer: Any, settings: dict[str, Any]
) -> Iterator[tuple[Any, Any]]:
    """What the tokenizer and the model give of each batch."""
    size = settings["batch_size"]
    for first in range(0, len(lines), size):
        given = tokenizer(
            lines[first : first + size],
            padding=True,
            truncation=True,
            max_length=settings["max_length"],
            return_tensors="pt",
        )
        with torch.inference_mode():
            yield given, model(**given, output_hidden_states=bool(settings["layers"]))


def means(found: Iterator[tuple[Any, Any]]) -> np.ndarray:
    """Mean of the last layer over each line's tokens."""
    parts = []
    for given, output in found:
        weight = given["attention_mask"].unsqueeze(-1).float()
        sums = (output.last_hidden_state * weight).sum(1)
        parts.append((sums / weight.sum(1)).numpy())
    return np.concatenate(parts)


def json_lines(
    found: Iterator[tuple[Any, Any]], tokenizer: Any, layers: list[int]
) -> Iterator[str]:
    """Lines as Google's extract_features.py writes them."""
    number = 0
    for given, output in found:
        states = {layer: output.hidden_states[layer].numpy() for layer in layers}
        for row, length in enumerate(given["attention_mask"].sum(1).tolist()):
            tokens = tokenizer.convert_ids_to_tokens(given["input_ids"][row, :length].tolist())
            features = [
                {
                    "token": token,
                    "layers": [
                        {"index": layer, "values": [round(float(x), 6) for x in rows[row, place]]}
                        for layer, rows in states.items()
                    ],
                }
                for place, token in enumerate(tokens)
            ]
            yield json.dumps({"linex_index": number, "features": features}) + "\n"
            number += 1


def main() -> None:
    """Read the two inputs, take the features, write the outputs."""
    settings = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    model = AutoModel.from_pretrained(settings["checkpoint"], dtype=torch.float32).eval()
    begun = time.perf_counter()
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")[:-1]
    found = batches(lines, model, tokenizer, settings)
    if settings["layers"]:
        with Path(sys.argv[4]).open("w", encoding="ascii") as file:
            file.writelines(json_lines(found, tokenizer, settings["layers"]))
    else:
        np.save(sys.argv[4], means(found))
    told = {
        "seconds": time.perf_counter() - begun,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
    }
    Path(sys.argv[3]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
