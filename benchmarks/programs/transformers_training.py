"""What the programs that train with transformers share: arguments, counts, input and output.

They run in an environment of their own that has transformers, accelerate and torch, not bertmod:

    python PROGRAM.py ROWS SETTINGS OUTPUT

ROWS and SETTINGS are JSON files that ``benchmarks/contenders.py`` writes, OUTPUT is one that it
reads.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import (  # type: ignore[import-not-found]
    Trainer,
    TrainingArguments,
)


def arguments(settings: dict[str, Any], folder: str) -> TrainingArguments:
    """Trainer's arguments; what is not stated is its default."""
    return TrainingArguments(
        output_dir=folder,
        seed=settings["seed"],
        max_steps=settings["steps"],
        per_device_train_batch_size=settings["batch_size"],
        per_device_eval_batch_size=64,
        learning_rate=settings["learning_rate"],
        weight_decay=settings["weight_decay"],
        adam_beta1=settings["betas"][0],
        adam_beta2=settings["betas"][1],
        adam_epsilon=settings["eps"],
        max_grad_norm=settings["max_grad_norm"],
        lr_scheduler_type="linear",
        warmup_steps=math.ceil(settings["steps"] * settings["warmup_proportion"]),
        optim="adamw_torch",
        use_cpu=True,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def new_model(kind: Any, settings: dict[str, Any], **more: Any) -> torch.nn.Module:
    """A class's model: the checkpoint's encoder with a fresh head, in fp32; all of it trains.

    Args:
        kind: A model class of transformers.
        settings: They name the checkpoint and the dropout.
        more: What the class wants to know beside that.
    """
    model: torch.nn.Module = kind.from_pretrained(
        settings["checkpoint"],
        dtype=torch.float32,
        hidden_dropout_prob=settings["dropout"],
        attention_probs_dropout_prob=settings["dropout"],
        **more,
    )
    return model


def fit(
    model: torch.nn.Module,
    settings: dict[str, Any],
    *,
    train: Sequence[Any],
    dev: Sequence[Any],
    collator: Any,
) -> tuple[Any, dict[str, Any]]:
    """Train on features, and give the logits of others by the model of the last step.

    Returns:
        What the model puts out for ``dev``, and what the run's result tells of it.
    """
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=arguments(settings, folder),
            train_dataset=train,
            data_collator=collator,
        )
        start = time.perf_counter()
        trainer.train()
        trained = time.perf_counter()
        outputs = trainer.predict(dev).predictions
    told = {
        "steps": trainer.state.global_step,
        "train_seconds": trained - start,
        "predict_seconds": time.perf_counter() - trained,
        "features": {"train": len(train), "dev": len(dev)},
        **parameters(model),
    }
    return outputs, told


def parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of trained parameters: of the head, of adapters, of the encoder itself."""
    counts = {"adapter_parameters": 0, "head_parameters": 0, "encoder_parameters": 0}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        words = name.split(".")
        added = any(word == "adapters" or word.startswith("lora_") for word in words)
        head = "classifier" in words or "qa_outputs" in words
        part = "head" if head else "adapter" if added else "encoder"
        counts[f"{part}_parameters"] += parameter.numel()
    return counts


def versions(*more: str) -> dict[str, str]:
    """Versions of the tool and of what it runs on."""
    names = (*more, "transformers", "accelerate", "torch", "tokenizers", "numpy")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def main(train: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]], *packages: str) -> None:
    """Read the two inputs, train, write the output.

    Args:
        train: Rows and settings to the result.
        packages: Packages whose version is told beside those of transformers and PyTorch.
    """
    rows, settings = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    result = {**train(rows, settings), "versions": versions(*packages)}
    Path(sys.argv[3]).write_text(json.dumps(result), encoding="utf-8")
