"""An encoder that stays in memory while tasks come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.nn import Module

from bertmod.contracts.checkpoint import LoadReport, StoredTensor, TensorName
from bertmod.contracts.encoder import Encoder, EncoderContext, Part
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.engine.precision import resolve_device
from bertmod.errors import CheckpointError
from bertmod.model.canonical import module_hash
from bertmod.model.loading import Component, load_tensors
from bertmod.model.record import ENCODER_FILE
from bertmod.nn.initialisation import initialise
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint
from bertmod.registry import Registry

EVERYTHING: frozenset[Part] = frozenset({"hidden", "layers", "pooled", "word_embeddings"})


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
    """The encoder of any checkpoint; of a run, that of its best mean, else of its last state.

    Args:
        path: What ``--checkpoint`` takes: a run folder, one of its states, an encoder's folder,
            or a checkpoint of another format.
        registry: What is installed; None looks.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        CheckpointError: If there is no checkpoint there, or it is damaged or lacks something.
        RecipeError: If this machine lacks the device.
    """
    opened = open_checkpoint(path, registry=registry, tasks=())
    return resident_encoder(opened, device=device)[0]


def resident_encoder(
    opened: OpenedCheckpoint,
    *,
    device: str = "auto",
    want: frozenset[Part] = EVERYTHING,
) -> tuple[ResidentEncoder, LoadReport]:
    """The encoder of an opened checkpoint, in evaluation mode, and what became of its tensors.

    Args:
        opened: The checkpoint.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        want: The parts of the output that will be read: what serves others alone may be lacking.

    Raises:
        CheckpointError: If a file is damaged, or a tensor that is needed is missing or does not
            fit.
        RecipeError: If this machine lacks the device.
    """
    spec, config = opened.encoder.spec, opened.encoder.config
    encoder = cast(Encoder, spec.build(config, EncoderContext(init=initialise)))
    names = spec.names(config)
    component = Component("encoder", names, cast(Module, encoder), want=want, required=True)
    report = load_tensors(opened.tensors(), opened.description, [component], source=opened.path)
    cast(Module, encoder).to(resolve_device(device)).eval()
    resident = ResidentEncoder(
        encoder,
        names,
        slots={"encoder": opened.encoder.to_json(), "tokenizer": opened.tokenizer.to_json()},
        tokenizer=opened.tokenizer.spec.build(opened.tokenizer.config),
        registry=opened.registry,
    )
    if stored := opened.description.encoder_hash:
        require_hash(Path(opened.path), found=resident.hash, stored=stored)
    return resident, report


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


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """Tensors that were read already, as a checkpoint has them."""
    return {
        name: StoredTensor(name, tuple(tensor.shape), tensor.clone)
        for name, tensor in tensors.items()
    }
