"""Time SQuAD's questions to windows, and logits to answers, in the way of transformers' example.

Runs in the environment that has transformers and datasets, not bertmod:

    python transformers_windows.py QUESTIONS SETTINGS OUTPUT WINDOWS

QUESTIONS and SETTINGS are JSON files that ``benchmarks/conversion.py`` writes; OUTPUT (JSON) and
WINDOWS (NumPy) are files that it reads. Where SETTINGS has a ``doc_stride``, windows are made that
begin so many pieces after one another, as Google's do, and nothing is timed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from datasets import disable_progress_bars, load_dataset  # type: ignore[import-not-found]
from squad_windows import Columns, answers, dev_windows
from transformers import AutoTokenizer  # type: ignore[import-not-found]
from transformers_training import versions

NUM_SPECIAL = 3
"""[CLS] and two [SEP]."""

PADDED = -10.0
"""Logit of padding: a trained model does not answer with it."""


def google_windows(questions: str, settings: dict[str, Any]) -> Columns:
    """Windows whose overlap is chosen for each length of question, which the example cannot."""
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    rows = json.loads(Path(questions).read_text(encoding="utf-8"))["data"]
    texts = [row["question"].lstrip() for row in rows]
    of_length: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row, ids in zip(rows, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True):
        of_length[len(ids)].append(row)
    windows: Columns = defaultdict(list)
    for length, alike in of_length.items():
        room = settings["max_length"] - length - NUM_SPECIAL
        columns = {name: [row[name] for row in alike] for name in alike[0]}
        overlap = {"overlap": room - settings["doc_stride"]}
        for name, values in dev_windows(columns, tokenizer, {**settings, **overlap}).items():
            windows[name] += values
    return windows


def measure(questions: str, settings: dict[str, Any], folder: str) -> tuple[dict[str, Any], Any]:
    """Seconds of each part, and the windows."""
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    clock = [time.perf_counter()]
    rows = load_dataset(
        "json", data_files={"dev": questions}, field="data", split="dev", cache_dir=folder
    )
    clock.append(time.perf_counter())
    windows = rows.map(
        partial(dev_windows, tokenizer=tokenizer, settings=settings),
        batched=True,
        remove_columns=rows.column_names,
    )
    clock.append(time.perf_counter())
    logits = random_logits(windows, seed=settings["seed"])
    begun = time.perf_counter()
    found = answers(rows, windows, logits, settings)
    told = {
        "read_seconds": clock[1] - clock[0],
        "features_seconds": clock[2] - clock[1],
        "answers_seconds": time.perf_counter() - begun,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "windows": len(windows),
        "answers": len(found),
        "versions": versions("datasets"),
    }
    return told, windows


def random_logits(windows: Any, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of starts and ends, drawn from N(0, 1); low where a row is padded."""
    padding = np.array(windows["attention_mask"]) == 0
    generator = np.random.default_rng(seed)
    starts, ends = generator.standard_normal((2, *padding.shape), dtype=np.float32)
    starts[padding] = ends[padding] = PADDED
    return starts, ends


def save_windows(path: Path, windows: Any) -> None:
    """Write each window's question and real tokens, one behind another."""
    masks = np.array(windows["attention_mask"], dtype=bool)
    np.savez(
        path,
        question=np.array(windows["example_id"]),
        input_ids=np.array(windows["input_ids"], dtype=np.int32)[masks],
        bounds=np.concatenate(([0], masks.sum(1).cumsum())),
    )


def main() -> None:
    """Read the two inputs, make windows, write the outputs."""
    disable_progress_bars()
    settings = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    output, target = map(Path, sys.argv[3:5])
    if "doc_stride" in settings:
        save_windows(target, google_windows(sys.argv[1], settings))
        return
    with TemporaryDirectory() as folder:
        told, windows = measure(sys.argv[1], settings, folder)
        output.write_text(json.dumps(told), encoding="utf-8")
        save_windows(target, windows)


if __name__ == "__main__":
    main()
