"""Fine-tune a span finder with transformers' Trainer and write its answers.

``transformers_training.py`` says how it is called, ``squad_windows.py`` how it follows
transformers' own example.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import transformers_training
from datasets import Dataset, disable_progress_bars  # type: ignore[import-not-found]
from squad_windows import answers, dev_windows, train_windows
from transformers import (  # type: ignore[import-not-found]
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    default_data_collator,
    set_seed,
)


def train(rows: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Train on ``train``, answer ``dev`` with the model of the last step."""
    set_seed(settings["seed"])
    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    model = transformers_training.new_model(AutoModelForQuestionAnswering, settings)
    made = {
        split: Dataset.from_list(rows[split]).map(
            partial(make, tokenizer=tokenizer, settings=settings),
            batched=True,
            remove_columns=list(rows[split][0]),
        )
        for split, make in (("train", train_windows), ("dev", dev_windows))
    }
    padded = settings["pad_to_max_length"]
    logits, told = transformers_training.fit(
        model,
        settings,
        train=made["train"],
        dev=made["dev"].remove_columns(["example_id", "offset_mapping"]),
        collator=default_data_collator if padded else DataCollatorWithPadding(tokenizer),
    )
    found = answers(rows["dev"], made["dev"], logits, settings)
    texts = {question: best[0]["text"] for question, best in found.items()}
    return {"predictions": texts, **told}


if __name__ == "__main__":
    transformers_training.main(train, "datasets")
