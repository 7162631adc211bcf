"""Rounds of answers to pairs of texts with onnxruntime, from file to file, rows sorted by length.

``serving.py`` says how it is used. Settings: ``model``, a folder with ``model.onnx`` and
``tokenizer.json``; ``labels``; ``input``, ``output``, ``max_length``, ``threads``.
"""

from __future__ import annotations

import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from serving import Told, serve
from tables_of_pairs import read_table, sorted_batches, write_answers
from tokenizers import Encoding, Tokenizer


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A file, with every optimization that onnxruntime makes itself."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def arrays(rows: list[Encoding]) -> dict[str, np.ndarray]:
    """A batch, padded to its longest row, (rows, length), int64."""
    given = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    shape = (len(rows), max(len(row) for row in rows))
    batch = {name: np.zeros(shape, np.int64) for name in given}
    for place, row in enumerate(rows):
        for name, of in given.items():
            batch[name][place, : len(row)] = getattr(row, of)
    return batch


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Open the file."""
    folder = Path(settings["model"])
    model = session(folder / "model.onnx", settings["threads"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(settings["max_length"])
    tokenizer.no_padding()
    labels = settings["labels"]

    def predict(_: str) -> Told:
        begun = time.perf_counter()
        rows = tokenizer.encode_batch_fast(read_table(Path(settings["input"])))
        answers = [""] * len(rows)
        for numbers in sorted_batches([len(row) for row in rows]):
            (logits,) = model.run(None, arrays([rows[number] for number in numbers]))
            for number, label in zip(numbers, logits.argmax(-1).tolist(), strict=True):
                answers[number] = labels[label]
        write_answers(Path(settings["output"]), answers)
        return {"seconds": time.perf_counter() - begun, "rows": len(answers)}

    packages = ("onnxruntime", "tokenizers", "numpy")
    return {"versions": {name: metadata.version(name) for name in packages}}, predict


if __name__ == "__main__":
    serve(start)
