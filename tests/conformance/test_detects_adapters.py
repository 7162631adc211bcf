"""Each check of adapters fails for an adapter that is broken in just the way it looks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bertmod import AdapterContext, AdapterSpec, EmptyConfig, TensorName
from bertmod.testing import adapters, adapters_in_model


class Gate(nn.Module):
    """A scale per unit and a mean over the row, at the output of every layer: nothing wrong."""

    site = "layer_output"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__()
        self.sites = {self.site: context.layers}
        self.replaces: frozenset[tuple[str, int]] = frozenset()
        width = context.shape.sites[self.site].out_width
        self.scale = nn.ParameterDict(
            {str(layer): nn.Parameter(torch.ones(width)) for layer in context.layers}
        )

    def forward(self, site: str, layer: int, x_TI: Tensor, y_TO: Any, context: Any) -> Tensor:
        return self.gated(y_TO, layer, context)

    def gated(self, y: Tensor, layer: int, context: Any) -> Tensor:
        rows, mask = context.pad(y)
        mean = rows.sum(1) / mask.sum(1, keepdim=True)
        mixed = y + 0.1 * mean.index_select(0, context.row_of_token_T)
        return context.dropout(mixed * self.scale[str(layer)], 0.1)


def spec_of(module: type[Gate] = Gate, **changed: Any) -> AdapterSpec:
    def width(shape: Any) -> int:
        return shape.sites[module.site].out_width

    about: dict[str, Any] = {
        "name": "gate",
        "config": EmptyConfig,
        "build": lambda config, context: module(context),
        "sites": lambda config, shape, layers: {module.site: layers},
        "num_parameters": lambda config, shape, layers: len(layers) * width(shape),
        "summary": "One scale per unit and layer.",
    }
    return AdapterSpec(**{**about, **changed})


class WrongLayers(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.sites = {self.site: (0, 1, 2)}


class ExtraParameter(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.forgotten = nn.Parameter(torch.zeros(3))


class NarrowOutput(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        return super().forward(site, layer, x_TI, y_TO, context)[:, :-1]


class NotFinite(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        return super().forward(site, layer, x_TI, y_TO, context) / 0.0


class SaysTokenWise(Gate):
    """It is not: there is a mean over the row."""

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.token_wise = True

    def forward(self, site, layer, x_TI, y_TO, context):
        return y_TO - 0.1 * y_TO.mean(0)


class Counting(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, site, layer, x_TI, y_TO, context):
        self.calls += 1
        return super().forward(site, layer, x_TI, y_TO, context)


class Remembering(Gate):
    last = 0.0

    def forward(self, site, layer, x_TI, y_TO, context):
        out = super().forward(site, layer, x_TI, y_TO, context) + self.last
        self.last = float(out.detach().mean())
        return out


class WritesToY(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        with torch.no_grad():
            y_TO.mul_(2)
        return super().forward(site, layer, x_TI, y_TO, context)


class WritesInTraining(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        if context.training:
            x_TI.data.mul_(2)
        return super().forward(site, layer, x_TI, y_TO, context)


class ReadsMemoryOfY(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        flat = torch.as_strided(y_TO, y_TO.shape, (y_TO.shape[1], 1))
        return super().forward(site, layer, x_TI, flat, context)


class OwnDropout(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.drop = nn.Dropout(0.5)

    def forward(self, site, layer, x_TI, y_TO, context):
        return self.drop(super().forward(site, layer, x_TI, y_TO, context))


class OwnGenerator(Gate):
    draws = torch.Generator()

    def forward(self, site, layer, x_TI, y_TO, context):
        out = super().forward(site, layer, x_TI, y_TO, context)
        return out * torch.rand(out.shape, generator=self.draws) if context.training else out


class OneDtype(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        torch.mm(x_TI.double().to(x_TI.dtype).T, y_TO)  # refuses unequal dtypes, even in autocast
        return torch.addcmul(y_TO, x_TI, y_TO).lerp(y_TO, x_TI)


class HalfParameters(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.bfloat16()


class RandomStart(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        draws = torch.Generator()
        draws.seed()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.rand(parameter.shape, generator=draws))


SHARED = nn.Parameter(torch.ones(24))


class SharedBetweenTasks(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.scale = nn.ParameterDict({str(layer): SHARED for layer in context.layers})


class StateOutside(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.hidden = torch.rand(24)

    def forward(self, site, layer, x_TI, y_TO, context):
        return super().forward(site, layer, x_TI, y_TO, context) * self.hidden


class CopyShares(Gate):
    def __deepcopy__(self, memo: Any) -> CopyShares:
        return self


class AllLayers(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(replace(context, layers=(0, 1)))


class ZeroGradient(Gate):
    def gated(self, y, layer, context):
        scale = self.scale[str(layer)]
        return y * scale.detach() + 0.0 * scale


class Detached(Gate):
    def forward(self, site, layer, x_TI, y_TO, context):
        return super().forward(site, layer, x_TI, y_TO, context).detach() + y_TO


class IgnoresY(Gate):
    site = "output_norm"

    def forward(self, site, layer, x_TI, y_TO, context):
        return super().forward(site, layer, x_TI, x_TI, context)


class ReplacesFalsely(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        self.replaces = frozenset((self.site, layer) for layer in context.layers)


EVERY: list[Gate] = []


class TouchesOthers(Gate):
    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        EVERY.append(self)

    def forward(self, site, layer, x_TI, y_TO, context):
        out = super().forward(site, layer, x_TI, y_TO, context)
        return out + sum(each.scale[str(layer)].sum() for each in EVERY[-2:]) * 1e-3


class MixesRows(Gate):
    def gated(self, y, layer, context):
        return (y + y.mean(0)) * self.scale[str(layer)]


class PaddingCounts(Gate):
    def gated(self, y, layer, context):
        return super().gated(y, layer, context) + len(y) / 1000


class FirstTaskOnly(Gate):
    def gated(self, y, layer, context):
        out = super().gated(y, layer, context)
        return out + 0.1 * float(context.task_of_row_R[0])


class ActsEverywhere(Gate):
    """Changes the hidden states of a layer that it was not asked to act in."""

    site = "layer_output"

    def __init__(self, context: AdapterContext) -> None:
        super().__init__(context)
        every = tuple(range(context.shape.num_hidden_layers))
        self.sites = {self.site: every}
        self.scale = nn.ParameterDict({str(n): nn.Parameter(torch.ones(24)) for n in every})


class MergesWrongly(Gate):
    site = "ffn_up"

    def gated(self, y, layer, context):
        return y * self.scale[str(layer)]

    def merge(self, site, layer, projection):
        projection(site, layer)[0].mul_(self.scale[str(layer)][:, None])


class Overflows(Gate):
    def gated(self, y, layer, context):
        out = super().gated(y, layer, context)
        return out if y.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") else out / 0


BROKEN = [
    ("sites", WrongLayers, "module.sites is {'layer_output': (0, 1, 2)}"),
    ("parameter_count", ExtraParameter, "num_parameters says 48, the module has 51"),
    ("output_at_init", NarrowOutput, "returns shape (23, 23)"),
    ("output_at_init", NotFinite, "is not finite"),
    ("token_wise", SaysTokenWise, "a token's y depends on others, yet it says token_wise"),
    ("calls_are_pure", Counting, "calls change its calls"),
    ("calls_are_pure", Remembering, "the same call gives something else"),
    ("inputs_not_written", WritesToY, "it writes to y"),
    ("inputs_not_written", WritesInTraining, "it writes to x in training"),
    ("inputs_not_written", ReadsMemoryOfY, "a non-contiguous y gives another output"),
    ("dropout_from_context", OwnDropout, "use context.dropout, not nn.Dropout"),
    ("dropout_from_context", OwnGenerator, "dropout does not follow torch's seed"),
    ("mixed_dtypes", OneDtype, "RuntimeError"),
    ("mixed_dtypes", HalfParameters, "parameters are not fp32: scale.0, scale.1"),
    ("built_from_seed", RandomStart, "two builds from one seed differ in scale.0, scale.1"),
    ("tasks_apart", SharedBetweenTasks, "the adapters of two tasks share parameters"),
    ("save_and_load", StateOutside, "the output differs after saving and loading"),
    ("copies", CopyShares, "a copy shares parameters with it"),
    ("layer_subsets", AllLayers, 'site "layer_output" has layers (0, 1)'),
    ("gradients_where_declared", Detached, "no gradient reaches adapters.first.own.scale.0"),
    ("gradients_where_declared", ZeroGradient, "no gradient reaches adapters.first.own.scale.0"),
    ("gradients_where_declared", IgnoresY, "belongs in replaces"),
    ("gradients_where_declared", ExtraParameter, "no gradient reaches adapters.first.own.forg"),
    ("idle_tasks", TouchesOthers, "gives a gradient to scale.0, scale.1"),
    ("replaced_outputs", ReplacesFalsely, "it uses the y that it says it replaces"),
    ("packed_and_padded", PaddingCounts, "packed and padded rows give different hidden states"),
    ("rows_independent", MixesRows, "row 0 differs when it is alone in its batch"),
    ("mixed_tasks", FirstTaskOnly, 'the rows of task "second" differ beside those of other'),
    ("tasks_independent", SharedBetweenTasks, "changing one task's adapter changes another"),
    ("layers_respected", ActsEverywhere, "it changes the output of layer 0"),
    ("merges", MergesWrongly, "the merged encoder differs from the encoder with its adapter"),
    ("half_precision", Overflows, "is not finite"),
]


def test_nothing_is_wrong_with_the_sound_one(verdicts) -> None:
    assert verdicts(spec_of()) == {}


@pytest.mark.parametrize(("check", "module", "told"), BROKEN)
def test_a_broken_one_is_found(verdict, check: str, module: type[Gate], told: str) -> None:
    EVERY.clear()
    text = verdict(spec_of(module), check)
    assert text.startswith('adapter "gate" with its default options: ')
    assert told in text
    assert "\n  the contract: " in text


def test_names_that_lack_a_tensor_are_found(verdict) -> None:
    def names(config: Any, shape: Any, layers: Any) -> list[TensorName]:
        return [TensorName("scale.0", (24,), {})]

    told = verdict(spec_of(names=names), "tensor_names")
    assert "the module has tensors that its names lack: scale.1" in told


def test_names_with_a_wrong_shape_are_found(verdict) -> None:
    def names(config: Any, shape: Any, layers: Any) -> list[TensorName]:
        return [TensorName(f"scale.{layer}", (layer + 24,), {}) for layer in layers]

    told = verdict(spec_of(names=names), "tensor_names")
    assert "scale.1 has shape (24,), its name says (25,)" in told


def test_a_site_that_is_not_there_is_found(verdict) -> None:
    told = verdict(spec_of(sites=lambda *_: {"nowhere": (0,)}), "sites")
    assert 'site "nowhere" is not one of embedding_output, query, key' in told


def test_a_site_that_is_not_there_is_told_before_the_builder_looks_for_it(verdict) -> None:
    spec = spec_of(sites=lambda *_: {"nowhere": (0,)}, build=lambda _, about: {}["nowhere"])
    assert 'site "nowhere" is not one of embedding_output' in verdict(spec, "sites")


def test_without_its_sites_the_other_checks_say_what_to_mend(verdicts) -> None:
    spec = spec_of(sites=lambda *_: {"nowhere": (0,)}, build=lambda _, about: {}["nowhere"])
    found = verdicts(spec)
    told = "it acts at nowhere, which the encoder does not have: mend the check sites first"
    assert len(found) > 20
    assert [name for name, text in found.items() if told not in text] == ["sites"]


def test_every_check_has_a_broken_adapter(own_checks) -> None:
    found = {check for check, _, _ in BROKEN} | {"tensor_names"}
    assert found == own_checks((*adapters.CHECKS, *adapters_in_model.CHECKS))
