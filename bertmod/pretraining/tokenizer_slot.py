"""The tokenizer of a vocabulary file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.errors import DataError
from bertmod.pretraining.word_counts import WordSplitter
from bertmod.specs import TokenizerSpec


class Installed(Protocol):
    """What is installed: a ``Registry``."""

    def get(self, kind: str, name: str, *, near: str | None = None) -> Any: ...


@dataclass(frozen=True)
class TokenizerSlot:
    """A tokenizer with every option stated.

    Attributes:
        name: Its name, ``provider/name``.
        spec: Builds it.
        config: Its options.
    """

    name: str
    spec: TokenizerSpec
    config: Any

    @property
    def path(self) -> str:
        """Its vocabulary's file."""
        return str(self.config.vocab)

    def with_vocab(self, path: Path) -> TokenizerSlot:
        """The same with the vocabulary of another file."""
        config = self.config.model_copy(update={"vocab": os.fspath(path)})
        return replace(self, config=config)

    def splitter(self) -> WordSplitter:
        """What cuts text into words for it.

        Raises:
            DataError: If the tokenizer does not tell.
        """
        return WordSplitter(self.pipeline())

    def pipeline(self) -> str:
        """It, for the library ``tokenizers``.

        Raises:
            DataError: If it has no such form.
        """
        if self.spec.pipeline is None:
            raise DataError(f'the tokenizer "{self.name}" does not tell how it finds words')
        return self.spec.pipeline(self.config)

    def build(self) -> Tokenizer:
        """The tokenizer."""
        return cast(Tokenizer, self.spec.build(self.config))


def wordpiece(registry: Installed, vocab: Path, *, lower_case: bool | None) -> TokenizerSlot:
    """The tokenizer of a vocabulary file.

    Args:
        registry: What is installed.
        vocab: The file.
        lower_case: Whether text is lower-cased; None: as the vocabulary's letters tell.

    Raises:
        DataError: If it cannot be read, or cannot serve.
    """
    entry = registry.get("tokenizer", "wordpiece", near="bertmod")
    spec: TokenizerSpec = entry.spec
    config = spec.config.model_validate({"vocab": str(vocab), "lower_case": lower_case})
    if problems := spec.check(config):
        first, *more = [line for each in problems for line in (each.what, *each.more)]
        named = first if first.startswith(f"{vocab}: ") else f"{vocab}: {first}"
        raise DataError("\n  ".join([named, *more]))
    return TokenizerSlot(entry.full_name, spec, spec.complete(config))
