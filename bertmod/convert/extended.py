"""Words taken into a checkpoint's vocabulary before it is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from bertmod.contracts.checkpoint import TensorName
from bertmod.convert.source import Source
from bertmod.convert.tensors import Tensors
from bertmod.errors import CheckpointError


@dataclass(frozen=True)
class Extension:
    """Words for which a vocabulary had pieces.

    Attributes:
        vocab: File of the vocabulary that has the words.
        size: Its entries.
        made_of: Index of each word to the indices of its pieces.
    """

    vocab: Path
    size: int
    made_of: Mapping[int, tuple[int, ...]]


def take_in_words(source: Source, tensors: Tensors, extension: Extension) -> tuple[Source, Tensors]:
    """A checkpoint with rows for words: each the mean of the rows of the word's pieces.

    That goes for every tensor with a row for each piece: the word embeddings, and the output's
    bias of a head of masked pieces. Where a word lies behind the last row, they grow; rows behind
    the last entry there was are padding, and are taken first. All other values stay.

    Args:
        source: The checkpoint.
        tensors: Its tensors.
        extension: The words.

    Raises:
        CheckpointError: If its encoder does not tell how many pieces it has.
    """
    opened = source.opened
    config, spec = opened.encoder.config, opened.encoder.spec
    rows = opened.shape.vocab_size
    if rows is None or getattr(config, "vocab_size", None) != rows:
        raise CheckpointError(
            f'{opened.path}: the encoder "{opened.encoder.full_name}" does not tell how many '
            "pieces it has, so that no words can be put in"
        )
    size = max(rows, extension.size)
    wider = {"vocab_size": rows + 1}
    changed = {"encoder": (source.encoder_names, spec.names(config.model_copy(update=wider)))}
    for task in source.tasks:
        if (declared := task.head.spec.names) is not None:
            changed[f"heads.{task.id}"] = (
                task.names,
                declared(task.head.config, replace(opened.shape, vocab_size=rows + 1)),
            )
    grown = dict(tensors)
    for component, (names, wide) in changed.items():
        per_piece = _differing(names, wide)
        grown[component] = {
            name: _with_words(tensor, extension.made_of, size) if name in per_piece else tensor
            for name, tensor in tensors[component].items()
        }
    encoder = replace(opened.encoder, config=config.model_copy(update={"vocab_size": size}))
    vocab = {"vocab": os.fspath(extension.vocab)}
    tokenizer = opened.tokenizer.config.model_copy(update=vocab)
    opened = replace(
        opened,
        encoder=encoder,
        tokenizer=replace(opened.tokenizer, config=tokenizer),
        shape=replace(opened.shape, vocab_size=size),
    )
    return replace(source, opened=opened), grown


def _differing(names: Sequence[TensorName], wide: Sequence[TensorName]) -> set[str]:
    """Tensors that are larger with a piece more."""
    shapes = {row.canonical: row.shape for row in wide}
    return {row.canonical for row in names if shapes[row.canonical] != row.shape}


def _with_words(tensor: Tensor, made_of: Mapping[int, tuple[int, ...]], size: int) -> Tensor:
    """A tensor with a row for each piece, (pieces, ...), with rows for words.

    The mean is taken in float64, so that it does not depend on the order of the pieces.
    """
    rows = tensor.new_zeros((size, *tensor.shape[1:]))
    rows[: len(tensor)] = tensor
    for row, pieces in made_of.items():
        rows[row] = tensor[torch.tensor(pieces)].double().mean(0).to(tensor.dtype)
    return rows
