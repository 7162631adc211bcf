"""The layout of the Hugging Face hub: configuration, weights and tokenizer in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor
from bertmod.builtin.loaders.container import shapes, stored_tensors, weight_files
from bertmod.builtin.loaders.dialect import SKIPPED, json_object, plain_name
from bertmod.builtin.loaders.encoder_config import encoder_slot, measured
from bertmod.builtin.loaders.huggingface_folder import CONFIG, WEIGHTS, weights_in
from bertmod.builtin.loaders.huggingface_heads import found_heads
from bertmod.builtin.loaders.huggingface_hub_names import is_hub_name, pinned, snapshot
from bertmod.builtin.loaders.huggingface_tokenizer import tokenizer_slot

FOREIGN = {"format", "pals", "mult", "houlsby", "lhuc", "bert_lay_top", "hidden_size_aug"}
"""Keys that other formats put into their configuration."""


def can_load(path: str) -> str | None:
    """Why a path is a checkpoint in this layout, or None; the network is not asked."""
    if is_hub_name(path):
        return "a name on the Hugging Face hub"
    folder = Path(path)
    values, weights = json_object(folder / CONFIG), weights_in(folder)
    if values is None or weights is None or FOREIGN & values.keys():
        return None
    if values.get("model_type", "bert") != "bert" or "hidden_size" not in values:
        return None
    return f"{CONFIG} of a BERT model beside {weights.name}"


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a checkpoint in this layout has.

    Args:
        config: No options.
        path: The folder, or ``hf:NAME`` with or without ``@REVISION``.
        tasks: Ids to give to the heads, if there are any: one, or two after pre-training.

    Raises:
        CheckpointError: If a file is missing or damaged, the model is not a BERT, or the hub does
            not have it.
    """
    del config
    folder = _folder(path)
    file, weights = folder / CONFIG, _weights(folder)
    if not file.is_file():
        raise CheckpointError(f"{folder}: no {CONFIG}")
    values = json_object(file)
    if values is None:
        raise CheckpointError(f"{file}: not a JSON object")
    if (kind := values.get("model_type", "bert")) != "bert":
        raise CheckpointError(f'{file}: a "{kind}" model; this loader reads "bert" ones')
    found = {plain_name(name): shape for name, shape in shapes(weights).items()}
    encoder = encoder_slot(values, measured(found), source=file, weights=weights)
    heads = found_heads(values, found, tasks, source=file)
    tokenizer, files = tokenizer_slot(folder, encoder)
    return CheckpointDescription(
        format="huggingface",
        encoder=encoder,
        tokenizer=tokenizer,
        heads=heads.slots,
        tasks=heads.tasks,
        infos=heads.infos,
        pinned=pinned(path, folder) if is_hub_name(path) else "",
        # the first pattern that matches counts
        skipped={**heads.skipped, **SKIPPED, **heads.skipped},
        files=tuple(dict.fromkeys((file, weights, *weight_files(weights), *files))),
    )


def tensors(path: str) -> Mapping[str, StoredTensor]:
    """The tensors of a checkpoint in this layout.

    Raises:
        CheckpointError: If the weights are missing or damaged, or the hub does not have them.
    """
    return stored_tensors(_weights(_folder(path)), rename=plain_name)


def _folder(path: str) -> Path:
    return snapshot(path) if is_hub_name(path) else Path(path)


def _weights(folder: Path) -> Path:
    found = weights_in(folder)
    if found is None:
        raise CheckpointError(f"{folder}: no {WEIGHTS[0]} or {WEIGHTS[2]}, nor an index of several")
    return found
