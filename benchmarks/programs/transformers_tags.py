"""Fine-tune a token classifier with transformers' Trainer and write its dev tags.

``transformers_training.py`` says how it is called. The first piece of a word carries its tag, as
in BERT's paper and in transformers' ``run_ner.py``.
"""

from __future__ import annotations

from typing import Any

import transformers_training
from transformers import (  # type: ignore[import-not-found]
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    set_seed,
)

IGNORED = -100
"""Label of a token that carries none."""

OUTSIDE = "O"
"""Tag of a word that has no token: it lies behind the longest row."""

Features = list[dict[str, Any]]


def features(
    tokenizer: Any, rows: list[dict[str, Any]], settings: dict[str, Any]
) -> tuple[Features, list[dict[int, int]]]:
    """A split's features, and of each the token that stands for each word."""
    encoded = tokenizer(
        [row["words"] for row in rows],
        is_split_into_words=True,
        truncation=True,
        max_length=settings["max_length"],
    )
    names = ("input_ids", "token_type_ids", "attention_mask")
    made, places = [], []
    for number, row in enumerate(rows):
        first: dict[int, int] = {}
        for token, word in enumerate(encoded.word_ids(number)):
            if word is not None:
                first.setdefault(word, token)
        labels = [IGNORED] * len(encoded["input_ids"][number])
        for word, token in first.items():
            labels[token] = settings["labels"].index(row["tags"][word])
        made.append({"labels": labels, **{name: encoded[name][number] for name in names}})
        places.append(first)
    return made, places


def train(rows: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Train on ``train``, tag ``dev`` with the model of the last step."""
    set_seed(settings["seed"])
    labels = settings["labels"]
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    model = transformers_training.new_model(
        AutoModelForTokenClassification, settings, num_labels=len(labels)
    )
    train_rows, _ = features(tokenizer, rows["train"], settings)
    dev_rows, places = features(tokenizer, rows["dev"], settings)
    logits, told = transformers_training.fit(
        model,
        settings,
        train=train_rows,
        dev=dev_rows,
        collator=DataCollatorForTokenClassification(tokenizer),
    )
    chosen = logits.argmax(-1)
    tags = [
        [
            labels[chosen[number, first[word]]] if word in first else OUTSIDE
            for word in range(len(row["words"]))
        ]
        for number, (row, first) in enumerate(zip(rows["dev"], places, strict=True))
    ]
    return {"predictions": tags, **told}


if __name__ == "__main__":
    transformers_training.main(train)
