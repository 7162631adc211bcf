"""The layout of the Hugging Face hub: ``config.json``, weights, ``vocab.txt`` in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor
from bertmod.builtin.loaders.container import shapes, stored_tensors
from bertmod.builtin.loaders.dialect import (
    check_vocabulary,
    encoder_slot,
    json_object,
    plain_name,
)

CONFIGS = ("config.json", "bert_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
FOREIGN = {"format", "pals", "mult", "houlsby", "lhuc", "bert_lay_top", "hidden_size_aug"}
"""Keys that other formats put into their configuration."""

SKIPPED = {
    "embeddings.position_ids": "constant buffer",
    "cls.*": "pre-training head that nobody asked for",
    "classifier.weight": "task head that nobody asked for",
    "classifier.bias": "task head that nobody asked for",
    "qa_outputs.*": "span head that nobody asked for",
}

HEADS = {
    "BertForMultipleChoice": "multiple_choice",
    "BertForQuestionAnswering": "span",
    "BertForTokenClassification": "token_classification",
}
"""Architecture to the head of it that can be told from that name alone."""


def can_load(path: str) -> str | None:
    """Why a path is a checkpoint in this layout, or None."""
    folder = Path(path)
    config = _config(folder)
    if config is None:
        return None
    values, weights = json_object(config), _weights(folder)
    if values is None or weights is None or FOREIGN & values.keys():
        return None
    if values.get("model_type", "bert") != "bert" or "hidden_size" not in values:
        return None
    return f"{config.name} of a BERT model beside {weights.name}"


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a checkpoint in this layout has.

    Args:
        config: No options.
        path: The folder.
        tasks: Id to give to the head, if there is one; at most one.

    Raises:
        CheckpointError: If a file is missing or damaged, or the model is not a BERT.
    """
    del config
    folder = Path(path)
    file, weights = _config(folder), _weights(folder)
    if file is None or weights is None:
        lacking = CONFIGS if file is None else WEIGHTS
        raise CheckpointError(f"{folder}: no {' or '.join(lacking)}")
    values = json_object(file)
    if values is None:
        raise CheckpointError(f"{file}: not a JSON object")
    if (kind := values.get("model_type", "bert")) != "bert":
        raise CheckpointError(f'{file}: a "{kind}" model; this loader reads "bert" ones')
    found = {plain_name(name): shape for name, shape in shapes(weights).items()}
    encoder = encoder_slot(values, found, source=file)
    heads = _heads(values, found, tasks, folder)
    tokenizer, files = _tokenizer(folder, encoder)
    return CheckpointDescription(
        format="huggingface",
        encoder=encoder,
        tokenizer=tokenizer,
        heads=heads,
        tasks=tasks or (),
        skipped=SKIPPED,
        files=(file, weights, *files),
    )


def tensors(path: str) -> Mapping[str, StoredTensor]:
    """The tensors of a checkpoint in this layout.

    Raises:
        CheckpointError: If the weights are missing or damaged.
    """
    weights = _weights(Path(path))
    if weights is None:
        raise CheckpointError(f"{path}: no {' or '.join(WEIGHTS)}")
    return stored_tensors(weights, rename=plain_name)


def _config(folder: Path) -> Path | None:
    return next((folder / name for name in CONFIGS if (folder / name).is_file()), None)


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def _tokenizer(folder: Path, encoder: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """The tokenizer slot, and its files; casing is left out where the folder does not say."""
    vocab, options = folder / "vocab.txt", folder / "tokenizer_config.json"
    if not vocab.is_file():
        raise CheckpointError(f"{folder}: no vocab.txt beside the weights")
    check_vocabulary(vocab, encoder)
    slot: dict[str, Any] = {"name": "bertmod/wordpiece", "vocab": str(vocab.absolute())}
    stated = json_object(options)
    if stated is None:
        return slot, (vocab,)
    if isinstance(stated.get("do_lower_case"), bool):
        slot["lower_case"] = stated["do_lower_case"]
    if stated.get("tokenize_chinese_chars") is False:
        slot["split_cjk"] = False
    return slot, (vocab, options)


def _heads(
    values: Mapping[str, Any],
    found: Mapping[str, tuple[int, ...]],
    tasks: tuple[str, ...] | None,
    folder: Path,
) -> dict[str, dict[str, str]]:
    """The head that the file's architecture says; without one, a classifier may be anything."""
    if tasks and len(tasks) > 1:
        raise CheckpointError(f"{folder}: one head at most, but {len(tasks)} tasks are stated")
    architectures = values.get("architectures") or ()
    name = next((HEADS[each] for each in architectures if each in HEADS), None)
    if "BertForSequenceClassification" in architectures:
        name = _head_of_texts(values, found.get("classifier.weight"))
    layer = "qa_outputs" if name == "span" else "classifier"
    if name is None or f"{layer}.weight" not in found:
        return {}
    return {tasks[0] if tasks else "0": {"name": f"bertmod/{name}"}}


def _head_of_texts(values: Mapping[str, Any], weight: tuple[int, ...] | None) -> str:
    if values.get("problem_type") == "multi_label_classification":
        return "multi_label"
    return "regression" if weight is not None and weight[0] == 1 else "classification"
