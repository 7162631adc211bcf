"""Tensors of a checkpoint into the components of a model, with an account of every one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import Tensor, nn

from bertmod.contracts.checkpoint import (
    CheckpointDescription,
    LoadReport,
    StoredTensor,
    TensorName,
)
from bertmod.contracts.encoder import Part
from bertmod.errors import CheckpointError
from bertmod.model.canonical import canonical_views
from bertmod.model.report import Odd, Reason, problem_text, slot_hint

OWN_FORMAT = "bertmod"
"""The format whose names are the canonical ones."""

ENCODER = "encoder"
"""Prefix of the component that others borrow from."""

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Kinds of numbers that mean what they say; those of 8 bits have scales in other tensors."""

Allowed = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Component:
    """A part of a model, or of a checkpoint, whose tensors have known names.

    Attributes:
        prefix: What its canonical names begin with: ``encoder``, ``heads.cola``,
            ``adapters.cola.pals``.
        names: Names of its tensors.
        module: Where the tensors go; None if they go elsewhere, or nowhere.
        into: Takes the tensors by canonical name where there is no module: fp32, contiguous, on
            the CPU. None without a module: the checkpoint has the component and nobody asked for
            it.
        stored_prefix: What its names begin with in a checkpoint of bertmod's own format; empty
            means ``prefix``.
        index: The task's index in the file, for formats that number tasks.
        order: Index in the file of each of the task's labels, where the file has them in another
            order; it goes for the tensors whose first length is the number of labels.
        want: The parts of an encoder's output that anybody reads; a tensor that serves another
            part alone may be lacking. None: every tensor is needed.
        required: Whether a checkpoint without any of it is an error.
    """

    prefix: str
    names: Sequence[TensorName]
    module: nn.Module | None = None
    into: dict[str, Tensor] | None = None
    stored_prefix: str = ""
    index: int | None = None
    order: tuple[int, ...] | None = None
    want: frozenset[Part] | None = None
    required: bool = False

    @property
    def asked_for(self) -> bool:
        """Whether its tensors go anywhere."""
        return self.module is not None or self.into is not None


@dataclass
class _Account:
    """A load report in the making, of a checkpoint that messages call ``source``."""

    source: str
    used: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    initialised: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unequal: list[tuple[str, str]] = field(default_factory=list)
    misshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    rounded: dict[str, None] = field(default_factory=dict)
    reordered: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    """What is in a checkpoint: format name to name in the file and tensor."""

    format: str
    tensors: Mapping[str, tuple[str, StoredTensor]]

    def tensors_of(self, component: Component, row: TensorName) -> list[tuple[str, StoredTensor]]:
        """What the file has of a tensor, under each of its names."""
        names = stored_names(component, row, self.format)
        return [self.tensors[name] for name in names if name in self.tensors]


@dataclass(frozen=True)
class _Place:
    """Where one canonical tensor goes.

    Attributes:
        name: Canonical name, the component's prefix before it.
        shape: Shape that it must have; None for a length that may be any.
        transposed: Whether the file has it transposed.
        order: Index in the file of each row; None if they stay.
        put: Takes the value.
    """

    name: str
    shape: tuple[int | None, ...]
    transposed: bool
    order: tuple[int, ...] | None
    put: Callable[[Tensor], object]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape can go there."""
        return len(shape) == len(self.shape) and all(
            wanted in (None, found) for wanted, found in zip(self.shape, shape, strict=True)
        )


def load_tensors(
    stored: Mapping[str, StoredTensor],
    description: CheckpointDescription,
    components: Sequence[Component],
    *,
    allow: Allowed | None = None,
    hint: Callable[[Odd], str] = slot_hint,
    source: str = "checkpoint",
) -> LoadReport:
    """Copy a checkpoint's tensors into a model's components, or out of the file.

    Args:
        stored: Name in the file to tensor.
        description: What the checkpoint says of itself.
        components: Every component that the checkpoint has or the model wants from it.
        allow: ``unexpected``, ``missing``, ``misshaped`` and ``unequal`` to shell-style patterns
            of what may be so: of names in the file for ``unexpected``, else of canonical names.
            None: nothing may.
        hint: How the user may allow what does not fit, for messages; not called where ``allow``
            is None.
        source: The checkpoint's path, for messages.

    Returns:
        What became of every tensor, allowed oddities included. Parameters are fp32 whatever the
        file's dtype.

    Raises:
        CheckpointError: If anything is missing, unexpected, mis-shaped or unequal that ``allow``
            does not name; everything is listed by name, and the model is then half loaded. Also
            if a tensor has values that are no finite floating-point numbers.
    """
    file = _File(description.format, _by_format_name(stored, source))
    account = _Account(source)
    for component in components:
        _match(component, file, account)
        if component.asked_for:
            _compare_borrowed(component, components, file, account)
    unexpected = _unclaimed(stored, description, account)
    report = LoadReport(
        used=account.used,
        skipped=account.skipped,
        initialised=tuple(account.initialised),
        missing=tuple(account.missing),
        unexpected=unexpected,
        unequal=tuple(name for name, _ in account.unequal),
        misshaped=account.misshaped,
        rounded=tuple(account.rounded),
        reordered=tuple(account.reordered),
    )
    odd = _odd(account, report, allow or {})
    if any(odd.values()):
        told = "" if allow is None else hint(odd)
        raise CheckpointError(problem_text(source, odd, hint=told))
    return report


def stored_names(component: Component, name: TensorName, format_: str) -> tuple[str, ...]:
    """Every name under which a format may keep a tensor, the one it is written under first.

    Args:
        component: The component that the tensor belongs to.
        name: The tensor.
        format_: Name of the format.

    Returns:
        Names in the format; empty if the format cannot hold the tensor.
    """
    if format_ == OWN_FORMAT:
        return (f"{component.stored_prefix or component.prefix}.{name.canonical}",)
    first = name.stored.get(format_)
    rest = (*name.copies.get(format_, ()), *name.also_read.get(format_, ()))
    index = "" if component.index is None else str(component.index)
    every = rest if first is None else (first, *rest)
    return tuple(each.replace("{task}", index) for each in every)


def _by_format_name(
    stored: Mapping[str, StoredTensor], source: str
) -> Mapping[str, tuple[str, StoredTensor]]:
    files: dict[str, tuple[str, StoredTensor]] = {}
    for file_name, tensor in stored.items():
        if tensor.name in files:
            raise CheckpointError(
                f'{source}: "{files[tensor.name][0]}" and "{file_name}" are two spellings of '
                f'one tensor, "{tensor.name}"'
            )
        files[tensor.name] = (file_name, tensor)
    return files


def _match(component: Component, file: _File, account: _Account) -> None:
    found = {row.canonical: file.tensors_of(component, row) for row in component.names}
    if not component.asked_for:
        for tensors in found.values():
            for file_name, _ in tensors:
                account.skipped[file_name] = f"nobody asked for {component.prefix}"
        return
    places = _places(component, file.format)
    own = [row for row in component.names if row.tied is None]
    nothing = not any(found[row.canonical] for row in own) and not component.required
    for row in own:
        place = places[row.canonical]
        if found[row.canonical]:
            _take(place, found[row.canonical], account)
        elif nothing or _unwanted(row, component):
            account.initialised.append(place.name)
        else:
            account.missing.append(place.name)


def _compare_borrowed(
    component: Component, components: Sequence[Component], file: _File, account: _Account
) -> None:
    """Hold what the file repeats of the encoder against the encoder's own tensor in the file."""
    for row in component.names:
        repeated = [] if row.tied is None else file.tensors_of(component, row)
        if not repeated:
            continue
        lent = f"{ENCODER}.{row.tied}"
        original = _lent(row, components, file, account)
        for file_name, stored in repeated:
            if original is None:
                account.skipped[file_name] = f"repeats {lent}, which was not asked for"
                continue
            account.used[file_name] = lent
            value = _value(stored, file_name, account, transposed=file.format in row.transposed)
            if not torch.equal(value, original):
                account.unequal.append((file_name, lent))


def _lent(
    borrower: TensorName, components: Sequence[Component], file: _File, account: _Account
) -> Tensor | None:
    """The encoder's tensor that a row borrows, from the file; None if it is not to be had."""
    for component in components:
        for row in component.names if component.prefix == ENCODER else ():
            if row.canonical == borrower.tied:
                for file_name, stored in file.tensors_of(component, row):
                    turned = file.format in row.transposed
                    return _value(stored, file_name, account, transposed=turned)
    return None


def _places(component: Component, format_: str) -> dict[str, _Place]:
    """Where each tensor of a component that was asked for goes, by canonical name."""
    views = None
    if component.module is not None:
        views = canonical_views(component.module, component.names)
    taken: dict[str, Tensor] = {} if component.into is None else component.into
    places = {}
    for row in component.names:
        if row.tied is not None:
            continue
        view = None if views is None else views[row.canonical]
        places[row.canonical] = _Place(
            name=f"{component.prefix}.{row.canonical}",
            shape=row.shape if view is None else tuple(view.shape),
            transposed=format_ in row.transposed,
            order=component.order if row.shape[:1] == (None,) else None,
            put=partial(taken.__setitem__, row.canonical) if view is None else view.copy_,
        )
    return places


def _unwanted(row: TensorName, component: Component) -> bool:
    return component.want is not None and row.part is not None and row.part not in component.want


def _take(place: _Place, tensors: Sequence[tuple[str, StoredTensor]], account: _Account) -> None:
    """Put the first of several names' tensors in its place; the others must agree with it."""
    first: Tensor | None = None
    for file_name, stored in tensors:
        account.used[file_name] = place.name
        shape = tuple(reversed(stored.shape)) if place.transposed else stored.shape
        if not place.fits(shape):
            wanted = tuple(-1 if length is None else length for length in place.shape)
            account.misshaped[place.name] = (shape, wanted)
            continue
        value = _value(stored, file_name, account, transposed=place.transposed)
        if place.order is not None:
            value = value[list(place.order)]
        if first is None:
            first = value.contiguous()
            place.put(first)
            if place.order is not None:
                account.reordered.append(place.name)
        elif not torch.equal(first, value):
            account.unequal.append((file_name, place.name))


def _value(stored: StoredTensor, file_name: str, account: _Account, *, transposed: bool) -> Tensor:
    """A tensor of the file, fp32, with the axes of the canonical one."""
    value = stored.load()
    if value.dtype not in PRECISIONS:
        accepted = ", ".join(str(dtype).removeprefix("torch.") for dtype in PRECISIONS)
        raise CheckpointError(
            f'{account.source}: "{file_name}" holds {value.dtype} values; parameters are '
            f"floating-point numbers\n  accepted: {accepted}"
        )
    single = value.to(torch.float32)
    if not torch.isfinite(single).all():
        raise CheckpointError(
            f'{account.source}: "{file_name}" has values that are not finite numbers\n'
            "  the file is damaged, or training went astray"
        )
    if value.dtype == torch.float64 and not torch.equal(single.double(), value):
        account.rounded[file_name] = None
    return single.t() if transposed else single


def _unclaimed(
    stored: Mapping[str, StoredTensor], description: CheckpointDescription, account: _Account
) -> tuple[str, ...]:
    """Names of tensors that no component knows; those of a known kind are noted as skipped."""
    unexpected = []
    for file_name, tensor in stored.items():
        if file_name in account.used or file_name in account.skipped:
            continue
        for pattern, reason in description.skipped.items():
            if fnmatchcase(tensor.name, pattern):
                account.skipped[file_name] = reason
                break
        else:
            unexpected.append(file_name)
    return tuple(unexpected)


def _odd(account: _Account, report: LoadReport, allow: Allowed) -> Odd:
    """What does not fit and is not allowed."""

    def left(kind: str, names: Mapping[str, str]) -> Iterator[str]:
        patterns = allow.get(kind, ())
        for judged, shown in names.items():
            if not any(fnmatchcase(judged, pattern) for pattern in patterns):
                yield shown

    shapes = {
        name: f"{name}: {found} in the file, {wanted} in the model"
        for name, (found, wanted) in account.misshaped.items()
    }
    unequal = {canonical: f"{name} (of {canonical})" for name, canonical in account.unequal}
    odd: dict[Reason, Iterator[str]] = {
        "missing": left("missing", {name: name for name in report.missing}),
        "unexpected": left("unexpected", {name: name for name in report.unexpected}),
        "misshaped": left("misshaped", shapes),
        "unequal": left("unequal", unequal),
    }
    return {reason: tuple(names) for reason, names in odd.items()}
