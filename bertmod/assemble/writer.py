"""A model's parts in bertmod's own layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor
from torch.nn import Module

from bertmod import __version__
from bertmod.assemble.card import RunFacts, state_card
from bertmod.assemble.components import encoder_names, task_components
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.model.canonical import canonical_tensors, module_hash
from bertmod.model.card import CARD_FILE
from bertmod.model.folder import write_encoder, write_task
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.record import TaskRecord
from bertmod.recipe.identity import recipe_text
from bertmod.recipe.resolved import ResolvedRecipe


def recipe_hash(recipe: ResolvedRecipe) -> str:
    """SHA-256 over a resolved recipe's JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(recipe_text(recipe.to_json()).encode("utf-8")).hexdigest()


class ModelWriter:
    """Writes encoder and tasks of a model, with what is needed to build them again.

    Args:
        recipe: The recipe that the model was built from.
        model: The model.
        tokenizer: Its tokenizer.
        facts: What the run is made with, for its READMEs; None: nobody knows.
    """

    def __init__(
        self,
        recipe: ResolvedRecipe,
        model: MultiTaskModel,
        tokenizer: Tokenizer,
        *,
        facts: RunFacts | None = None,
    ) -> None:
        self._recipe, self._model, self._tokenizer = recipe, model, tokenizer
        self._facts = facts or RunFacts()
        self._hash = recipe_hash(recipe)

    def encoder_hash(self) -> str:
        """Hash of the encoder's present values."""
        return module_hash(self._model.encoder, encoder_names(self._recipe), prefix="encoder.")

    def write_encoder(self, folder: Path, hash_: str) -> None:
        """Fill a folder with the encoder and its tokenizer.

        Args:
            folder: The folder.
            hash_: What ``encoder_hash`` gave for the values to be written.
        """
        files = self._tokenizer.files()
        tokenizer = self._recipe.tokenizer.to_json()
        if tokenizer.get("vocab") is not None:
            tokenizer["vocab"] = next(iter(files))
        write_encoder(
            folder,
            self._encoder_tensors(),
            encoder=self._recipe.encoder.to_json(),
            tokenizer=tokenizer,
            files=files,
            version=__version__,
            hash_=hash_,
        )

    def write_task(self, folder: Path, task: str, record: Mapping[str, Any]) -> None:
        """Fill a folder with a task's adapters, head and record."""
        slot = next(each for each in self._recipe.tasks if each.id == task)
        head, adapters = self._model.head(task), self._model.task_adapters(task)
        tensors: dict[str, Tensor] = {}
        for part in task_components(self._recipe, slot, adapters, head):
            module = cast(Module, part.module)
            tensors |= canonical_tensors(module, part.names, prefix=f"{part.stored_prefix}.")
        entry = TaskRecord(
            id=task,
            task={**slot.to_json(), "max_length": slot.max_length},
            adapters=tuple(each.to_json() for each in self._recipe.adapters if each.id in adapters),
            head=slot.head.to_json() if slot.head is not None else {},
            info=head.info,
            recipe_hash=self._hash,
            data=self._facts.data.get(task, {}),
            synthetic=self._facts.synthetic,
            init=self._recipe.init.model_dump(mode="json"),
            **record,
        )
        write_task(folder, entry, tensors, version=__version__)

    def write_card(
        self, folder: Path, place: str, records: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Put the README of a state into its folder.

        Args:
            folder: The folder.
            place: What the folder will be in the run folder, such as ``best/mean``.
            records: Task id to its record.
        """
        text = state_card(
            self._recipe,
            self._model,
            self._facts,
            recipe_hash=self._hash,
            folder=place,
            records=records,
        )
        (folder / CARD_FILE).write_text(text, encoding="utf-8")

    def _encoder_tensors(self) -> dict[str, Tensor]:
        names = encoder_names(self._recipe)
        return canonical_tensors(self._model.encoder, names, prefix="encoder.")
