"""Fine-tune a text-pair classifier with transformers' Trainer and write its dev predictions.

``transformers_training.py`` says how it is called. The programs for other peers, beside this one,
hand ``main`` a model of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import transformers_training
from torch.nn import Module
from transformers import (  # type: ignore[import-not-found]
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    set_seed,
)

Features = list[dict[str, Any]]


def features(tokenizer: Any, split: dict[str, Any], max_length: int) -> tuple[Features, int]:
    """Features of a split, and for how many rows the tokens are not bertmod's."""
    encoded = tokenizer(
        split["first"], split["second"], truncation=True, padding=False, max_length=max_length
    )
    names = ("input_ids", "token_type_ids", "attention_mask")
    rows = [
        {"labels": label, **{name: encoded[name][row] for name in names}}
        for row, label in enumerate(split["labels"])
    ]
    pairs = zip(encoded["input_ids"], split["input_ids"], strict=True)
    return rows, sum(ours != theirs for theirs, ours in pairs)


def new_model(settings: dict[str, Any]) -> Module:
    """The checkpoint's encoder and pooler with a fresh classifier."""
    return transformers_training.new_model(
        BertForSequenceClassification, settings, num_labels=len(settings["labels"])
    )


def train(
    rows: dict[str, Any],
    settings: dict[str, Any],
    *,
    make_model: Callable[[dict[str, Any]], Module],
) -> dict[str, Any]:
    """Train on ``train``, predict ``dev`` with the model of the last step."""
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    model = make_model(settings)
    (train_rows, others), (dev_rows, dev_others) = (
        features(tokenizer, rows[split], settings["max_length"]) for split in ("train", "dev")
    )
    logits, told = transformers_training.fit(
        model,
        settings,
        train=train_rows,
        dev=dev_rows,
        collator=DataCollatorWithPadding(tokenizer),
    )
    return {
        "predictions": logits.argmax(-1).tolist(),
        "rows_with_other_tokens": others + dev_others,
        **told,
    }


def main(*packages: str, make_model: Callable[[dict[str, Any]], Module] = new_model) -> None:
    """Read the two inputs, train, write the output.

    Args:
        packages: Packages whose version is told beside those of transformers and PyTorch.
        make_model: Settings to the model that is trained.
    """
    transformers_training.main(partial(train, make_model=make_model), *packages)


if __name__ == "__main__":
    main()
