"""Each check of encoders fails for an encoder that is broken in just the way it looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.library import installed
from bertmod.testing import encoder_sites, encoders

OPTIONS = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 30}
SPEC: Any = installed().get("encoder", "bertmod/bert").spec


def spec_of(module: type[nn.Module] = BertEncoder, **changed: Any) -> Any:
    return replace(SPEC, build=lambda config, context: module(config, context), **changed)


class Sites:
    """Site calls with one answer changed on the way to or from the encoder."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def uses(self, site, layer):
        return self.inner.uses(site, layer)

    def __call__(self, site, layer, x, y):
        return self.inner(site, layer, x, y)


class Tampering(BertEncoder):
    """An encoder whose sites are seen through a wrapper."""

    wrapper: type[Sites] = Sites

    def forward(self, batch, sites=None, *, want):
        wrapped = self.wrapper(sites) if sites is not None else Sites(None)
        return super().forward(batch, wrapped, want=want)


def through(cls: type[Sites]) -> type[Tampering]:
    return type(cls.__name__, (Tampering,), {"wrapper": cls})


class Deaf(Sites):
    def uses(self, site, layer):
        return site != "ffn_up" and self.inner.uses(site, layer)


class Twice(Sites):
    def __call__(self, site, layer, x, y):
        self.inner(site, layer, x, y)
        return self.inner(site, layer, x, y)


class WrongX(Sites):
    def __call__(self, site, layer, x, y):
        return self.inner(site, layer, x[:, :-1], y)


class Pushy(Sites):
    def uses(self, site, layer):
        return True


class Ignoring(Sites):
    def __call__(self, site, layer, x, y):
        new = self.inner(site, layer, x, y)
        return new if y is None or site != "key" else y


class Writing(Sites):
    def __call__(self, site, layer, x, y):
        new = self.inner(site, layer, x, y).clone()
        if y is not None:
            y.zero_()
        return new


class LayerLost(BertEncoder):
    @property
    def blocks(self):
        return super().blocks[:1]


class PooledAlways(BertEncoder):
    def forward(self, batch, sites, *, want):
        return super().forward(batch, sites, want=want | {"pooled"})


class ActiveAll(BertEncoder):
    def active(self, want):
        return super().active(want | {"pooled"})


class Flat(BertEncoder):
    def depth(self, parameter):
        return min(super().depth(parameter), 1)


class SameLayer(BertEncoder):
    def new_layer(self):
        return self.blocks[0]


class Doubled(BertEncoder):
    """The layers' inputs are moved before them."""

    def forward(self, batch, sites, *, want):
        output = super().forward(batch, sites, want=want)
        layers = output.layers and tuple(self.moved(each, batch) for each in output.layers)
        return replace(output, hidden_TH=self.moved(output.hidden_TH, batch), layers=layers)

    def moved(self, hidden, batch):
        return hidden


class PaddingSeen(Doubled):
    def moved(self, hidden, batch):
        return hidden + len(hidden) / 1000


class RowsMixed(Doubled):
    def moved(self, hidden, batch):
        return hidden + hidden.mean(0)


class OwnDropout(Doubled):
    def moved(self, hidden, batch):
        return torch.dropout(hidden, 0.3, self.training)


class Overflows(Doubled):
    def moved(self, hidden, batch):
        return hidden / 0 if torch.is_autocast_enabled("cpu") else hidden


class Unnamed(BertEncoder):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.extra = nn.Parameter(torch.zeros(2))


class Elsewhere(Doubled):
    """Part of what it computes with is no parameter."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.offset = torch.rand(12)

    def moved(self, hidden, batch):
        return hidden + self.offset


class RandomStart(BertEncoder):
    def __init__(self, config, context):
        super().__init__(config, context)
        draws = torch.Generator()
        draws.seed()
        with torch.no_grad():
            self.pooler.dense.bias.copy_(torch.rand(12, generator=draws))


class Copies(BertEncoder):
    def projection(self, site, layer):
        return tuple(each.clone() for each in super().projection(site, layer))


class WrongProjection(BertEncoder):
    def projection(self, site, layer):
        return super().projection("key" if site == "query" else site, layer)


class NormAnywhere(BertEncoder):
    def norm(self, site, layer):
        return super().norm("output_norm", layer)


class NormCopies(BertEncoder):
    def norm(self, site, layer):
        return tuple(each.clone() for each in super().norm(site, layer))


BROKEN: list[tuple[str, Any, str]] = [
    ("shape", LayerLost, "1 blocks, its spec says 2 layers"),
    ("outputs", PooledAlways, "pooled is given although nobody wants it"),
    ("active_parameters", ActiveAll, "active has pooler.dense.bias, pooler.dense.weight"),
    ("depths", Flat, "TensorName.depth of"),
    ("new_layers", SameLayer, "two new layers share parameters"),
    ("packed_and_padded", PaddingSeen, "packed and padded rows give different hidden states"),
    ("rows_independent", RowsMixed, "row 0 differs when it is alone in its batch"),
    ("dropout_from_context", OwnDropout, "module.train() changes the output"),
    ("half_precision", Overflows, "the output is not finite"),
    ("tensor_names", Unnamed, "the module has tensors that its names lack: extra"),
    ("save_and_load", Elsewhere, "the output differs after saving and loading"),
    ("built_from_seed", RandomStart, "two builds from one seed differ in pooler.dense.bias"),
    ("sites_called", through(Deaf), "never called: ffn_up of layer 0, ffn_up of layer 1"),
    ("sites_called", through(Twice), "called more than once in a forward"),
    ("sites_called", through(WrongX), "x has shape (23, 11), not declared 12"),
    ("unused_sites", through(Pushy), "called although uses() is false"),
    ("answers_used", through(Ignoring), 'at site "key" of layer 0, the answer of an adapter'),
    ("inputs_kept", through(Writing), "y is written to after the call"),
    ("projections", Copies, "projection gives copies"),
    ("projections", WrongProjection, 'at site "query" of layer 0, y is not x through that'),
    ("norms", NormAnywhere, "norm gives something: raise ValueError"),
    ("norms", NormCopies, "norm gives copies: writing to them changes nothing"),
]


def test_nothing_is_wrong_with_the_sound_one(verdicts) -> None:
    assert verdicts(spec_of(), configs=[OPTIONS]) == {}


@pytest.mark.parametrize(("check", "module", "told"), BROKEN)
def test_a_broken_one_is_found(verdict, check: str, module: Any, told: str) -> None:
    text = verdict(spec_of(module), check, configs=[OPTIONS])
    assert told in text
    assert text.startswith('encoder "bert" with options {"hidden_size": 12')


def test_every_check_has_a_broken_encoder(own_checks) -> None:
    found = {check for check, _, _ in BROKEN}
    assert found == own_checks((*encoders.CHECKS, *encoder_sites.CHECKS))
