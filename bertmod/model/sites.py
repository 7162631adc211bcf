"""Which adapters an encoder meets at its sites.

Shape letters: T tokens, I width into a site, O width out of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import BatchContext, Span
from bertmod.contracts.encoder import Encoder, EncoderShape

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

    Each task's adapters get the neighbouring tokens of their task. A task that adds nothing at a
    delta site where another does adds zeros.

    Args:
        adapters: Each span's adapters, in the order of ``context.spans``.
        context: Row layout of the batch.
        shape: The encoder's shape.
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
        """Whether any task's adapter acts there."""
        return any(own.uses(site, layer) for _, own in self.parts)

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """The new y of all tokens; see ``TaskSites``."""
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
