"""Which adapters an encoder meets at its sites.

Shape letters: T tokens, I width into a site, O width out of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module

from bertmod.contracts.adapter import (
    Adapter,
    AdapterContext,
    GroupableAdapter,
    TokenWiseAdapter,
)
from bertmod.contracts.batch import BatchContext, Span
from bertmod.contracts.encoder import Encoder, EncoderShape, SiteCalls

Place = tuple[str, int]


class TaskSites:
    """Site calls of a batch whose rows belong to one task.

    Args:
        adapters: The task's adapters, in the order in which they act.
        context: Row layout of the batch.
    """

    def __init__(self, adapters: Sequence[Adapter], context: BatchContext) -> None:
        self.context = context
        self.acting: Mapping[Place, Sequence[Adapter]] = _by_place(adapters)

    def uses(self, site: str, layer: int) -> bool:
        """Whether any adapter acts there."""
        return (site, layer) in self.acting

    def token_wise(self, site: str, layer: int) -> bool:
        """Whether every adapter that acts there acts on each token by itself."""
        return all(
            isinstance(adapter, TokenWiseAdapter) and adapter.token_wise
            for adapter in self.acting.get((site, layer), ())
        )

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """The new y: each adapter acts on what the one before it returned.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, (tokens, in width).
            y_TO: Output of the site, (tokens, out width); None at a delta site.

        Returns:
            (tokens, out width), of y's dtype, or of x's where there is no y.
        """
        for adapter in self.acting[site, layer]:
            dtype = x_TI.dtype if y_TO is None else y_TO.dtype
            y_TO = adapter(site, layer, x_TI, y_TO, self.context).to(dtype)
        assert y_TO is not None
        return y_TO


class SpanSites:
    """Site calls of a batch whose rows belong to several tasks and are ordered by task.

    Each task's adapters get the neighbouring tokens of their task. Where all tasks of the batch
    have the same list of adapters, those of a class that offers ``group`` act as one on all
    tokens; nothing is grouped while training.

    Args:
        adapters: Each span's adapters by id, in the order of ``context.spans``.
        context: Row layout of the batch.
        shape: The encoder's shape.
    """

    def __init__(
        self,
        adapters: Sequence[Mapping[str, Adapter]],
        context: BatchContext,
        shape: EncoderShape,
    ) -> None:
        self.stages = tuple(_stages(adapters, context, shape))

    def uses(self, site: str, layer: int) -> bool:
        """Whether any task's adapter acts there."""
        return any(stage.uses(site, layer) for stage in self.stages)

    def token_wise(self, site: str, layer: int) -> bool:
        """Whether nobody acts there: whose a token is, is known of whole batches alone."""
        return not self.uses(site, layer)

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """The new y of all tokens; see ``TaskSites``."""
        for stage in self.stages:
            if stage.uses(site, layer):
                y_TO = stage(site, layer, x_TI, y_TO)
        assert y_TO is not None
        return y_TO


class _Slices:
    """Adapters that each get the tokens of one span.

    A task that adds nothing at a delta site where another does adds zeros.
    """

    def __init__(
        self, adapters: Sequence[Sequence[Adapter]], context: BatchContext, shape: EncoderShape
    ) -> None:
        self.shape = shape
        self.parts: list[tuple[Span, TaskSites]] = [
            (span, TaskSites(own, context.narrow(span)))
            for span, own in zip(context.spans, adapters, strict=True)
        ]

    def uses(self, site: str, layer: int) -> bool:
        return any(own.uses(site, layer) for _, own in self.parts)

    def token_wise(self, site: str, layer: int) -> bool:
        return not self.uses(site, layer)

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        news = []
        for span, own in self.parts:
            tokens = slice(span.first_token, span.end_token)
            x, y = x_TI[tokens], None if y_TO is None else y_TO[tokens]
            if own.uses(site, layer):
                news.append(own(site, layer, x, y))
            else:
                width = self.shape.sites[site].out_width
                news.append(x.new_zeros((len(x), width)) if y is None else y)
        return torch.cat(news)


def _stages(
    adapters: Sequence[Mapping[str, Adapter]], context: BatchContext, shape: EncoderShape
) -> Iterator[SiteCalls]:
    """What acts one after another: groups, and between them slices."""
    grouped = {} if context.training else dict(_groups(adapters, context))
    waiting: list[list[Adapter]] = [[] for _ in adapters]
    if not grouped:
        yield _Slices([list(own.values()) for own in adapters], context, shape)
        return
    for id_ in adapters[0]:
        if id_ not in grouped:
            for own, each in zip(adapters, waiting, strict=True):
                each.append(own[id_])
            continue
        if waiting[0]:
            yield _Slices(waiting, context, shape)
            waiting = [[] for _ in adapters]
        yield TaskSites((grouped[id_],), context)
    if waiting[0]:
        yield _Slices(waiting, context, shape)


def _groups(
    adapters: Sequence[Mapping[str, Adapter]], context: BatchContext
) -> Iterator[tuple[str, Adapter]]:
    """The ids whose adapters act as one, with what acts for them."""
    first = adapters[0]
    if any(list(own) != list(first) for own in adapters):
        return
    numbers = [span.task for span in context.spans]
    for id_, adapter in first.items():
        same = [own[id_] for own in adapters]
        if not isinstance(adapter, GroupableAdapter) or any(
            type(each) is not type(adapter) or each.sites != adapter.sites for each in same
        ):
            continue
        one = type(adapter).group(dict(zip(numbers, same, strict=True)))
        if one is not None:
            yield id_, one


def check_sites(adapter: Adapter, shape: EncoderShape, *, owner: str) -> None:
    """Refuse an adapter that would act where an encoder has nothing.

    Args:
        adapter: The adapter.
        shape: The encoder's shape.
        owner: What the message calls the adapter.

    Raises:
        ValueError: If the encoder lacks one of its sites, or a layer of it.
    """
    for site, layers in adapter.sites.items():
        if site not in shape.sites:
            known = ", ".join(shape.sites)
            raise ValueError(f'{owner} acts at "{site}", but the encoder\'s sites are {known}')
        count = 1 if site in shape.end_sites else shape.num_hidden_layers
        if beyond := [layer for layer in layers if not 0 <= layer < count]:
            raise ValueError(
                f'{owner} acts at "{site}" in layer {beyond[0]}, but the encoder has the layers '
                f"0 to {count - 1} there"
            )


def adapter_context(
    encoder: Encoder, task: str, *, layers: Sequence[int], init: Callable[[Module], None]
) -> AdapterContext:
    """What the builder of a task's adapter gets.

    Args:
        encoder: The encoder that the adapter will sit in, its checkpoint loaded.
        task: Id of the task.
        layers: The layers chosen for it, ascending, from 0.
        init: Puts initial values into a module.
    """
    return AdapterContext(
        task=task,
        shape=encoder.shape,
        layers=tuple(layers),
        new_layer=encoder.new_layer,
        weights=partial(site_weights, encoder),
        init=init,
    )


def site_weights(encoder: Encoder, site: str, layer: int) -> tuple[Tensor, ...]:
    """Copies of what lies behind a projection or norm site, as an adapter's builder gets them.

    Args:
        encoder: The encoder, its checkpoint loaded.
        site: Name of the site.
        layer: Layer, from 0.

    Returns:
        Weight (out, in) and bias (out,), or gain and offset (out,) each, without gradient.

    Raises:
        ValueError: If the encoder has no projection or norm site of that name.
    """
    known = encoder.shape.sites.get(site)
    find = encoder.norm if known is not None and known.kind == "norm" else encoder.projection
    return tuple(view.detach().clone() for view in find(site, layer))


def _by_place(adapters: Sequence[Adapter]) -> Mapping[Place, Sequence[Adapter]]:
    acting: dict[Place, list[Adapter]] = defaultdict(list)
    for adapter in adapters:
        for site, layers in adapter.sites.items():
            for layer in layers:
                acting[site, layer].append(adapter)
    return dict(acting)
