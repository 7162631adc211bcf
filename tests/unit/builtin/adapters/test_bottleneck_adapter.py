"""Bottleneck adapters: what is computed, how they start, LayerNorms of a task's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertmod import HeadContext, Problem, TaskInfo
from bertmod.builtin.adapters.bottleneck_config import BottleneckConfig, check
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.sites import TaskSites
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

CONTEXT = RowContext.of(np.array([3, 2]))
WANT = frozenset({"layers", "pooled"})
NORMS = ["attention_norm", "output_norm"]


@pytest.mark.parametrize(
    ("sites", "parallel", "width_in", "width_out"),
    [
        (["attention_output", "ffn_output"], [], 24, 24),
        (["attention_output", "ffn_output"], ["ffn_output"], 24, 24),
        (["ffn_activation"], [], 40, 40),
    ],
)
def test_what_it_computes(make, sites, parallel, width_in, width_out) -> None:
    built = make("bottleneck", bottleneck_size=5, sites=sites, parallel=parallel, init_scale=None)
    module = built.module
    x, y = torch.randn(5, width_in), torch.randn(5, width_out)
    for site in sites:
        down, up = module.down[site]["3"], module.up[site]["3"]
        read = x if site in parallel else y
        wanted = y + F.gelu(read @ down.weight.T + down.bias) @ up.weight.T + up.bias
        torch.testing.assert_close(module(site, 3, x, y, CONTEXT), wanted)


def test_it_starts_near_the_identity(make, encoder, batch) -> None:
    module = make("bottleneck").module
    weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
    spread = torch.cat([p.detach().flatten() for p in weights])
    assert float(spread.abs().max()) <= 2e-3
    assert float(spread.std()) == pytest.approx(0.88e-3, rel=0.02)  # of the cut-off distribution
    assert all(not p.any() for name, p in module.named_parameters() if name.endswith("bias"))
    plain = encoder(batch, want=WANT)
    found = encoder(batch, TaskSites([module], batch.context), want=WANT)
    difference = (found.pooled_RH - plain.pooled_RH).detach().abs().max()
    assert 0 < float(difference) < 1e-3


def test_initialised_as_the_recipe_says(make) -> None:
    module = make("bottleneck", init_scale=None).module
    spread = torch.cat([p.detach().flatten() for p in module.down.parameters() if p.dim() == 2])
    assert float(spread.std()) == pytest.approx(0.02, rel=0.05)


def test_layer_norms_start_as_the_encoder_s(make, encoder, batch) -> None:
    module = make("bottleneck", sites=[], layer_norms=NORMS).module
    for site in NORMS:
        gain, offset = encoder.norm(site, 3)
        own = module.norm[site]["3"]
        assert torch.equal(own.weight, gain)
        assert torch.equal(own.bias, offset)
        assert own.weight.data_ptr() != gain.data_ptr()
        assert own.eps == 1e-3  # the encoder's, not torch's
    assert module.replaces == {(site, layer) for site in NORMS for layer in (1, 3)}
    plain = encoder(batch, want=WANT)
    found = encoder(batch, TaskSites([module], batch.context), want=WANT)
    assert torch.equal(found.pooled_RH, plain.pooled_RH)


def test_layer_norms_of_its_own_leave_the_encoder_s_idle(make, encoder, batch) -> None:
    adapter = make("bottleneck", layer_norms=NORMS).module
    spec = next(spec for spec in bertmod_heads() if spec.name == "classification")
    info = TaskInfo(("no", "yes"))
    head = spec.build(spec.config(), HeadContext("cola", encoder.shape, info, initialise))
    model = MultiTaskModel(encoder, {"cola": {"houlsby": adapter}}, {"cola": head}).eval()
    ((loss, _),) = model(batch, "cola").losses.values()
    loss.backward()
    graded = {name for name, p in model.named_parameters() if p.grad is not None}
    assert graded == model.active("cola")
    idle = {name for name, _ in model.named_parameters()} - graded
    assert idle == {
        f"encoder.layer.{layer}.{part}.norm.{kind}"
        for layer in (1, 3)
        for part in ("attention", "ffn")
        for kind in ("weight", "bias")
    }
    assert "adapters.cola.houlsby.norm.output_norm.3.weight" in graded


def test_names_in_bert_n_pals(make) -> None:
    built = make("bottleneck", parallel=["ffn_output"], layer_norms=["output_norm"])
    rows = {row.canonical: row for row in built.spec.names(*built.about)}
    there = "encoder.layer.3.{0}output.multi_layers.{{task}}"
    assert rows["down.attention_output.3.weight"].stored == {
        "bert_n_pals": there.format("attention.") + ".aug_dense.weight"
    }
    assert rows["up.ffn_output.3.bias"].stored == {
        "bert_n_pals": there.format("") + ".aug_dense2.bias"
    }
    assert rows["norm.output_norm.3.weight"].stored == {}
    assert rows["norm.output_norm.3.weight"].norm
    serial = make("bottleneck")
    rows = {row.canonical: row for row in serial.spec.names(*serial.about)}
    assert rows["down.ffn_output.3.weight"].stored == {}


def test_problems(encoder) -> None:
    blocks = (
        "accepted: embedding_output, attention_output, ffn_activation, ffn_output, layer_output, "
        "encoder_output"
    )
    config = BottleneckConfig(
        sites=("ffn_output", "query", "ffn_output"),
        parallel=("layer_output",),
        layer_norms=("attention_norm", "layer_output", "absent"),
    )
    assert check(config, encoder.shape, (1,)) == (
        Problem(
            "sites[1]", '"query" is a projection site; a bottleneck goes to a block', (blocks,)
        ),
        Problem("sites[2]", '"ffn_output" is named twice', ("leave one of the two",)),
        Problem(
            "layer_norms[1]",
            '"layer_output" is a block site, not a LayerNorm',
            ("accepted: attention_norm, output_norm",),
        ),
        Problem(
            "parallel[0]",
            '"layer_output" is not one of its sites',
            ("accepted: ffn_output, query, ffn_output",),
        ),
    )
    (problem,) = check(BottleneckConfig(sites=()), encoder.shape, (1,))
    assert problem == Problem("sites", "neither a site nor a LayerNorm: it would do nothing")
