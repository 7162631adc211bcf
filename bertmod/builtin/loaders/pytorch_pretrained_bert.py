"""pytorch-pretrained-BERT's files: ``bert_config.json`` beside ``pytorch_model.bin``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor
from bertmod.builtin.loaders import bert_n_pals, bertmod_folder
from bertmod.builtin.loaders.archive import is_archive, members, unpacked
from bertmod.builtin.loaders.container import TORCH_SUFFIXES, shapes, stored_tensors
from bertmod.builtin.loaders.dialect import (
    SKIPPED,
    json_object,
    plain_name,
    wordpiece_slot,
)
from bertmod.builtin.loaders.encoder_config import encoder_slot, measured

CONFIG, WEIGHTS, VOCAB = "bert_config.json", "pytorch_model.bin", "vocab.txt"
HUB_CONFIG = "config.json"
"""Shows a folder to be the hub's, whatever else is in it."""

MASKED_LM = "bertmod/masked_lm"
HEADS = {
    "cls.predictions.bias": MASKED_LM,
    "cls.seq_relationship.weight": "bertmod/next_sentence",
    "qa_outputs.weight": "bertmod/span",
}
"""A tensor of each head that its name tells. A ``classifier`` may be of texts, tokens or choices:
nothing in the files says which, so it is not described; a recipe that asks for it names the head.
"""


def can_load(path: str) -> str | None:
    """Why a path is a checkpoint in this layout, or None."""
    place = Path(path)
    if is_archive(place):
        inside = {CONFIG, WEIGHTS} <= set(members(place))
        return f"{CONFIG} and {WEIGHTS} in the archive" if inside else None
    folder = place if place.is_dir() else place.parent
    weights = folder / WEIGHTS if place.is_dir() else place
    if weights.suffix not in TORCH_SUFFIXES or not weights.is_file():
        return None
    if (folder / HUB_CONFIG).is_file() or "hidden_size" not in (json_object(folder / CONFIG) or {}):
        return None
    if bert_n_pals.can_load(path) or bertmod_folder.can_load(path):
        return None
    return f"{CONFIG} beside {weights.name}"


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a checkpoint in this layout has.

    Args:
        config: No options.
        path: The folder, an archive of it, or the file of weights with the others beside it.
        tasks: Ids to give to the heads that the names tell, in the order masked_lm,
            next_sentence, span; None numbers them, empty leaves them out.

    Raises:
        CheckpointError: If a file is missing or damaged, if the model is not a BERT, or if there
            are not as many tasks as heads.
    """
    del config
    weights = _weights(path)
    file, vocab = weights.with_name(CONFIG), weights.with_name(VOCAB)
    values = json_object(file)
    if values is None:
        raise CheckpointError(f"{file}: {'not a JSON object' if file.is_file() else 'not there'}")
    found = {plain_name(name): shape for name, shape in shapes(weights).items()}
    encoder = encoder_slot(values, measured(found), source=file, weights=weights)
    tokenizer = wordpiece_slot(vocab, encoder)
    parts = (file, weights, *((vocab,) if tokenizer else ()))
    return CheckpointDescription(
        format="huggingface",
        encoder=encoder,
        tokenizer=tokenizer,
        heads=_heads(found, tasks, path, act=encoder["hidden_act"]),
        tasks=tasks or (),
        skipped=SKIPPED,
        files=(Path(path),) if is_archive(Path(path)) else parts,
    )


def tensors(path: str) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint in this layout.

    Raises:
        CheckpointError: If the weights are missing or damaged.
    """
    return dict(stored_tensors(_weights(path), rename=plain_name))


def _weights(path: str) -> Path:
    """The file of weights, unpacked if it lies in an archive."""
    place = Path(path)
    if not place.exists():
        raise CheckpointError(f"there is no {path}")
    folder = unpacked(place) if is_archive(place) else place
    if not folder.is_dir():
        return folder
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{path}: no {WEIGHTS} in it")
    return folder / WEIGHTS


def _heads(
    found: Collection[str], tasks: tuple[str, ...] | None, path: str, *, act: str
) -> dict[str, dict[str, str]]:
    names = [name for tensor, name in HEADS.items() if tensor in found]
    ids = tuple(map(str, range(len(names)))) if tasks is None else tasks
    if ids and len(ids) != len(names):
        known = ", ".join(names) or "none"
        raise CheckpointError(
            f"{path}: {len(ids)} tasks are stated, but {len(names)} heads can be told from the "
            f"tensors' names\n  told: {known}\n"
            '  a "classifier" belongs to no stated task: name its task in "use" instead'
        )
    more = {MASKED_LM: {"hidden_act": act}}
    return {
        id_: {"name": name, **more.get(name, {})} for id_, name in zip(ids, names, strict=False)
    }
