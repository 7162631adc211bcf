"""Canonical tensors of a component: what its parameters are called outside of its modules."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bertmod.contracts.checkpoint import TensorName
from bertmod.errors import CheckpointError
from bertmod.model.record import ENCODER_FILE


def own_names(module: nn.Module) -> tuple[TensorName, ...]:
    """Names of a component that declares none: the module's own, in bertmod's format alone."""
    return tuple(
        TensorName(name, tuple(tensor.shape), {}) for name, tensor in _state(module).items()
    )


def canonical_views(module: nn.Module, names: Sequence[TensorName]) -> dict[str, Tensor]:
    """The component's tensors by canonical name, as views: writing into one changes the module.

    Args:
        module: The component; it may hold several canonical tensors stacked in one parameter.
        names: What the component declares, every row of it.

    Returns:
        Canonical name to a view without gradient, in the order of ``names``; tensors borrowed
        from the encoder are left out.

    Raises:
        ValueError: If the module lacks a declared tensor or has one that is not declared.
    """
    state, views, taken = _state(module), {}, set()
    for name, (parameter, first, length) in _places(names):
        if parameter not in state:
            raise ValueError(f'the module has no tensor "{parameter}" that its names declare')
        whole = state[parameter]
        views[name] = whole if first is None else whole.narrow(0, first, length)
        taken.add(parameter)
    if undeclared := sorted(state.keys() - taken):
        raise ValueError(f"the module has tensors that its names lack: {', '.join(undeclared)}")
    return views


def canonical_tensors(
    module: nn.Module, names: Sequence[TensorName], *, prefix: str = ""
) -> dict[str, Tensor]:
    """Contiguous fp32 copies on the CPU of a component's tensors, ready to be written.

    Args:
        module: The component.
        names: What it declares.
        prefix: Put before every name, with its dot: ``encoder.``.
    """
    return {
        prefix + name: view.to("cpu", torch.float32, copy=True).contiguous()
        for name, view in canonical_views(module, names).items()
    }


def encoder_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and fp32 values, in the order of the names, as 64 hex digits.

    Args:
        tensors: Canonical name to tensor, any floating dtype and device: a 16-bit tensor has the
            hash of its values.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = tensors[name].detach().to("cpu", torch.float32).contiguous().numpy()
        digest.update(f"{name}\0{tuple(values.shape)}\0".encode())
        digest.update(values.astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def module_hash(
    module: nn.Module,
    names: Sequence[TensorName],
    *,
    prefix: str = "",
    absent: Collection[str] = (),
) -> str:
    """``encoder_hash`` of a module's tensors, without a copy of them.

    Args:
        module: The component.
        names: What it declares.
        prefix: Put before every name, with its dot: ``encoder.``.
        absent: Names, with the prefix, of tensors that do not count: their checkpoint lacks them.
    """
    named = {prefix + name: view for name, view in canonical_views(module, names).items()}
    return encoder_hash({name: view for name, view in named.items() if name not in absent})


def require_hash(folder: Path, *, found: str, stored: str) -> None:
    """Refuse an encoder whose values are not those that its folder was written for.

    Args:
        folder: Folder of the encoder, or the run folder that has it.
        found: Hash of its values.
        stored: Hash that they must have.

    Raises:
        CheckpointError: If the hashes differ.
    """
    if found != stored:
        raise CheckpointError(
            f"{folder}: damaged: its weights are not those that {ENCODER_FILE} was written for"
        )


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in module.state_dict(keep_vars=True).items()}


_Place = tuple[str, int | None, int]


def _places(names: Sequence[TensorName]) -> Iterator[tuple[str, _Place]]:
    """Canonical name to (parameter, first row, rows); first row None for a whole parameter."""
    stacks: dict[str, dict[int, int]] = defaultdict(dict)
    for row in names:
        if row.fused is not None:
            parameter, place = row.fused
            length = row.shape[0]
            if length is None:
                raise ValueError(f'"{row.canonical}" is fused, so its first length must be stated')
            stacks[parameter][place] = length
    for row in names:
        if row.tied is not None:
            continue
        if row.fused is None:
            yield row.canonical, (row.canonical, None, 0)
            continue
        parameter, place = row.fused
        first = sum(length for other, length in stacks[parameter].items() if other < place)
        yield row.canonical, (parameter, first, stacks[parameter][place])
