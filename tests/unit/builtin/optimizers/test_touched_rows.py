"""The option touched_rows: which rows of a table move, and how far."""

import copy

import pytest
import torch
from pydantic import ValidationError

from bertmod import ParameterGroup
from bertmod.builtin.optimizers import adamw, bert_adam, plugin, touched_rows

SPECS = {spec.name: spec for spec in plugin.bertmod_optimizers() if spec.name != "lamb"}
ROWS = 50
SHAPES = {"words": (ROWS, 6), "kinds": (2, 6), "linear": (8, 6), "bias": (8,)}
DRAWN = ([3, 7, 8, 41], [7], [], range(1, ROWS), range(ROWS), [0, 3, 49], range(0, ROWS, 2))
"""Rows of ``words`` that the steps touch: few, one, none, all but one, all, half."""

ALL_STEPS = range(len(DRAWN))
LR, DECAY = 0.1, 0.5


def parameters(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype))
        for name, shape in SHAPES.items()
    }


def gradients(step):
    """Of ``words`` for the rows of the step, of ``kinds`` for one, of ``linear`` without a row."""
    generator = torch.Generator().manual_seed(step)
    made = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    untouched = torch.ones(ROWS, dtype=torch.bool)
    untouched[list(DRAWN[step])] = False
    made["words"][untouched] = 0
    made["words"][:, 2] = 0  # a touched row may have zeros
    made["kinds"][1] = 0
    made["linear"][5] = 0
    return made


def build(name, made, **options):
    pairs = tuple(made.items())
    groups = [
        ParameterGroup("decayed", pairs[:3], LR, DECAY, tables=frozenset({"words", "kinds"})),
        ParameterGroup("plain", pairs[3:], LR, 0.0),
    ]
    return SPECS[name].build(SPECS[name].config(**options), groups)


def train(optimizer, made, steps=ALL_STEPS):
    for step in steps:
        for name, gradient in gradients(step).items():
            made[name].grad = gradient
        optimizer.step()
    return made


def reference(name, steps):
    """Values and moments in fp64, row by row as the option says."""
    bert = name == "bert_adam"
    eps = 1e-6 if bert else 1e-8
    values = {key: p.detach() for key, p in parameters(torch.float64).items()}
    first = {key: torch.zeros_like(p) for key, p in values.items()}
    second = copy.deepcopy(first)
    for step in steps:
        for key, gradient in gradients(step).items():
            g, (p, m, v) = gradient.double(), (each[key] for each in (values, first, second))
            moves = (g != 0).any(1) if key in ("words", "kinds") else torch.ones(len(g)) > 0
            decay = DECAY if p.ndim > 1 else 0.0
            m[moves] = 0.9 * m[moves] + 0.1 * g[moves]
            v[moves] = 0.999 * v[moves] + 0.001 * g[moves] ** 2
            full = (1.0, 1.0) if bert else (1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1))
            update = (m[moves] / full[0]) / ((v[moves] / full[1]).sqrt() + eps)
            p[moves] = p[moves] - LR * (update + decay * p[moves])
    return values, first, second


@pytest.fixture(params=["one pass", "seven passes"])
def both_ways(request, monkeypatch):
    if request.param == "seven passes":
        for module in (bert_adam, adamw):
            monkeypatch.setattr(module, "can_fuse", lambda _: False)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("block", [3, 512])
@pytest.mark.parametrize("name", SPECS)
def test_as_written_down(name, block, monkeypatch):
    monkeypatch.setattr(touched_rows, "BLOCK", block)
    made = parameters()
    optimizer = build(name, made, touched_rows=True)
    train(optimizer, made)
    values, first, second = reference(name, ALL_STEPS)
    for key, parameter in made.items():
        torch.testing.assert_close(parameter.double(), values[key], rtol=0, atol=3e-6)
        state = optimizer.state[parameter]
        torch.testing.assert_close(state["exp_avg"].double(), first[key], rtol=0, atol=1e-6)
        torch.testing.assert_close(state["exp_avg_sq"].double(), second[key], rtol=0, atol=1e-6)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("step", ALL_STEPS)
def test_rows_without_gradient_keep_every_bit(name, step):
    """Without the option decay and momentum move them; what is no table moves in either case."""
    rows = sorted(set(range(ROWS)) - set(DRAWN[step]))
    for option in (True, False):
        made = parameters()
        optimizer = build(name, made, touched_rows=option)
        train(optimizer, made, steps=[4])  # all rows
        words = made["words"]
        kept = [words, *(optimizer.state[words][key] for key in ("exp_avg", "exp_avg_sq"))]
        before = [each.detach().clone() for each in kept]
        linear = made["linear"].detach().clone()
        train(optimizer, made, steps=[step])
        for old, new in zip(before, kept, strict=True):
            assert torch.equal(old[rows], new[rows]) == (option or not rows)
        assert not torch.equal(linear[5], made["linear"][5])


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("step", ALL_STEPS)
def test_touched_rows_move_as_without_the_option(name, step):
    """To the bit, from equal moments: copies of rows are updated as the rows themselves are."""
    results = []
    for option in (True, False):
        made = parameters()
        optimizer = build(name, made, touched_rows=option)
        train(optimizer, made, steps=[4, step])
        results.append((made, optimizer.state[made["words"]]))
    (ours, our_state), (theirs, their_state) = results
    rows = list(DRAWN[step])
    assert torch.equal(ours["words"][rows], theirs["words"][rows])
    assert our_state.keys() == their_state.keys()
    for key, value in our_state.items():
        pick = rows if value.ndim else ...
        assert torch.equal(value[pick], their_state[key][pick]), key
    for key in ("linear", "bias"):
        assert torch.equal(ours[key], theirs[key])


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("value", [1e-30, -1e-30, 1e-45, float("nan")])
def test_any_gradient_but_zero_touches(name, value):
    """The square of each of these is zero or nothing at all in fp32."""
    made = parameters()
    optimizer = build(name, made, touched_rows=True)
    before = made["words"].detach().clone()
    made["words"].grad = torch.zeros(ROWS, 6)
    made["words"].grad[9, 5] = value
    optimizer.step()
    moved = (made["words"] != before).any(1).nonzero().flatten()
    assert moved.tolist() == [9]


@pytest.mark.parametrize("name", SPECS)
def test_rows_of_a_transposed_table(name):
    straight, turned = parameters(), parameters()
    turned["words"] = torch.nn.Parameter(turned["words"].detach().t().contiguous().t())
    train(build(name, straight, touched_rows=True), straight)
    train(build(name, turned, touched_rows=True), turned)
    assert not turned["words"].is_contiguous()
    torch.testing.assert_close(turned["words"], straight["words"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SPECS)
def test_without_gradient_nothing_moves(name):
    made = parameters()
    optimizer = build(name, made, touched_rows=True)
    train(optimizer, made, steps=[0])
    before, state = made["words"].detach().clone(), copy.deepcopy(optimizer.state[made["words"]])
    made["words"].grad = None
    optimizer.step()
    assert torch.equal(made["words"], before)
    for key, value in optimizer.state[made["words"]].items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize("name", SPECS)
def test_gradients_are_still_there(name):
    made = parameters()
    train(build(name, made, touched_rows=True), made, steps=[0])
    for key, gradient in gradients(0).items():
        assert torch.equal(made[key].grad, gradient)


@pytest.mark.parametrize("name", SPECS)
def test_stopped_and_resumed_is_bit_equal(name):
    straight = parameters()
    train(build(name, straight, touched_rows=True), straight)
    stopped = parameters()
    first = build(name, stopped, touched_rows=True)
    train(first, stopped, steps=range(3))
    resumed = {key: torch.nn.Parameter(p.detach().clone()) for key, p in stopped.items()}
    second = build(name, resumed, touched_rows=True)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    copied, again = copy.deepcopy((first, stopped))
    for optimizer, made in ((second, resumed), (copied, again)):
        train(optimizer, made, steps=range(3, len(DRAWN)))
        assert all(torch.equal(straight[key], made[key]) for key in straight)


@pytest.mark.parametrize("name", SPECS)
def test_no_closure(name):
    with pytest.raises(ValueError, match="takes no closure: call backward before step"):
        build(name, parameters(), touched_rows=True).step(lambda: 0.0)


def test_off_unless_asked_for_and_not_for_lamb():
    """A row's update in LAMB depends on the norm of the whole table."""
    assert not any(spec.config().touched_rows for spec in SPECS.values())
    with pytest.raises(ValidationError, match="touched_rows"):
        plugin.LambConfig(touched_rows=True)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SPECS)
def test_on_a_gpu_as_on_the_cpu(name):
    here = parameters()
    train(build(name, here, touched_rows=True), here)
    there = {key: torch.nn.Parameter(p.detach().cuda()) for key, p in parameters().items()}
    optimizer = build(name, there, touched_rows=True)
    for step in ALL_STEPS:
        for key, gradient in gradients(step).items():
            there[key].grad = gradient.cuda()
        optimizer.step()
    for key, parameter in here.items():
        torch.testing.assert_close(there[key].cpu(), parameter, rtol=1e-6, atol=1e-6)
