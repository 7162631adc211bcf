"""Built-in optimizers: groups, idle parameters, memory layouts, state."""

import copy

import pytest
import torch
from pydantic import ValidationError

from bertmod import ParameterGroup, TrainingError
from bertmod.builtin.optimizers import adamw, bert_adam, plugin

SPECS = {spec.name: spec for spec in plugin.bertmod_optimizers()}
SHAPES = {"weight": (5, 4), "bias": (5,), "scalar": (), "odd": (33, 1003), "late": (3, 2)}


def parameters():
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator))
        for name, shape in SHAPES.items()
    }


def gradients(made, step):
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(p.shape, generator=generator) for name, p in made.items()}


def groups_of(made, learning_rate=0.1, weight_decay=0.01):
    decayed = tuple((n, p) for n, p in made.items() if p.ndim > 1)
    plain = tuple((n, p) for n, p in made.items() if p.ndim <= 1)
    return [
        ParameterGroup("encoder decayed", decayed, learning_rate, weight_decay),
        ParameterGroup("encoder", plain, learning_rate / 2, 0.0),
    ]


def build(name, made, **options):
    spec = SPECS[name]
    return spec.build(spec.config(), groups_of(made, **options))


def train(optimizer, made, steps=3, start=0):
    for step in range(start, start + steps):
        for name, gradient in gradients(made, step).items():
            made[name].grad = gradient
        optimizer.step()
    return made


def assert_equal(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(params=["one pass", "seven passes"])
def both_ways(request, monkeypatch):
    if request.param == "seven passes":
        for module in (bert_adam, adamw):
            monkeypatch.setattr(module, "can_fuse", lambda _: False)


def test_names():
    assert list(SPECS) == ["bert_adam", "adamw", "lamb"]


@pytest.mark.parametrize("name", SPECS)
def test_one_torch_group_per_group(name):
    made = parameters()
    optimizer = build(name, made, weight_decay=0.05)
    assert isinstance(optimizer, torch.optim.Optimizer)
    first, second = optimizer.param_groups
    assert (first["name"], first["lr"], first["weight_decay"]) == ("encoder decayed", 0.1, 0.05)
    assert (second["name"], second["lr"], second["weight_decay"]) == ("encoder", 0.05, 0.0)
    assert first["param_names"] == ["weight", "odd", "late"]
    assert [p.shape for p in second["params"]] == [made["bias"].shape, made["scalar"].shape]


@pytest.mark.usefixtures("both_ways")
def test_bert_adam_as_written_down():
    made = parameters()
    optimizer = build("bert_adam", made)
    expected = {name: p.detach().double().clone() for name, p in made.items()}
    first = {name: torch.zeros_like(p) for name, p in expected.items()}
    second = copy.deepcopy(first)
    train(optimizer, made, steps=4)
    for step in range(4):
        for name, gradient in gradients(made, step).items():
            g, p = gradient.double(), expected[name]
            lr, decay = (0.1, 0.01) if p.ndim > 1 else (0.05, 0.0)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.999 * second[name] + 0.001 * g * g
            update = first[name] / (second[name].sqrt() + 1e-6) + decay * p
            expected[name] = p - lr * update
    for name, parameter in made.items():
        torch.testing.assert_close(parameter.double(), expected[name], rtol=0, atol=2e-6)
        state = optimizer.state[parameter]
        assert set(state) == {"exp_avg", "exp_avg_sq"}
        torch.testing.assert_close(state["exp_avg"].double(), first[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(state["exp_avg_sq"].double(), second[name], rtol=0, atol=1e-6)


@pytest.mark.usefixtures("both_ways")
def test_adamw_is_torchs():
    made, expected = parameters(), parameters()
    rows = [{"params": [p for p in expected.values() if p.ndim > 1], "weight_decay": 0.01}]
    rows.append({"params": [p for p in expected.values() if p.ndim <= 1], "lr": 0.05})
    peer = torch.optim.AdamW(rows, lr=0.1, weight_decay=0.0, foreach=False)
    train(build("adamw", made), made)
    train(peer, expected)
    for name, parameter in made.items():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", SPECS)
def test_without_gradient_nothing_moves(name):
    made = parameters()
    optimizer = build(name, made)
    train(optimizer, made)
    before = made["weight"].detach().clone()
    state = {key: value.clone() for key, value in optimizer.state[made["weight"]].items()}
    for parameter in made.values():
        parameter.grad = torch.ones_like(parameter)
    made["weight"].grad = None
    optimizer.step()
    assert torch.equal(made["weight"], before)
    assert_equal(optimizer.state[made["weight"]], state)


@pytest.mark.parametrize("name", SPECS)
def test_never_active_means_no_state(name):
    made = parameters()
    optimizer = build(name, made)
    made["bias"].grad = torch.ones(5)
    optimizer.step()
    assert [p is made["bias"] for p in optimizer.state if optimizer.state[p]] == [True]


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", SPECS)
def test_the_learning_rate_is_read_each_step(name):
    made = parameters()
    optimizer = build(name, made)
    before = copy.deepcopy(made)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(optimizer, made, steps=1)
    assert_equal(made, before)


@pytest.mark.parametrize("name", SPECS)
def test_transposed_gradients_and_parameters(name):
    """torch's one-pass update would pair the wrong entries here, without an error."""
    straight, turned = parameters(), parameters()
    turned["weight"] = torch.nn.Parameter(turned["weight"].detach().t().contiguous().t())
    first, second = build(name, straight), build(name, turned)
    for step in range(3):
        for key, gradient in gradients(straight, step).items():
            straight[key].grad = gradient.clone()
            turned[key].grad = gradient.t().contiguous().t() if gradient.ndim > 1 else gradient
        first.step()
        second.step()
    for key, parameter in straight.items():
        torch.testing.assert_close(turned[key], parameter, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_bits_do_not_depend_on_threads_or_on_the_split(name):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = train(build(name, one := parameters()), one)
        torch.set_num_threads(2)
        together = train(build(name, two := parameters()), two)
    finally:
        torch.set_num_threads(threads)
    assert_equal(alone, together)
    split = parameters()
    spec = SPECS[name]
    single = {key: {key: value} for key, value in split.items()}
    for made in single.values():
        groups = [group for group in groups_of(made) if group.parameters]
        optimizer = spec.build(spec.config(), groups)
        for step in range(3):
            [(key, parameter)] = made.items()
            parameter.grad = gradients(split, step)[key]
            optimizer.step()
    assert_equal(alone, split)


@pytest.mark.parametrize("name", SPECS)
def test_stopped_and_resumed_is_bit_equal(name):
    straight = parameters()
    train(build(name, straight), straight, steps=6)
    stopped = parameters()
    first = build(name, stopped)
    train(first, stopped, steps=3)
    saved = copy.deepcopy(first.state_dict())
    resumed = {key: torch.nn.Parameter(p.detach().clone()) for key, p in stopped.items()}
    second = build(name, resumed)
    second.load_state_dict(saved)
    train(second, resumed, steps=3, start=3)
    assert_equal(straight, resumed)


@pytest.mark.parametrize("name", SPECS)
def test_sparse_gradients_are_refused(name):
    table = torch.nn.Embedding(7, 4, sparse=True)
    group = ParameterGroup("embeddings", (("encoder.words", table.weight),), 0.1, 0.01)
    optimizer = SPECS[name].build(SPECS[name].config(), [group])
    table(torch.tensor([1, 2])).sum().backward()
    before = table.weight.detach().clone()
    with pytest.raises(TrainingError) as caught:
        optimizer.step()
    assert str(caught.value) == (
        f'optimizer "{name}" cannot use the sparse gradient of encoder.words: '
        "build its embedding with sparse=False"
    )
    assert torch.equal(table.weight, before)


def test_bert_adam_takes_no_closure():
    with pytest.raises(ValueError, match="bert_adam takes no closure"):
        build("bert_adam", parameters()).step(lambda: 0.0)


def test_no_gradient_at_all():
    made = parameters()
    build("bert_adam", made).step()
    assert_equal(made, parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"betas": (1.0, 0.9)},
        {"betas": (0.9,)},
        {"eps": 0.0},
        {"weight_decay": 0.1},
        {"lr": 1.0},
    ],
)
@pytest.mark.parametrize("name", SPECS)
def test_options_out_of_range(name, options):
    with pytest.raises(ValidationError):
        SPECS[name].config(**options)


def test_options_from_json():
    config = plugin.BertAdamConfig.model_validate_json('{"betas": [0.8, 0.99]}')
    assert config.betas == (0.8, 0.99)
    assert plugin.AdamWConfig().eps == 1e-8


@pytest.mark.gpu
@pytest.mark.parametrize("name", SPECS)
def test_on_a_gpu_as_on_the_cpu(name):
    here = train(build(name, made := parameters()), made)
    there = {key: torch.nn.Parameter(p.detach().cuda()) for key, p in parameters().items()}
    optimizer = build(name, there)
    for step in range(3):
        for key, gradient in gradients(there, step).items():
            there[key].grad = gradient.cuda()
        optimizer.step()
    for key, parameter in here.items():
        torch.testing.assert_close(there[key].cpu(), parameter, rtol=1e-6, atol=1e-6)
