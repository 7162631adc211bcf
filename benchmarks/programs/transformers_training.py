"""What the programs that train with transformers share: arguments, counts, input and output.

They run in an environment of their own that has transformers, accelerate and torch, not bertmod:

    python PROGRAM.py ROWS SETTINGS OUTPUT

ROWS and SETTINGS are JSON files that ``benchmarks/contenders.py`` writes, OUTPUT is one that it
reads. The programs of plain loops take their optimizer and their step from here; transformers is
imported where it is used, so that these can be tested without it.
"""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor


def arguments(settings: dict[str, Any], folder: str) -> Any:
    """Trainer's arguments; what is not stated is its default."""
    from transformers import TrainingArguments  # type: ignore[import-not-found]

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


class Noted(Sequence[Any]):
    """Features that note the order in which they are asked for.

    Args:
        features: The features.

    Attributes:
        order: Their numbers, in that order.
    """

    def __init__(self, features: Sequence[Any]) -> None:
        self._features = features
        self.order: list[int] = []

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, place: Any) -> Any:
        self.order.append(place)
        return self._features[place]


def num_trained(num_features: int, settings: dict[str, Any]) -> int:
    """Features that the steps of a run train on, those of every pass; batches are asked for ahead.

    Args:
        num_features: Features of a pass.
        settings: They name ``steps`` and ``batch_size``.
    """
    size = settings["batch_size"]
    passes, rest = divmod(settings["steps"], math.ceil(num_features / size))
    return int(passes * num_features + min(rest * size, num_features))


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
        What the model puts out for ``dev``, and what the run's result tells of it: its ``course``
        are the features in the order of training, and what the head's weights were before.
    """
    from transformers import Trainer

    noted = Noted(train)
    fresh = {name: value.tolist() for name, value in model.named_parameters() if _of_head(name)}
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=arguments(settings, folder),
            train_dataset=noted,
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
        "course": {"order": noted.order[: num_trained(len(train), settings)], "head": fresh},
        **parameters(model),
    }
    return outputs, told


def adamw(
    parameters: Iterable[Tensor], *, weight_decay: float, **options: Any
) -> torch.optim.AdamW:
    """The fused AdamW of a plain loop, which decays matrices alone.

    Args:
        parameters: Those that train.
        weight_decay: Of matrices.
        options: What AdamW takes beside that.
    """
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.dim() > 1].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        fused=True,
        **options,
    )


def train_on(
    batch: dict[str, Tensor],
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    half: bool,
    max_grad_norm: float,
) -> None:
    """A step of a plain loop.

    Args:
        batch: What the model takes, where the model is.
        model: Its output has the loss.
        optimizer: It has all parameters that train.
        half: Whether there is autocast to bf16.
        max_grad_norm: Bound of the norm of all gradients together.
    """
    optimizer.zero_grad()
    device = next(iter(batch.values())).device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=half):
        loss = model(**batch).loss
    loss.backward()
    trained = [each for group in optimizer.param_groups for each in group["params"]]
    torch.nn.utils.clip_grad_norm_(trained, max_grad_norm)
    optimizer.step()


def parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of trained parameters: of the head, of adapters, of the encoder itself."""
    counts = {"adapter_parameters": 0, "head_parameters": 0, "encoder_parameters": 0}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        words = name.split(".")
        added = any(word == "adapters" or word.startswith("lora_") for word in words)
        part = "head" if _of_head(name) else "adapter" if added else "encoder"
        counts[f"{part}_parameters"] += parameter.numel()
    return counts


def _of_head(name: str) -> bool:
    """Whether a parameter is one of the head's."""
    return not {"classifier", "qa_outputs"}.isdisjoint(name.split("."))


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
