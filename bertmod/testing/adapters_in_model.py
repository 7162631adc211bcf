"""What an adapter promises inside an encoder, beside the adapters of other tasks.

Shape letters: T tokens of a batch, R rows, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from bertmod.contracts.batch import BatchContext
from bertmod.contracts.encoder import Encoder, Part
from bertmod.contracts.head import Head, HeadContext, TaskInfo
from bertmod.library import installed
from bertmod.model.merging import merged_encoder
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.initialisation import initialise
from bertmod.testing.adapters import (
    LAYERS,
    build,
    called,
    places,
    stirred,
)
from bertmod.testing.bench import (
    LABELS,
    batch_of,
    encoded,
    gradients,
    host,
    real_tokens,
    require_close,
    require_finite,
    rows_of,
    stir,
)
from bertmod.testing.subject import Subject, host_shape, require
from bertmod.wording import listed

POOLED = frozenset[Part]({"hidden", "pooled"})
TASKS = ("first", "second", "bare")


class Earlier(nn.Module):
    """An adapter without parameters that acts at delta sites before one that needs a y there."""

    def __init__(self, sites: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.sites = sites
        self.replaces: frozenset[tuple[str, int]] = frozenset()

    def forward(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """Half of x, added."""
        del site, layer, context
        return 0.5 * x_TI if y_TO is None else y_TO + 0.5 * x_TI


def together(subject: Subject, module: Any) -> dict[str, Any]:
    """A task's adapters: the one in question, behind an earlier one where it needs one."""
    shape = host_shape()
    needed = {
        site: tuple(module.sites[site])
        for site in subject.spec.needs_output(subject.config, shape)
        if shape.sites[site].kind == "delta"
    }
    return {"earlier": Earlier(needed), "own": module} if needed else {"own": module}


def model_of(subject: Subject) -> MultiTaskModel:
    """A model of three tasks: two with an adapter of their own, one with none."""
    encoder = host()
    adapters = {}
    for task in TASKS[:2]:
        module = build(subject, encoder=encoder, task=task)
        adapters[task] = together(subject, stir(module, seed=len(task)))
    return MultiTaskModel(encoder, adapters, {task: _head(encoder, task) for task in TASKS}).eval()


def gradients_where_declared(subject: Subject) -> None:
    """Backward reaches every trainable parameter of the task's adapter, and every parameter of
    the encoder but those behind sites that the adapter lists in replaces.
    """
    model = model_of(subject)
    _loss(model, "first").backward()  # type: ignore[no-untyped-call]
    active = {name for name in model.active("first") if not name.startswith("heads.")}
    found = {
        name: gradient
        for name, gradient in gradients(model).items()
        if not name.startswith("heads.")
    }
    own = tuple(name for name in found if name.startswith("adapters.first.own."))
    silent = sorted(
        name
        for name in active & found.keys()
        if (value := found[name]) is None or (name in own and not value.any())
    )
    require(
        not silent,
        f"no gradient reaches {listed(silent)}: a site whose y it ignores belongs in replaces, "
        "a parameter that does not train has requires_grad False",
    )
    idle = {name: value for name, value in found.items() if name not in active}
    loud = sorted(name for name, value in idle.items() if value is not None and value.any())
    require(not loud, f"a gradient reaches {listed(loud)}, which it declares idle")
    for name, value in found.items():
        if value is not None:
            require_finite(value, f"the gradient of {name}")


def idle_tasks(subject: Subject) -> None:
    """A step of one task leaves the adapters of all others without gradient."""
    model = model_of(subject)
    _loss(model, "first").backward()  # type: ignore[no-untyped-call]
    own = gradients(cast(nn.Module, model.task_adapters("second")["own"]))
    touched = [name for name, value in own.items() if value is not None]
    require(not touched, f"a step of another task gives a gradient to {listed(touched)}")


def replaced_outputs(subject: Subject) -> None:
    """At a site that it lists in replaces, its output does not depend on y."""
    module = stirred(subject)
    for place in places(subject):
        if (place.site, place.layer) in module.replaces and place.y_TO is not None:
            other = place._replace(y_TO=place.y_TO + 1)
            same = torch.equal(called(module, place), called(module, other))
            require(same, f"{place.shown} it uses the y that it says it replaces")


def packed_and_padded(subject: Subject) -> None:
    """Real tokens come out the same whether rows are packed or padded."""
    encoder = host()
    acting = together(subject, stirred(subject, encoder=encoder)).values()
    packed, padded = (batch_of(rows_of(), layout=layout) for layout in ("packed", "padded"))
    expected = real_tokens(encoded(encoder, packed, [*acting]).hidden_TH, packed)
    found = real_tokens(encoded(encoder, padded, [*acting]).hidden_TH, padded)
    require_close(found, expected, "packed and padded rows give different hidden states")


def rows_independent(subject: Subject) -> None:
    """A row's output does not depend on the other rows of its batch."""
    encoder, rows = host(), rows_of()
    acting = [*together(subject, stirred(subject, encoder=encoder)).values()]
    hidden = encoded(encoder, batch_of(rows), acting).hidden_TH
    for index, span in enumerate(torch.split(hidden, [len(row) for row in rows])):
        alone = encoded(encoder, batch_of([rows[index]]), acting).hidden_TH
        require_close(span, alone, f"row {index} differs when it is alone in its batch")


def mixed_tasks(subject: Subject) -> None:
    """A batch with rows of several tasks gives what each task's rows give alone."""
    model, rows = model_of(subject), rows_of()
    batch = batch_of(rows, tasks=[0, 0, 1, 2])
    with torch.no_grad():
        mixed = model.encode(batch, None, want=POOLED)
        start = 0
        for task, own in zip(TASKS, (rows[:2], rows[2:3], rows[3:]), strict=True):
            alone = model.encode(batch_of(own), task, want=POOLED).hidden_TH
            part = mixed.hidden_TH[start : start + len(alone)]
            what = f'the rows of task "{task}" differ beside those of other tasks'
            require_close(part, alone, what)
            start += len(alone)


def tasks_independent(subject: Subject) -> None:
    """Changing one task's adapter changes nothing for another task."""
    model = model_of(subject)
    batch = batch_of(rows_of())
    with torch.no_grad():
        before = model.encode(batch, "second", want=POOLED).hidden_TH
        stir(cast(nn.Module, model.task_adapters("first")["own"]), seed=8, scale=1.0)
        after = model.encode(batch, "second", want=POOLED).hidden_TH
    require(torch.equal(before, after), "changing one task's adapter changes another task")


def layers_respected(subject: Subject) -> None:
    """Built for the last layer alone, it leaves the layers before as they are."""
    encoder, batch = host(), batch_of(rows_of())
    last = LAYERS[-1]
    module = stirred(subject, encoder=encoder, layers=(last,))
    if any(site in host_shape().end_sites for site in module.sites):
        return
    want = frozenset[Part]({"layers"})
    plain = encoded(encoder, batch, want=want).layers or ()
    acting = [*together(subject, module).values()]
    adapted = encoded(encoder, batch, acting, want=want).layers or ()
    for index in range(last + 1):
        same = torch.equal(plain[index], adapted[index])
        require(same, f"for layer {last} alone, it changes the output of layer {index - 1}")
    require(not torch.equal(plain[-1], adapted[-1]), f"for layer {last} alone, it does nothing")


def merges(subject: Subject) -> None:
    """If it has merge, an encoder whose weights took it in gives by itself what the encoder gives
    with it, and the encoder it was merged from stays as it was.
    """
    encoder = host()
    module = stirred(subject, encoder=encoder)
    if not hasattr(module, "merge"):
        return
    batch, acting = batch_of(rows_of()), together(subject, module)
    plain = encoded(encoder, batch).hidden_TH
    expected = encoded(encoder, batch, [*acting.values()]).hidden_TH
    merged = merged_encoder(encoder, acting)
    found = encoded(merged, batch).hidden_TH
    require_close(found, expected, "the merged encoder differs from the encoder with its adapter")
    same = torch.equal(encoded(encoder, batch).hidden_TH, plain)
    require(same, "merging changes the encoder that was copied")
    require(not torch.equal(found, plain), "merging changes nothing")


def half_precision(subject: Subject) -> None:
    """Under bf16 autocast the encoder's output is finite and gradients are fp32."""
    model = model_of(subject)
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(model, "first")
    require_finite(loss, "the loss")
    loss.backward()  # type: ignore[no-untyped-call]
    for name, value in gradients(model).items():
        if value is not None:
            require(value.dtype == torch.float32, f"the gradient of {name} is {value.dtype}")
            require_finite(value, f"the gradient of {name}")


def _loss(model: MultiTaskModel, task: str) -> Tensor:
    """A sum of hidden states and pooled outputs with random weights."""
    output = model.encode(batch_of(rows_of()), task, want=POOLED)
    assert output.pooled_RH is not None
    draws = torch.Generator().manual_seed(6)
    parts = [output.hidden_TH.float(), output.pooled_RH.float()]
    return torch.stack([(p * torch.randn(p.shape, generator=draws)).sum() for p in parts]).sum()


def _head(encoder: Encoder, task: str) -> Head:
    spec: Any = installed().get("head", "bertmod/classification").spec
    context = HeadContext(task, encoder.shape, TaskInfo(LABELS), initialise)
    return cast(Head, spec.build(spec.config(), context))


CHECKS = (
    gradients_where_declared,
    idle_tasks,
    replaced_outputs,
    packed_and_padded,
    rows_independent,
    mixed_tasks,
    tasks_independent,
    layers_respected,
    merges,
    half_precision,
)
