"""A checkpoint of any format, recognised and proved before a tensor is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertmod.contracts.checkpoint import CheckpointDescription, StoredTensor
from bertmod.contracts.encoder import EncoderShape
from bertmod.errors import CheckpointError, Problem, RecipeError
from bertmod.recipe.draft import FROM_CHECKPOINT, Draft
from bertmod.recipe.foundation import lay_foundation
from bertmod.recipe.load import raw_recipe
from bertmod.recipe.resolve import Slot, slot_of
from bertmod.recipe.schema import AUTO, DEFAULT_SLOTS
from bertmod.registry import Registry, load_registry

OWN_PATH = "checkpoint.path"


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint with what it says of itself.

    Attributes:
        path: What the user wrote, file paths absolute.
        registry: What is installed.
        loader: The loader that reads it.
        description: What it says of itself.
        encoder: Its encoder, every option stated.
        tokenizer: Its tokenizer, every option stated.
        shape: The encoder's shape.
        notes: What the user should know, such as which loader took it.
    """

    path: str
    registry: Registry
    loader: Slot
    description: CheckpointDescription
    encoder: Slot
    tokenizer: Slot
    shape: EncoderShape
    notes: tuple[str, ...]

    def tensors(self) -> Mapping[str, StoredTensor]:
        """Its tensors by their names in the file; imports torch.

        Raises:
            CheckpointError: If a file is missing or damaged.
        """
        found: Mapping[str, StoredTensor] = self.loader.spec.tensors(self.path)
        return found


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    registry: Registry | None = None,
    loader: str = AUTO,
    tasks: Sequence[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> OpenedCheckpoint:
    """Recognise a checkpoint and read what it says of itself; light.

    Args:
        path: A file, a folder, or a name such as ``hf:google-bert/bert-base-uncased``.
        registry: What is installed; None looks.
        loader: Which loader reads it; ``auto`` takes the one that knows it.
        tasks: Ids of its tasks in their order, for formats that do not say them, or those wanted;
            empty where only the encoder matters.
        options: ``encoder`` and ``tokenizer`` to options stated in place of null ones.

    Raises:
        CheckpointError: If no loader knows it, it is damaged, or an option disagrees with it;
            everything wrong is named at once.
    """
    registry = registry or load_registry()
    slot = {"name": loader, "path": os.fspath(path), "tasks": None if tasks is None else [*tasks]}
    values: dict[str, Any] = {"checkpoint": slot}
    for kind, stated in (options or {}).items():
        if stated:
            values[kind] = {**DEFAULT_SLOTS[kind], **stated}
    draft = Draft(raw_recipe(values, title=os.fspath(path)), registry)
    lay_foundation(draft)
    try:
        draft.raise_if_wrong()
    except RecipeError as error:
        vocab = draft.tokenizer.options.get("vocab")
        raise CheckpointError("\n".join(_lines(error.problems, os.fspath(path), vocab))) from None
    assert draft.checkpoint is not None
    assert draft.description is not None
    assert draft.shape is not None
    found = slot_of(draft.checkpoint)
    return OpenedCheckpoint(
        path=found.keys.path,
        registry=registry,
        loader=found,
        description=draft.description,
        encoder=slot_of(draft.encoder),
        tokenizer=slot_of(draft.tokenizer),
        shape=draft.shape,
        notes=tuple(note.removeprefix(f"{OWN_PATH}: ") for note in draft.notes),
    )


def _lines(problems: Sequence[Problem], path: str, vocab: str | None) -> Iterator[str]:
    """Problems as lines, each with the checkpoint, the vocabulary or the option that is wrong."""
    places = {OWN_PATH: "", "tokenizer.vocab": f"{vocab}: " if vocab else ""}
    for problem in problems:
        whose = f"{path}: " if problem.source == FROM_CHECKPOINT else ""
        place = places.get(problem.path, f"{whose}{problem.path}: ")
        yield problem.what if problem.what.startswith(place) else place + problem.what
        yield from (f"  {line}" for line in problem.more)
