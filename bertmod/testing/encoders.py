"""What an encoder promises: its shape, outputs, parameters and copies.

Shape letters: T tokens of a batch, R rows, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertmod.contracts.batch import Batch
from bertmod.contracts.checkpoint import CheckpointDescription, StoredTensor
from bertmod.contracts.encoder import EncoderContext, EncoderOutput, Part
from bertmod.model.canonical import canonical_tensors, canonical_views
from bertmod.model.loading import Component, load_tensors
from bertmod.nn.initialisation import initialise
from bertmod.testing.bench import (
    HIDDEN,
    batch_of,
    encoded,
    gradients,
    real_tokens,
    require_close,
    require_finite,
    rows_of,
    stir,
    storages,
)
from bertmod.testing.subject import Subject, require
from bertmod.wording import listed

IDS = 20
"""Vocabulary indices that the rows use: every encoder has as many."""


def build(subject: Subject, *, seed: int = 0) -> Any:
    """An encoder with noise in every parameter, in evaluation mode."""
    return stir(fresh(subject, seed=seed), seed=1, scale=0.05).eval()


def fresh(subject: Subject, *, seed: int = 0) -> Any:
    """An encoder as its builder makes it."""
    torch.manual_seed(seed)
    return subject.spec.build(subject.config, EncoderContext(initialise))


def rows() -> tuple[np.ndarray, ...]:
    """Rows of ids that every vocabulary has."""
    return rows_of(vocab_size=IDS)


def wants(subject: Subject) -> list[frozenset[Part]]:
    """Sets of parts that heads may want of an encoder: none but the hidden states, each, all."""
    provides = subject.spec.shape(subject.config).provides
    each = [frozenset[Part]({"hidden", part}) for part in sorted(provides - {"hidden"})]
    return list(dict.fromkeys([HIDDEN, *each, frozenset(provides)]))


def shape(subject: Subject) -> None:
    """The module's shape is the spec's, with as many blocks as layers, hidden states among the
    parts it provides, end sites among its sites, and the size of the vocabulary stated where word
    embeddings are provided.
    """
    told, module = subject.spec.shape(subject.config), fresh(subject)
    require(module.shape == told, f"module.shape is {module.shape}, its spec says {told}")
    count = len(module.blocks)
    right = count == told.num_hidden_layers
    require(right, f"{count} blocks, its spec says {told.num_hidden_layers} layers")
    require("hidden" in told.provides, "its shape does not provide hidden")
    lost = sorted(told.end_sites - set(told.sites))
    require(not lost, f"end_sites has {listed(lost)}, which is no site")
    known = told.vocab_size is not None or "word_embeddings" not in told.provides
    require(known, "it provides word_embeddings, but its shape states no vocab_size")


def outputs(subject: Subject) -> None:
    """Each part that is wanted comes in its shape, finite; parts nobody wants are None."""
    module, batch = build(subject), batch_of(rows())
    about = module.shape
    for want in wants(subject):
        output = encoded(module, batch, want=want)
        tokens, count = len(batch.input_ids_T), len(rows())
        _require_part(output.hidden_TH, "hidden", (tokens, about.hidden_size))
        if _asked(output.pooled_RH, "pooled", want):
            _require_part(output.pooled_RH, "pooled", (count, about.hidden_size))
        if _asked(output.layers, "layers", want):
            layers = output.layers or ()
            told = f"layers has {len(layers)} entries, not the embeddings' and one per layer"
            require(len(layers) == about.num_hidden_layers + 1, told)
            for each in layers:
                _require_part(each, "an entry of layers", (tokens, about.hidden_size))
            same = torch.equal(layers[-1], output.hidden_TH)
            require(same, "the last entry of layers is not the last hidden states")
        if _asked(output.word_embeddings_VH, "word_embeddings", want):
            matrix = output.word_embeddings_VH
            own = isinstance(matrix, Tensor) and matrix.untyped_storage().data_ptr() in storages(
                module
            )
            require(own, "word_embeddings is not the encoder's own matrix")
            _require_part(matrix, "word_embeddings", (about.vocab_size, about.hidden_size))


def active_parameters(subject: Subject) -> None:
    """active(want) names exactly the parameters that an output with these parts depends on."""
    for want in wants(subject):
        module = build(subject)
        _loss(module, batch_of(rows()), want).backward()  # type: ignore[no-untyped-call]
        reached = {name for name, value in gradients(module).items() if value is not None}
        told = set(module.active(want))
        shown = listed(sorted(want))
        lost, silent = sorted(reached - told), sorted(told - reached)
        require(not lost, f"with {shown}, active lacks {listed(lost)}")
        require(not silent, f"with {shown}, active has {listed(silent)}, which get no gradient")


def depths(subject: Subject) -> None:
    """depth orders the parameters: 0 for the embeddings, 1 for the first layer and so on, one
    value per block, each more than the one before, as TensorName.depth says.
    """
    module = fresh(subject)
    of = {name: module.depth(name) for name, _ in module.named_parameters()}
    odd = [name for name, value in of.items() if type(value) is not int or value < 0]
    require(not odd, f"depth of {listed(odd)} is no whole number from 0")
    by_address = {id(parameter): name for name, parameter in module.named_parameters()}
    found = []
    for index, block in enumerate(module.blocks):
        values = {of[by_address[id(parameter)]] for parameter in block.parameters()}
        require(len(values) == 1, f"parameters of block {index} have depths {sorted(values)}")
        found.append(values.pop())
    names = {name.parameter: name.depth for name in subject.spec.names(subject.config)}
    odd = [name for name, value in of.items() if names.get(name) != value]
    require(not odd, f"TensorName.depth of {listed(odd)} is not what depth says")
    rising = all(low < high for low, high in pairwise(found))
    require(rising and found[0] > 0, f"blocks have depths {found}, not rising from above 0")


def new_layers(subject: Subject) -> None:
    """new_layer gives a fresh layer, called layer(x, context), that keeps x's shape and shares
    no parameter with the encoder or with another new layer; shape.layer_names lists its tensors.
    """
    module, batch = build(subject), batch_of(rows())
    first, second = module.new_layer().eval(), module.new_layer().eval()
    hidden = encoded(module, batch).hidden_TH
    with torch.no_grad():
        out = first(hidden, batch.context)
    _require_part(out, "what a new layer gives", tuple(hidden.shape))
    require(not storages(first) & storages(second), "two new layers share parameters")
    require(not storages(first) & storages(module), "a new layer shares the encoder's parameters")
    if module.shape.layer_names:
        canonical_views(first, module.shape.layer_names)


def packed_and_padded(subject: Subject) -> None:
    """Real tokens and pooled rows come out the same whether rows are packed or padded."""
    module = build(subject)
    want = frozenset(module.shape.provides)
    found = []
    for layout in ("packed", "padded"):
        batch = batch_of(rows(), layout=layout)
        output = encoded(module, batch, want=want)
        found.append((real_tokens(output.hidden_TH, batch), output.pooled_RH))
    (packed, pooled), (padded, pooled_padded) = found
    require_close(padded, packed, "packed and padded rows give different hidden states")
    if pooled is not None and pooled_padded is not None:
        require_close(pooled_padded, pooled, "packed and padded rows give different pooled rows")


def rows_independent(subject: Subject) -> None:
    """A row's output depends neither on the other rows of its batch nor on their order."""
    module, own = build(subject), rows()
    hidden = _by_row(module, own)
    turned = _by_row(module, own[::-1])[::-1]
    for index, row in enumerate(own):
        alone = _by_row(module, [row])[0]
        require_close(alone, hidden[index], f"row {index} differs when it is alone in its batch")
        require_close(turned[index], hidden[index], f"row {index} differs in another order")


def dropout_from_context(subject: Subject) -> None:
    """Randomness comes from the context alone: with dropout off there, two calls are equal even
    in training mode; with it on, they repeat from the same seed.
    """
    module, batch = build(subject), batch_of(rows())
    expected = encoded(module, batch).hidden_TH
    module.train()
    same = torch.equal(encoded(module, batch).hidden_TH, expected)
    require(same, "module.train() changes the output although the context does not train")
    training, found = batch_of(rows(), training=True), []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(encoded(module, training).hidden_TH)
    require(torch.equal(*found), "dropout does not follow torch's seed")


def half_precision(subject: Subject) -> None:
    """Under bf16 autocast outputs are finite, and gradients fp32 and finite."""
    module, want = build(subject), frozenset(subject.spec.shape(subject.config).provides)
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(module, batch_of(rows()), want)
    require_finite(loss, "the output")
    loss.backward()  # type: ignore[no-untyped-call]
    for name, value in gradients(module).items():
        if value is not None:
            require(value.dtype == torch.float32, f"the gradient of {name} is {value.dtype}")
            require_finite(value, f"the gradient of {name}")


def tensor_names(subject: Subject) -> None:
    """names lists every tensor of the module once, with its shape."""
    names, module = subject.spec.names(subject.config), fresh(subject)
    every = [name.canonical for name in names]
    require(len(set(every)) == len(every), "a canonical name is listed twice")
    for canonical, view in canonical_views(module, names).items():
        told = next(name.shape for name in names if name.canonical == canonical)
        require(tuple(view.shape) == tuple(told), f"{canonical} is {tuple(view.shape)}, not {told}")


def save_and_load(subject: Subject) -> None:
    """Its tensors, written by canonical name and read into a fresh object, give equal outputs."""
    names, module, batch = subject.spec.names(subject.config), build(subject), batch_of(rows())
    tensors = canonical_tensors(module, names, prefix="encoder.")
    stored = {
        name: StoredTensor(name, tuple(value.shape), lambda value=value: value)  # type: ignore[misc]
        for name, value in tensors.items()
    }
    other = fresh(subject, seed=9).eval()
    component = Component("encoder", names, other, required=True)
    load_tensors(stored, CheckpointDescription("bertmod"), [component])
    same = torch.equal(encoded(other, batch).hidden_TH, encoded(module, batch).hidden_TH)
    require(same, "the output differs after saving and loading")


def built_from_seed(subject: Subject) -> None:
    """Building draws from torch's default generator alone: the same seed gives the same values."""
    first, second = (fresh(subject, seed=5).state_dict() for _ in range(2))
    changed = [name for name in first if not torch.equal(first[name], second[name])]
    require(not changed, f"two builds from one seed differ in {listed(changed)}")


CHECKS = (
    shape,
    outputs,
    active_parameters,
    depths,
    new_layers,
    packed_and_padded,
    rows_independent,
    dropout_from_context,
    half_precision,
    tensor_names,
    save_and_load,
    built_from_seed,
)


def _require_part(value: Any, name: str, wanted: tuple[int, ...]) -> None:
    require(isinstance(value, Tensor), f"{name} is {type(value).__name__}, not a tensor")
    require(tuple(value.shape) == wanted, f"{name} has shape {tuple(value.shape)}, not {wanted}")
    require_finite(value, name)


def _asked(value: Any, part: Part, want: frozenset[Part]) -> bool:
    """Whether a part was asked for; it is None exactly if it was not."""
    asked = part in want
    state = "is None although it is wanted" if asked else "is given although nobody wants it"
    require((value is not None) == asked, f"{part} {state}")
    return asked


def _loss(module: Any, batch: Batch, want: frozenset[Part]) -> Tensor:
    """A sum of every wanted part with random weights."""
    from bertmod.nn.sites import NO_SITES

    output: EncoderOutput = module(batch, NO_SITES, want=want)
    parts: list[Tensor | None] = [output.hidden_TH, output.pooled_RH, output.word_embeddings_VH]
    draws = torch.Generator().manual_seed(6)
    total = torch.zeros(())
    for part in (*parts, *(output.layers or ())):
        if part is not None:
            total = total + (part.float() * torch.randn(part.shape, generator=draws)).sum()
    return total


def _by_row(module: Any, own: Sequence[np.ndarray]) -> list[Tensor]:
    hidden = encoded(module, batch_of(own)).hidden_TH
    return list(torch.split(hidden, [len(row) for row in own]))
