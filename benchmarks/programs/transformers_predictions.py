"""Rounds of answers to pairs of texts with transformers, from file to file.

``serving.py`` says how it is used. Settings: ``model``, a folder in the Hugging Face layout;
``input``, ``output``, a file name to which the way is added; ``max_length``; ``threads``. A line of
the input is ``fp32 pipeline``, ``bf16 sorted`` or ``fp32 sorted``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from serving import Told, serve
from tables_of_pairs import BATCH_SIZE, read_table, sorted_batches, write_answers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers_training import versions

Pairs = Sequence[tuple[str, str]]


class Predicting:
    """The model in both precisions, and its tokenizer.

    Args:
        settings: What the benchmark wrote.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        folder = settings["model"]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        kind: Any = AutoModelForSequenceClassification
        self.models = {
            name: kind.from_pretrained(folder, dtype=dtype).eval()
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        }
        self.pipeline: Any = pipeline(
            "text-classification", model=self.models["fp32"], tokenizer=self.tokenizer, device="cpu"
        )

    def round(self, way: str) -> Told:
        """Read, answer and write."""
        begun = time.perf_counter()
        pairs = read_table(Path(self.settings["input"]))
        precision, how = way.split()
        answers = self.piped(pairs) if how == "pipeline" else self.sorted(pairs, precision)
        output = f"{self.settings['output']}-{way.replace(' ', '-')}.tsv"
        write_answers(Path(output), answers)
        return {"seconds": time.perf_counter() - begun, "rows": len(answers)}

    def piped(self, pairs: Pairs) -> list[str]:
        """Answers of the pipeline, to rows in the order of the file."""
        rows = [{"text": first, "text_pair": second} for first, second in pairs]
        limit = self.settings["max_length"]
        found = self.pipeline(rows, batch_size=BATCH_SIZE, truncation=True, max_length=limit)
        return [each["label"] for each in found]

    def sorted(self, pairs: Pairs, precision: str) -> list[str]:
        """Answers of a loop over rows sorted by length."""
        model = self.models[precision]
        firsts, seconds = map(list, zip(*pairs, strict=True))
        encoded = self.tokenizer(
            firsts, seconds, truncation=True, max_length=self.settings["max_length"]
        )
        answers = [""] * len(pairs)
        for numbers in sorted_batches([len(ids) for ids in encoded["input_ids"]]):
            rows = {
                name: [values[number] for number in numbers] for name, values in encoded.items()
            }
            with torch.inference_mode():
                logits = model(**self.tokenizer.pad(rows, return_tensors="pt")).logits
            for number, label in zip(numbers, logits.argmax(-1).tolist(), strict=True):
                answers[number] = model.config.id2label[label]
        return answers


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Load the model."""
    torch.set_num_threads(settings["threads"])
    return {"versions": versions()}, Predicting(settings).round


if __name__ == "__main__":
    serve(start)
