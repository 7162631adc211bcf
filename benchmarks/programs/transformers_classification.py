"""Fine-tune a text-pair classifier with transformers' Trainer and write its dev predictions.

Runs in an environment of its own that has transformers, accelerate and torch, not bertmod:

    python transformers_classification.py ROWS SETTINGS OUTPUT

ROWS and SETTINGS are JSON files that ``benchmarks/contenders.py`` writes, OUTPUT is one that it
reads. The programs for other peers, beside this one, hand ``main`` a model of their own.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (  # type: ignore[import-not-found]
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
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


def arguments(settings: dict[str, Any], num_rows: int, folder: str) -> TrainingArguments:
    """Trainer's arguments; what is not stated is its default."""
    per_epoch = math.ceil(num_rows / settings["batch_size"])
    total = settings["steps"] or settings["num_epochs"] * per_epoch
    return TrainingArguments(
        output_dir=folder,
        seed=settings["seed"],
        num_train_epochs=settings["num_epochs"],
        max_steps=settings["steps"] or -1,
        per_device_train_batch_size=settings["batch_size"],
        per_device_eval_batch_size=64,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        adam_beta1=settings["betas"][0],
        adam_beta2=settings["betas"][1],
        adam_epsilon=settings["eps"],
        max_grad_norm=settings["max_grad_norm"],
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(total * settings["warmup_proportion"]),
        optim="adamw_torch",
        use_cpu=True,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def new_model(settings: dict[str, Any]) -> BertForSequenceClassification:
    """The checkpoint's encoder and pooler with a fresh classifier; all of it trains."""
    return BertForSequenceClassification.from_pretrained(
        settings["checkpoint"],
        num_labels=settings["num_labels"],
        dtype=torch.float32,
        hidden_dropout_prob=settings["dropout"],
        attention_probs_dropout_prob=settings["dropout"],
    )


def parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of trained parameters: of the classifier, of adapters, of the encoder itself."""
    counts = {"adapter_parameters": 0, "head_parameters": 0, "encoder_parameters": 0}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        words = name.split(".")
        added = any(word == "adapters" or word.startswith("lora_") for word in words)
        part = "head" if "classifier" in words else "adapter" if added else "encoder"
        counts[f"{part}_parameters"] += parameter.numel()
    return counts


def train(
    rows: dict[str, Any],
    settings: dict[str, Any],
    make_model: Callable[[dict[str, Any]], torch.nn.Module],
) -> dict[str, Any]:
    """Train on ``train``, predict ``dev`` with the model of the last step."""
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(settings["checkpoint"])
    model = make_model(settings)
    (train_rows, others), (dev_rows, dev_others) = (
        features(tokenizer, rows[split], settings["max_length"]) for split in ("train", "dev")
    )
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=arguments(settings, len(train_rows), folder),
            train_dataset=train_rows,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        start = time.perf_counter()
        trainer.train()
        train_seconds = time.perf_counter() - start
        logits = trainer.predict(dev_rows).predictions
    return {
        "predictions": logits.argmax(-1).tolist(),
        "steps": trainer.state.global_step,
        "train_seconds": train_seconds,
        "rows_with_other_tokens": others + dev_others,
        **parameters(model),
    }


def versions(*more: str) -> dict[str, str]:
    """Versions of the tool and of what it runs on."""
    names = (*more, "transformers", "accelerate", "torch", "tokenizers", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def main(
    *packages: str, make_model: Callable[[dict[str, Any]], torch.nn.Module] = new_model
) -> None:
    """Read the two inputs, train, write the output.

    Args:
        packages: Packages whose version is told beside those of transformers and PyTorch.
        make_model: Settings to the model that is trained.
    """
    rows, settings = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    result = {**train(rows, settings, make_model), "versions": versions(*packages)}
    Path(sys.argv[3]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
