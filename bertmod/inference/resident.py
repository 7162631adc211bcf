"""An encoder that stays in memory while tasks come and go."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.nn import Module

from bertmod.contracts.checkpoint import LoadReport, StoredTensor, TensorName
from bertmod.contracts.encoder import Encoder, EncoderContext, Part
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.engine.precision import resolve_device
from bertmod.model.canonical import module_hash, require_hash
from bertmod.model.loading import Component, load_tensors, stored_names
from bertmod.nn.initialisation import initialise
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint
from bertmod.registry import Registry

LOG = logging.getLogger("bertmod")

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
        absent: Canonical names of tensors that the checkpoint lacks: their values are fresh, and
            no part of the hash.
    """

    def __init__(
        self,
        encoder: Encoder,
        names: Sequence[TensorName],
        *,
        slots: Mapping[str, Mapping[str, Any]],
        tokenizer: Tokenizer,
        registry: Registry,
        absent: Collection[str] = (),
    ) -> None:
        self.encoder, self.tokenizer, self.registry = encoder, tokenizer, registry
        self.slots: Mapping[str, Mapping[str, Any]] = dict(slots)
        self._names, self._absent = names, frozenset(absent)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the encoder's names, shapes and values, as task folders name it."""
        module = cast(Module, self.encoder)
        return module_hash(module, self._names, prefix="encoder.", absent=self._absent)

    @property
    def absent_parts(self) -> frozenset[Part]:
        """Parts of the output, such as the pooled one, of which the checkpoint lacks tensors."""
        return frozenset(
            row.part
            for row in self._names
            if row.part is not None and f"encoder.{row.canonical}" in self._absent
        )


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
    absent = absent_parts(opened)
    if absent:
        LOG.warning("%s: its encoder has no %s output", opened.path, " and no ".join(absent))
    return resident_encoder(opened, device=device, want=EVERYTHING - absent)[0]


def absent_parts(opened: OpenedCheckpoint) -> frozenset[Part]:
    """Parts of the encoder's output, such as the pooled one, of which a checkpoint has nothing.

    A model whose head reads single tokens is often saved without the pooler.

    Raises:
        CheckpointError: If a file is missing or damaged.
    """
    names = opened.encoder.spec.names(opened.encoder.config)
    stored = {tensor.name for tensor in opened.tensors().values()}
    component, format_ = Component("encoder", names), opened.description.format
    serving = [row for row in names if row.part is not None]
    there = {
        row.part for row in serving if not stored.isdisjoint(stored_names(component, row, format_))
    }
    return frozenset(row.part for row in serving if row.part and row.part not in there)


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
        absent=report.initialised,
    )
    if stored := opened.description.encoder_hash:
        require_hash(Path(opened.path), found=resident.hash, stored=stored)
    return resident, report


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """Tensors that were read already, as a checkpoint has them."""
    return {
        name: StoredTensor(name, tuple(tensor.shape), tensor.clone)
        for name, tensor in tensors.items()
    }
