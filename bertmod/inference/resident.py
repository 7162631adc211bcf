"""An encoder that stays in memory while tasks come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.nn import Module

from bertmod.contracts.checkpoint import CheckpointDescription, StoredTensor, TensorName
from bertmod.contracts.encoder import Encoder, EncoderContext
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.durable import existing_folder
from bertmod.engine.precision import resolve_device
from bertmod.errors import CheckpointError
from bertmod.model.canonical import module_hash
from bertmod.model.loading import OWN_FORMAT, Component, load_tensors
from bertmod.model.record import ENCODER_FILE, TENSOR_FILE, read_encoder_record
from bertmod.model.tensor_file import load_tensors as read_tensors
from bertmod.nn.initialisation import initialise
from bertmod.recipe.draft import Draft
from bertmod.recipe.foundation import lay_foundation
from bertmod.recipe.load import raw_recipe
from bertmod.registry import Registry, load_registry


class ResidentEncoder:
    """An encoder in memory, and what building tasks for it takes.

    Its values must not change: the hash that adapter files are compared with is taken once.

    Args:
        encoder: The encoder.
        names: Names of its tensors, as its spec gives them.
        slots: The slots ``encoder`` and ``tokenizer`` of a recipe, every option stated.
        tokenizer: Its tokenizer.
        registry: What is installed.
    """

    def __init__(
        self,
        encoder: Encoder,
        names: Sequence[TensorName],
        *,
        slots: Mapping[str, Mapping[str, Any]],
        tokenizer: Tokenizer,
        registry: Registry,
    ) -> None:
        self.encoder, self.tokenizer, self.registry = encoder, tokenizer, registry
        self.slots: Mapping[str, Mapping[str, Any]] = dict(slots)
        self._names = names

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the encoder's names, shapes and values, as task folders name it."""
        return module_hash(cast(Module, self.encoder), self._names, prefix="encoder.")


def load_encoder(
    path: Path | str, *, registry: Registry | None = None, device: str = "auto"
) -> ResidentEncoder:
    """An encoder that a run left behind, ready for adapter files.

    Args:
        path: A run folder (its best mean, else its last state), one of its states, or the
            folder of an encoder.
        registry: What is installed; None looks.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: If there is no encoder that bertmod wrote, or it is damaged.
        RecipeError: If the encoder or tokenizer comes from a plugin that is not installed, or
            this machine lacks the device.
    """
    registry = registry or load_registry()
    folder = encoder_folder(Path(path))
    record = read_encoder_record(folder)
    tokenizer = dict(record["tokenizer"])
    if isinstance(tokenizer.get("vocab"), str):
        tokenizer["vocab"] = str((folder / tokenizer["vocab"]).absolute())
    slots = {"encoder": record["encoder"], "tokenizer": tokenizer}
    draft = Draft(raw_recipe(slots, title=str(folder / ENCODER_FILE)), registry)
    lay_foundation(draft)
    draft.raise_if_wrong()
    half = draft.encoder
    encoder = cast(Encoder, half.spec.build(half.config, EncoderContext(init=initialise)))
    names = half.spec.names(half.config)
    _fill(encoder, names, folder)
    cast(Module, encoder).to(resolve_device(device)).eval()
    built = draft.tokenizer.spec.build(draft.tokenizer.config)
    resident = ResidentEncoder(encoder, names, slots=slots, tokenizer=built, registry=registry)
    require_hash(folder, found=resident.hash, stored=record["encoder_hash"])
    return resident


def require_hash(folder: Path, *, found: str, stored: str) -> None:
    """Refuse an encoder whose values are not those that its folder was written for.

    Args:
        folder: Folder of the encoder.
        found: Hash of its values.
        stored: Hash that they must have.

    Raises:
        CheckpointError: If the hashes differ.
    """
    if found != stored:
        raise CheckpointError(
            f"{folder}: damaged: its weights are not those that {ENCODER_FILE} was written for"
        )


def encoder_folder(path: Path) -> Path:
    """The folder of the encoder that a path stands for.

    Raises:
        CheckpointError: If there is none.
    """
    states = [existing_folder(path / "best" / "mean"), existing_folder(path / "final")]
    places = [path, path / "encoder", *(state / "encoder" for state in states if state)]
    for place in places:
        if (place / ENCODER_FILE).is_file():
            return place
    raise CheckpointError(
        f"{path}: no encoder that bertmod wrote there\n"
        f"  accepted: a run folder, a folder that has encoder/{ENCODER_FILE}, or that encoder "
        "folder itself"
    )


def _fill(encoder: Encoder, names: Sequence[TensorName], folder: Path) -> None:
    stored = in_memory(read_tensors(folder / TENSOR_FILE))
    component = Component("encoder", names, cast(Module, encoder), required=True)
    description = CheckpointDescription(OWN_FORMAT)
    load_tensors(stored, description, [component], source=str(folder))


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """Tensors that were read already, as a checkpoint has them."""
    return {
        name: StoredTensor(name, tuple(tensor.shape), tensor.clone)
        for name, tensor in tensors.items()
    }
