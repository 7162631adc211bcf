"""State dicts of Bert-n-Pals, with the configuration that they were trained with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor
from bertmod.builtin.loaders.bert_n_pals_adapters import SKIPPED as ADAPTERS_SKIPPED
from bertmod.builtin.loaders.bert_n_pals_adapters import SWITCHES, adapter_slots
from bertmod.builtin.loaders.container import TORCH_SUFFIXES, shapes, stored_tensors
from bertmod.builtin.loaders.dialect import (
    UNWANTED_HEAD,
    json_object,
    plain_name,
    wordpiece_slot,
)
from bertmod.builtin.loaders.encoder_config import encoder_slot, measured

KEYS = {*SWITCHES, "hidden_size_aug", "extra_dim"}
"""Keys that no other BERT configuration has."""

SUFFIXES = (*TORCH_SUFFIXES, ".safetensors")
SKIPPED = {
    "classifier.[0-9]*.weight": UNWANTED_HEAD,
    "classifier.[0-9]*.bias": UNWANTED_HEAD,
    "classifier.weight": UNWANTED_HEAD,
    "classifier.bias": UNWANTED_HEAD,
    "qa_outputs.*": UNWANTED_HEAD,
    **ADAPTERS_SKIPPED,
}


def can_load(path: str) -> str | None:
    """Why a path is a checkpoint of Bert-n-Pals, or None."""
    configs = _configs(Path(path)) if _weights(Path(path)) else []
    if not configs:
        return None
    keys = sorted(KEYS & (json_object(configs[0]) or {}).keys())
    return f"{configs[0].name} has {', '.join(keys)}, keys of Bert-n-Pals"


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a checkpoint of Bert-n-Pals has.

    Args:
        config: No options.
        path: The state dict, or the folder that has it and the configuration.
        tasks: Task ids in the order of training, which the file does not say; None or none
            leaves the heads numbered.

    Raises:
        CheckpointError: If a file is missing, damaged or ambiguous, if there are not as many
            tasks as heads, or if the original cannot run the adapters that it switches on.
    """
    del config
    file, weights = _one(_configs(Path(path)), path, "configuration"), _one_file(path)
    values = json_object(file) or {}
    found = {plain_name(name): shape for name, shape in shapes(weights).items()}
    encoder = encoder_slot(values, measured(found), source=file, weights=weights)
    heads = _heads(found, tasks, weights)
    vocab = weights.parent / "vocab.txt"
    tokenizer = wordpiece_slot(vocab, encoder)
    return CheckpointDescription(
        format="bert_n_pals",
        encoder=encoder,
        tokenizer=tokenizer,
        adapters=adapter_slots(values, found, num_tasks=len(heads), tasks=tasks or (), source=file),
        heads=heads,
        tasks=tasks or (),
        skipped=SKIPPED,
        files=(file, weights, *((vocab,) if tokenizer else ())),
    )


def tensors(path: str) -> Mapping[str, StoredTensor]:
    """The tensors of a checkpoint of Bert-n-Pals.

    Raises:
        CheckpointError: If the file is missing, ambiguous or damaged.
    """
    return stored_tensors(_one_file(path), rename=plain_name)


def _weights(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in SUFFIXES else []
    return sorted(each for each in path.glob("*") if each.suffix in SUFFIXES and each.is_file())


def _configs(path: Path) -> list[Path]:
    """Configurations in the folder of a path that have one of the keys."""
    folder = path if path.is_dir() else path.parent
    return [
        each for each in sorted(folder.glob("*.json")) if KEYS & (json_object(each) or {}).keys()
    ]


def _one_file(path: str) -> Path:
    return _one(_weights(Path(path)), path, f"state dict ({', '.join(SUFFIXES)})")


def _one(files: list[Path], path: str, what: str) -> Path:
    if len(files) == 1:
        return files[0]
    if not files:
        raise CheckpointError(f"{path}: no {what} of Bert-n-Pals there")
    names = ", ".join(file.name for file in files)
    raise CheckpointError(
        f"{path}: more than one {what}: {names}\n  put one in a folder of its own"
    )


def _heads(
    found: Mapping[str, tuple[int, ...]], tasks: tuple[str, ...] | None, source: Path
) -> dict[str, dict[str, str]]:
    outputs = {
        int(match[1]): shape[0]
        for name, shape in found.items()
        if (match := re.fullmatch(r"classifier\.(\d+)\.weight", name))
    }
    if tasks and len(tasks) != len(outputs):
        raise CheckpointError(
            f"{source}: {len(outputs)} tasks in the file, but {len(tasks)} stated\n"
            "  state every task of the training, in its order"
        )
    return {
        tasks[index] if tasks else str(index): {
            "name": "bertmod/regression" if outputs[index] == 1 else "bertmod/classification"
        }
        for index in sorted(outputs)
    }
