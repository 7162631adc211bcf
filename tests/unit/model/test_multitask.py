"""One encoder, several tasks: names, composition, what is active, mixed rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod import AdapterContext, Batch, HeadContext, TaskInfo
from bertmod.builtin.adapters.pals import Pals
from bertmod.builtin.adapters.plugin import PalsConfig
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.builtin.heads.config import ClassificationConfig
from bertmod.builtin.heads.modules import Classification
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.sites import site_weights
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

CONFIG = BertConfig(vocab_size=31, hidden_size=12, num_attention_heads=3, max_position_embeddings=9)
WANT = frozenset({"pooled"})


class Scale(torch.nn.Module):
    """Multiplies a site's output by a learned number, or answers a constant instead of it."""

    def __init__(self, site: str, layers=(0, 1), *, start: float = 1.0, replaces=()) -> None:
        super().__init__()
        self.sites = {site: layers}
        self.replaces = frozenset(replaces)
        self.scale = torch.nn.Parameter(torch.tensor(start))

    def forward(self, site, layer, x_TI, y_TO, context):
        base = x_TI if y_TO is None or self.replaces else y_TO
        return base.double() * self.scale


def pals(encoder) -> Pals:
    context = AdapterContext(
        "t", encoder.shape, (0, 1), encoder.new_layer, lambda *_: (), initialise
    )
    return Pals(PalsConfig(bottleneck_size=12), context)


def head(encoder, labels=2) -> Classification:
    info = TaskInfo(labels=tuple("abc"[:labels]))
    return Classification(ClassificationConfig(), HeadContext("t", encoder.shape, info, initialise))


@pytest.fixture
def encoder() -> BertEncoder:
    torch.manual_seed(0)
    module = BertEncoder(CONFIG)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)
    return module


def batch(lengths=(4, 2), tasks=None, layout="packed", labels=None, seed=0) -> Batch:
    context = RowContext.of(np.array(lengths), layout=layout, tasks=tasks)
    count = len(context.position_of_token_T)
    ids = torch.randint(1, 31, (count,), generator=torch.Generator().manual_seed(seed))
    targets = {} if labels is None else {"labels": torch.tensor(labels)}
    return Batch(ids, None, torch.arange(len(lengths)), targets, context)


def test_parameter_names_even_of_odd_ids(encoder) -> None:
    model = MultiTaskModel(
        encoder,
        {"train": {"type": Scale("layer_output")}},
        {"train": head(encoder), "values": head(encoder)},
    )
    outside = [name for name, _ in model.named_parameters() if not name.startswith("encoder.")]
    assert outside == [
        "adapters.train.type.scale",
        "heads.train.classifier.weight",
        "heads.train.classifier.bias",
        "heads.values.classifier.weight",
        "heads.values.classifier.bias",
    ]
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    assert model.tasks == ("train", "values")
    assert model.train().training
    assert model.eval().heads["train"].training is False


def test_adapters_act_in_order_and_answers_take_the_dtype_of_y(encoder) -> None:
    first, second = Scale("layer_output", start=3.0), Scale("layer_output", start=0.5)
    model = MultiTaskModel(
        encoder, {"a": {"x": first, "y": second}}, {"a": head(encoder), "b": head(encoder)}
    ).eval()
    changed = model.encode(batch(), "a", want=WANT)
    assert changed.hidden_TH.dtype == torch.float32
    double = MultiTaskModel(
        encoder, {"a": {"z": Scale("layer_output", start=1.5)}}, {"a": head(encoder)}
    ).eval()
    torch.testing.assert_close(changed.hidden_TH, double.encode(batch(), "a", want=WANT).hidden_TH)
    plain = encoder(batch(), want=WANT).hidden_TH
    torch.testing.assert_close(model.encode(batch(), "b", want=WANT).hidden_TH, plain)
    assert not torch.allclose(changed.hidden_TH, plain)


def test_the_second_adapter_at_a_delta_meets_the_sum_so_far(encoder) -> None:
    seen = []

    class Spy(Scale):
        def forward(self, site, layer, x_TI, y_TO, context):
            seen.append(y_TO)
            return super().forward(site, layer, x_TI, y_TO, context)

    adapters = {"first": Scale("layer_residual", (0,)), "second": Spy("layer_residual", (0, 1))}
    model = MultiTaskModel(encoder, {"a": adapters}, {"a": head(encoder)}).eval()
    model.encode(batch(), "a", want=WANT)
    assert [y is None for y in seen] == [False, True]


def test_dropout_follows_the_mode_of_the_model(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {"a": head(encoder)})
    model.train()
    assert not torch.equal(
        model(batch(), "a").logits["logits"], model(batch(), "a").logits["logits"]
    )
    model.eval()
    noisy = Batch(*(getattr(batch(), name) for name in ("input_ids_T", "token_type_ids_T")),
                  torch.arange(2), {}, batch().context.with_training(True))  # fmt: skip
    assert torch.equal(model(noisy, "a").logits["logits"], model(batch(), "a").logits["logits"])


def test_a_borrowing_task_has_nothing_of_its_own(encoder) -> None:
    model = MultiTaskModel(
        encoder, {"mnli": {"pals": pals(encoder)}}, {"mnli": head(encoder)}, uses={"ax": "mnli"}
    ).eval()
    assert torch.equal(
        model(batch(), "ax").logits["logits"], model(batch(), "mnli").logits["logits"]
    )
    assert model.active("ax") == model.active("mnli")
    with pytest.raises(ValueError, match='the model has no task "rte"; it has mnli, ax'):
        model(batch(), "rte")
    with pytest.raises(ValueError, match='task "b" cannot use "c": a have heads'):
        MultiTaskModel(encoder, {}, {"a": head(encoder)}, uses={"b": "c"})
    with pytest.raises(ValueError, match="adapters of tasks without a head: b"):
        MultiTaskModel(encoder, {"b": {}}, {"a": head(encoder)})


def test_active_parameters_of_a_task(encoder) -> None:
    model = MultiTaskModel(
        encoder,
        {"a": {"pals": pals(encoder)}, "b": {"pals": pals(encoder)}},
        {"a": head(encoder), "b": head(encoder)},
    )
    loss, _ = model(batch(labels=[0, 1]), "a").losses["classification"]
    loss.backward()
    found = {name for name, p in model.named_parameters() if p.grad is not None}
    assert found == model.active("a")
    assert not any(".b." in name for name in found)


def test_replaced_sites_make_their_parameters_idle(encoder) -> None:
    norms = [("output_norm", 0), ("output_norm", 1)]
    projections = [(site, 1) for site in ("query", "key", "value")]
    adapters = {
        "norm": Scale("output_norm", replaces=norms),
        "part": Scale("query", (0,), replaces=[("query", 0)]),
        **{site: Scale(site, (1,), replaces=[(site, layer)]) for site, layer in projections},
    }
    model = MultiTaskModel(encoder, {"a": adapters}, {"a": head(encoder)})
    idle = {name for name, _ in model.named_parameters()} - model.active("a")
    assert idle == {
        *(f"encoder.layer.{n}.ffn.norm.{kind}" for n in (0, 1) for kind in ("weight", "bias")),
        "encoder.layer.1.attention.qkv.weight",
        "encoder.layer.1.attention.qkv.bias",
    }
    loss, _ = model(batch(labels=[0, 1]), "a").losses["classification"]
    loss.backward()
    found = {name for name, p in model.named_parameters() if p.grad is not None}
    assert found == model.active("a")


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_mixed_rows_give_what_each_task_gives_alone(encoder, layout) -> None:
    model = MultiTaskModel(
        encoder,
        {
            "a": {"pals": pals(encoder)},
            "c": {"pals": pals(encoder), "s": Scale("ffn_up", start=2.0)},
        },
        {"a": head(encoder), "b": head(encoder), "c": head(encoder)},
    ).eval()
    lengths, tasks = (5, 2, 5, 1, 3), (0, 0, 1, 2, 2)
    mixed = batch(lengths, tasks, layout)
    pooled = model.encode(mixed, want=WANT).pooled_RH
    starts = mixed.context.first_token_of_row_R
    for row, (length, task) in enumerate(zip(lengths, tasks, strict=True)):
        ids = mixed.input_ids_T[starts[row] : starts[row] + length]
        alone = Batch(ids, None, torch.arange(1), {}, RowContext.of(np.array([length])))
        wanted = model.encode(alone, "abc"[task], want=WANT).pooled_RH
        torch.testing.assert_close(pooled[row : row + 1], wanted, rtol=1e-5, atol=1e-6)


def test_ids_cannot_have_dots(encoder) -> None:
    with pytest.raises(ValueError, match=r'"a\.b" cannot name a part of a model'):
        MultiTaskModel(encoder, {}, {"a.b": head(encoder)})


def test_weights_behind_a_site_are_copies(encoder) -> None:
    weight, bias = site_weights(encoder, "key", 1)
    assert torch.equal(weight, encoder.projection("key", 1)[0])
    assert (weight.shape, bias.shape, weight.requires_grad) == ((12, 12), (12,), False)
    gain, _ = site_weights(encoder, "output_norm", 0)
    gain.zero_()
    assert not torch.equal(gain, encoder.norm("output_norm", 0)[0])
    with pytest.raises(ValueError, match='"layer_output" is not a projection site'):
        site_weights(encoder, "layer_output", 0)


@pytest.mark.slow
def test_one_graph_serves_every_task(encoder) -> None:
    from torch._dynamo.testing import CompileCounter

    tasks = ("a", "b", "c")
    model = MultiTaskModel(
        encoder,
        {task: {"pals": pals(encoder)} for task in tasks},
        {task: head(encoder) for task in tasks},
    ).eval()
    lengths = ((4, 2, 3), (5, 3, 1), (2, 2, 3))
    wanted = {task: [] for task in tasks}
    with torch.no_grad():
        for task in tasks:
            wanted[task] = [warm(model, each, task) for each in lengths]
        counter = CompileCounter()
        encoder.compile(backend=counter, fullgraph=True, dynamic=True)
        for task in tasks:
            for each, outputs in zip(lengths, wanted[task], strict=True):
                torch.testing.assert_close(warm(model, each, task), outputs)
    assert counter.frame_count == 1


def warm(model, lengths, task) -> torch.Tensor:
    rows = batch(lengths)
    _ = rows.context.position_of_token_T, rows.context.first_token_of_row_R, rows.context.mask_RL
    return model(rows, task).logits["logits"]
