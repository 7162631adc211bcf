"""What BERT's checkpoints have in common: spellings, JSON, vocabularies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bertmod import CheckpointError
from bertmod.model.embedding_rows import suits

PARALLEL_PREFIX = "module."
"""What torch's DataParallel puts before every name."""

PREFIX = "bert."
OLD_SPELLING = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

WORDPIECE = "bertmod/wordpiece"

UNWANTED_HEAD = "task head that nobody asked for"
UNWANTED_PRETRAINING = "pre-training head that nobody asked for"
SKIPPED = {
    "embeddings.position_ids": "constant buffer",
    "cls.*": UNWANTED_PRETRAINING,
    "classifier.weight": UNWANTED_HEAD,
    "classifier.bias": UNWANTED_HEAD,
    "qa_outputs.*": UNWANTED_HEAD,
}
"""Pattern of a name to the reason, for the heads of the PyTorch ports."""


def plain_name(name: str) -> str:
    """A tensor's name without prefixes and the old spelling of LayerNorm."""
    name = name.removeprefix(PARALLEL_PREFIX).removeprefix(PREFIX)
    for old, new in OLD_SPELLING.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def json_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no file or it holds anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def vocabulary_size(path: Path) -> int:
    """Entries of a ``vocab.txt``, one per line.

    Raises:
        CheckpointError: If the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))


def wordpiece_slot(
    vocab: Path, encoder: Mapping[str, Any], *, options: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any] | None:
    """The slot of the tokenizer with a vocabulary; None if there is no such file.

    Args:
        vocab: A ``vocab.txt``, one entry a line.
        encoder: The encoder slot, with ``vocab_size``.
        options: What else is known of the tokenizer.

    Raises:
        CheckpointError: If it is the vocabulary of another encoder.
    """
    if not vocab.is_file():
        return None
    check_vocabulary(vocab, encoder)
    return {**options, "name": WORDPIECE, "vocab": str(vocab.absolute())}


def check_vocabulary(path: Path, encoder: Mapping[str, Any]) -> None:
    """Refuse a vocabulary that is not the one that the word embeddings were trained with.

    Args:
        path: A ``vocab.txt``, one entry a line.
        encoder: The encoder slot; its ``vocab_size`` are the rows of the word embeddings.

    Raises:
        CheckpointError: Naming both numbers.
    """
    entries, rows = vocabulary_size(path), encoder["vocab_size"]
    if suits(entries, rows=rows):
        return
    lacking = "only " if entries > rows else ""
    raise CheckpointError(
        f"{path}: the vocabulary has {entries:,} entries, but the word embeddings have {lacking}"
        f"{rows:,} rows\n  use the vocabulary that belongs to the checkpoint"
    )
