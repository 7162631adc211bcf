"""What a head promises.

Shape letters: T tokens of a batch, R rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bertmod.contracts.batch import Batch
from bertmod.contracts.checkpoint import CheckpointDescription, StoredTensor
from bertmod.contracts.encoder import EncoderOutput
from bertmod.contracts.head import HeadOutput
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.model.canonical import canonical_tensors, canonical_views, own_names
from bertmod.model.loading import Component, load_tensors
from bertmod.testing.answers import output_of, random_output
from bertmod.testing.bench import TOLERANCE, gradients, real_tokens, require_close, require_finite
from bertmod.testing.head_batches import (
    batch_for,
    build,
    fresh,
    info_of,
    labelled,
    repeated,
    unlabelled,
)
from bertmod.testing.subject import Subject, host_shape, require
from bertmod.wording import listed

Arrays = Mapping[str, np.ndarray]


def answered(module: Any, given: Batch, *, times: int = 1) -> HeadOutput:
    """What a head says of a batch whose encoder output is repeated with its rows."""
    output: HeadOutput = module(random_output(given, times=times), given)
    return output


def wants(subject: Subject) -> None:
    """want is what its spec says and what encoders provide; layout is any, padded or a number of
    tokens; info is kept and can be replaced after calibration.
    """
    module, told = fresh(subject), subject.spec.want(subject.config)
    require(module.want == told, f"module.want is {set(module.want)}, its spec says {set(told)}")
    parts = host_shape().provides
    require(told and told <= parts, f"it wants {listed(sorted(told))}, parts are {sorted(parts)}")
    number = isinstance(module.layout, int) and module.layout > 0
    require(number or module.layout in ("any", "padded"), f"layout is {module.layout!r}")
    require(module.info == info_of(subject), "info is not the TaskInfo that it was built with")
    tuned = replace(module.info, calibration={"threshold": 0.25})
    module.info = tuned
    require(module.info == tuned, "info cannot be replaced")


def only_what_it_wants(subject: Subject) -> None:
    """It reads the parts that it wants and no other: the rest of the output is None."""
    module = build(subject)
    given = batch_for(module, labelled(subject))
    output = random_output(given)
    names = {"pooled": "pooled_RH", "layers": "layers", "word_embeddings": "word_embeddings_VH"}
    absent: dict[str, Any] = {
        field: None for part, field in names.items() if part not in module.want
    }
    with torch.no_grad():
        whole = module(output, given)
        part = module(replace(output, **absent), given)
    for name, value in whole.logits.items():
        require(torch.equal(part.logits[name], value), f"logits {name} depend on unwanted parts")


def losses_are_counted_sums(subject: Subject) -> None:
    """num_targets counts, before the forward, the targets of each named loss; losses are fp32
    sums over them with a weight, so that twice the batch gives twice counts and sums.
    """
    module = build(subject)
    found = []
    for times in (1, 2):
        table = repeated(labelled(subject), times)
        given = batch_for(module, table)
        counts = dict(module.num_targets(host_targets(table), table.row_lengths))
        with torch.no_grad():
            losses = answered(module, given, times=times).losses
        same = counts.keys() == losses.keys()
        require(same, f"num_targets names {listed(counts)}, the losses are {listed(losses)}")
        require(counts, "a batch with targets gives no loss")
        for name, (value, weight) in losses.items():
            require(value.shape == (), f"loss {name} has shape {tuple(value.shape)}")
            require(value.dtype == torch.float32, f"loss {name} is {value.dtype}")
            require_finite(value, f"loss {name}")
            require(isinstance(weight, int | float), f"the weight of {name} is {weight!r}")
        found.append((counts, {name: value.item() for name, (value, _) in losses.items()}))
    (counts, sums), (counts_2, sums_2) = found
    for name in sums:
        told = f"from {counts[name]:g} to {counts_2[name]:g}"
        require(counts_2[name] == 2 * counts[name], f"twice the batch brings count {name} {told}")
        close = abs(sums_2[name] - 2 * sums[name]) <= 1e-4 * max(1.0, abs(sums[name]))
        told = f"from {sums[name]:g} to {sums_2[name]:g}: losses are sums, not means"
        require(close, f"twice the batch brings loss {name} {told}")


def no_targets_no_loss(subject: Subject) -> None:
    """Without targets it gives the same logits, no loss and no count; logits that it gives of
    targets' places alone have a name of their own.
    """
    module = build(subject)
    table = labelled(subject)
    given, bare = batch_for(module, table), batch_for(module, unlabelled(table))
    with torch.no_grad():
        without, with_targets = answered(module, bare), answered(module, given)
    require(not without.losses, f"without targets there is a loss {listed(without.losses)}")
    counts = module.num_targets({}, table.row_lengths)
    require(not any(counts.values()), f"without targets num_targets gives {dict(counts)}")
    shared = {name: value for name, value in with_targets.logits.items() if name in without.logits}
    for name, value in shared.items():
        require(torch.equal(without.logits[name], value), f"logits {name} depend on the targets")


def decodes_each_feature(subject: Subject) -> None:
    """decode gives named host arrays, one entry per feature in the features' order."""
    module = build(subject)
    table = unlabelled(labelled(subject))
    given, count = batch_for(module, table), len(table)
    with torch.no_grad():
        output = answered(module, given)
        decoded = module.decode(output, given)
        again = module.decode(output, given)
    require(len(decoded) == count, f"{len(decoded)} entries for {count} features")
    for entry, other in zip(decoded, again, strict=True):
        odd = [
            name for name, value in entry.items() if not isinstance(value, np.ndarray | np.generic)
        ]
        require(not odd, f"{listed(odd)} is no numpy array")
        require(_same(entry, other), "decoding the same output twice differs")
    differ = any(not _same(decoded[0], entry) for entry in decoded[1:])
    require(differ, "every feature gets the same answer")
    _require_rows_kept(module, table, decoded)


def layouts_agree(subject: Subject) -> None:
    """Padding never counts: losses and answers are the same from rows packed and padded to any
    length; the losses of a head that asks for so many tokens are those of that length.
    """
    module, table = build(subject), labelled(subject)
    usual = batch_for(module, table)
    longer = usual.context.max_length + 8
    output = random_output(usual)
    parts = [real_tokens(each, usual) for each in output.layers or ()]
    assert output.pooled_RH is not None
    padded = collate(table, layout=longer)
    with torch.no_grad():
        one = module(output, usual)
        other = module(output_of(padded, parts, output.pooled_RH), padded)
    told = f"in rows padded to {longer} tokens"
    for name, (value, _) in one.losses.items():
        if not isinstance(module.layout, int):
            require_close(other.losses[name][0], value, f"loss {name} is another {told}")
    pairs = zip(module.decode(one, usual), module.decode(other, padded), strict=True)
    for number, (entry, again) in enumerate(pairs):
        same = _same(entry, again, tolerance=TOLERANCE)
        require(same, f"feature {number} is answered otherwise {told}")


def parameter_count(subject: Subject) -> None:
    """num_parameters of the spec is the number of parameters for a number of labels."""
    labels = info_of(subject).labels
    count = len(labels) if labels else 1
    told = subject.spec.num_parameters(subject.config, host_shape(), count)
    own = sum(p.numel() for p in fresh(subject).parameters() if p.requires_grad)
    require(told == own, f"num_parameters says {told:,}, the module has {own:,}")


def tensor_names(subject: Subject) -> None:
    """names, where the spec has it, lists every tensor of the module once, with its shape, None
    standing for the number of labels.
    """
    module = fresh(subject)
    names = _names(subject, module)
    views = canonical_views(module, names)
    for name in names:
        if name.tied is None:
            found = tuple(views[name.canonical].shape)
            right = len(found) == len(name.shape) and all(
                told in (None, length) for told, length in zip(name.shape, found, strict=True)
            )
            require(right, f"{name.canonical} has shape {found}, its name says {name.shape}")


def save_and_load(subject: Subject) -> None:
    """Its tensors, written by canonical name and read into a fresh object, give the same logits."""
    module, other = build(subject), fresh(subject, seed=9).eval()
    names = _names(subject, module)
    stored = {
        name: StoredTensor(name, tuple(value.shape), lambda value=value: value)  # type: ignore[misc]
        for name, value in canonical_tensors(module, names, prefix="heads.task.").items()
    }
    component = Component("heads.task", names, other, required=bool(stored))
    load_tensors(stored, CheckpointDescription("bertmod"), [component])
    given = batch_for(module, labelled(subject))
    with torch.no_grad():
        expected, found = answered(module, given), answered(other, given)
    for name, value in expected.logits.items():
        require(torch.equal(found.logits[name], value), f"logits {name} differ after loading")


def trains(subject: Subject) -> None:
    """Every parameter gets a gradient from its losses."""
    module = build(subject)
    given = batch_for(module, labelled(subject))
    _total(answered(module, given)).backward()  # type: ignore[no-untyped-call]
    silent = [name for name, value in gradients(module).items() if value is None]
    require(not silent, f"no gradient reaches {listed(silent)}")
    for name, value in gradients(module).items():
        if value is not None:
            require_finite(value, f"the gradient of {name}")


def half_precision(subject: Subject) -> None:
    """Under bf16 autocast, with an encoder's output in bf16, losses are still fp32 and finite."""
    module = build(subject)
    given = batch_for(module, labelled(subject))
    output = random_output(given)
    pooled, layers = output.pooled_RH, output.layers or ()
    half = replace(
        output,
        hidden_TH=output.hidden_TH.bfloat16(),
        pooled_RH=None if pooled is None else pooled.bfloat16(),
        layers=tuple(each.bfloat16() for each in layers),
    )
    with torch.autocast("cpu", torch.bfloat16):
        losses = module(half, given).losses
    for name, (value, _) in losses.items():
        require(value.dtype == torch.float32, f"under bf16 loss {name} is {value.dtype}")
        require_finite(value, f"under bf16 loss {name}")


def dropout_from_context(subject: Subject) -> None:
    """Randomness comes from the batch's context alone, whatever mode the module is in."""
    module = build(subject)
    given = batch_for(module, labelled(subject))
    with torch.no_grad():
        expected = answered(module, given)
        module.train()
        found = answered(module, given)
    for name, value in expected.logits.items():
        same = torch.equal(found.logits[name], value)
        require(same, f"module.train() changes logits {name} although the context does not train")


CHECKS = (
    wants,
    only_what_it_wants,
    losses_are_counted_sums,
    no_targets_no_loss,
    decodes_each_feature,
    layouts_agree,
    parameter_count,
    tensor_names,
    save_and_load,
    trains,
    half_precision,
    dropout_from_context,
)


def _names(subject: Subject, module: Any) -> Any:
    if subject.spec.names is None:
        return own_names(module)
    return subject.spec.names(subject.config, host_shape())


def _total(output: HeadOutput) -> Tensor:
    return torch.stack([weight * value for value, weight in output.losses.values()]).sum()


def _require_rows_kept(module: Any, table: FeatureTable, decoded: Sequence[Arrays]) -> None:
    """A feature's answer must be that of its own rows, alone in a batch."""
    given = batch_for(module, table)
    output = random_output(given)
    for index in range(len(table)):
        own = batch_for(module, table.take(np.array([index])))
        with torch.no_grad():
            (alone,) = module.decode(module(_part(output, given, own, table, index), own), own)
        told = f"feature {index} is answered otherwise than alone: answers are in another order?"
        require(_same(alone, decoded[index], tolerance=TOLERANCE), told)


def _part(
    output: EncoderOutput, given: Batch, own: Batch, table: FeatureTable, index: int
) -> EncoderOutput:
    """What is one feature's of the output of a batch, for a batch of its own."""
    rows = slice(*table.row_bounds[index : index + 2].tolist())
    tokens = slice(*table.token_bounds[[rows.start, rows.stop]].tolist())
    layers = [real_tokens(each, given)[tokens] for each in output.layers or ()]
    assert output.pooled_RH is not None
    return output_of(own, layers, output.pooled_RH[rows])


def _same(one: Arrays, other: Arrays, *, tolerance: float = 0.0) -> bool:
    return one.keys() == other.keys() and all(
        np.shape(one[key]) == np.shape(other[key])
        and np.allclose(one[key], other[key], rtol=0, atol=tolerance)
        for key in one
    )
