"""Layers that compute their activations again make the same steps and keep less."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from bertmod.data.collate import collate
from bertmod.engine.layer_calls import LayerCalls
from bertmod.library import build_adapter

TASKS = ("flag", "size", "other")
ADAPTERS = {
    "bottleneck": {"bottleneck_size": 4, "layer_norms": ("attention_norm",)},
    "lhuc": {},
    "top_layer": {},
    "top_attention": {"bottleneck_size": 4, "num_heads": 2, "num_blocks": 2},
}


def course(toy, *, steps: int = 6, adapter: str | None = None, ranks=None, **options):
    """What some steps with dropout gave, and the parameters after them."""
    model = toy.model(TASKS, dropout=0.2)
    for task in TASKS if adapter else ():
        made = build_adapter(model.encoder, task, adapter, **ADAPTERS[adapter])
        _, head = model.detach(task)
        model.attach(task, {adapter: made}, head)
    if ranks is not None:
        options["ranks"] = ranks
    trainer = toy.trainer(model, **options)
    results = [trainer.train_step() for _ in range(steps)]
    return results, {name: value.numpy() for name, value in toy.values(trainer.model).items()}


def assert_equal(one, other) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    assert [name for name, v in one[1].items() if v.tobytes() != other[1][name].tobytes()] == []


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_the_same_steps_at_every_precision(toy, precision, layout) -> None:
    """Losses, gradient norms and parameters, bit for bit, dropout on."""
    options = {"precision": precision, "layout": layout, "gradient_accumulation_steps": 2}
    assert_equal(course(toy, **options), course(toy, **options, activation_checkpointing=True))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_same_steps_with_every_kind_of_adapter(toy, adapter) -> None:
    options = {"adapter": adapter, "steps": 3}
    assert_equal(course(toy, **options), course(toy, **options, activation_checkpointing=True))


@pytest.mark.usefixtures("host_copies", "two_devices")
@pytest.mark.parametrize(
    "options", [{"offload": "cpu"}, {"device": "auto", "parallel": "data_parallel"}]
)
def test_the_same_steps_elsewhere(toy, options) -> None:
    options["gradient_accumulation_steps"] = 2
    assert_equal(course(toy, **options), course(toy, **options, activation_checkpointing=True))


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_the_same_steps_in_two_processes(toy, in_processes, parallel) -> None:
    def both(ranks):
        return [
            course(toy, parallel=parallel, ranks=ranks, activation_checkpointing=on)
            for on in (False, True)
        ]

    for plain, again in in_processes(both):
        assert_equal(plain, again)


def test_an_overflowing_step_is_made_again_alike(toy) -> None:
    options = {"precision": "fp16", "loss_scale": 2.0**24}
    plain, again = (course(toy, **options, activation_checkpointing=on) for on in (False, True))
    assert sum(result.retries for _, result in plain[0]) > 0
    assert_equal(plain, again)


def kept(toy, *, checkpointing: bool) -> int:
    """Bytes that autograd keeps of a forward pass, parameters left out."""
    model = toy.model(("flag",), dropout=0.1).train()
    calls = LayerCalls(checkpointing=checkpointing, compiled=False, device=torch.device("cpu"))
    parameters = {own.untyped_storage().data_ptr() for own in model.parameters()}
    found: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = collate(toy.features("flag", 40))
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with hooks, calls.around(model):
        output = model(batch, "flag")
    assert output.losses
    return sum(found.values())


def test_less_is_kept(toy) -> None:
    """Of two layers with a small embedding below and a small head on top of them."""
    assert kept(toy, checkpointing=True) < kept(toy, checkpointing=False) / 3


@pytest.mark.parametrize(
    ("frozen", "again"),
    [((), (1, 1)), (("embeddings.", "layer.0."), (0, 1)), (("",), (0, 0))],
    ids=["nothing", "from_below", "encoder"],
)
def test_what_does_not_train_is_not_computed_again(toy, frozen, again) -> None:
    """Without adapters, so that no gradient goes into what is frozen."""
    model = toy.model(("flag",))
    _, head = model.detach("flag")
    model.attach("flag", {}, head)
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad = not name.startswith(frozen or ("-",))
    calls = [0, 0]

    def count(layer, *_):
        calls[layer.layer] += 1

    for layer in model.encoder.layer:
        layer.attention.register_forward_hook(count)
    trainer = toy.trainer(model, [toy.task("flag")], activation_checkpointing=True)
    trainer.train_step()
    assert calls == [1 + more for more in again]


def test_nothing_stays_on_the_model(toy) -> None:
    model = toy.model()
    names, alone = set(model.state_dict()), copy.deepcopy(model)
    trainer = toy.trainer(model, activation_checkpointing=True)
    trainer.train_step()
    assert set(model.state_dict()) == names
    assert [vars(block).keys() for block in model.encoder.blocks] == [
        vars(block).keys() for block in alone.encoder.blocks
    ]
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert toy.changed(toy.values(model), again) == set()


def test_nothing_stays_after_an_error(toy) -> None:
    model = toy.model()
    calls = LayerCalls(checkpointing=True, compiled=False, device=torch.device("cpu"))

    def stop(*_):
        assert all("forward" in vars(block) for block in model.encoder.blocks)
        raise KeyboardInterrupt

    model.encoder.blocks[1].attention.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt), calls.around(model):
        model(collate(toy.features("flag", 4)), "flag")
    assert not any("forward" in vars(block) for block in model.encoder.blocks)


def test_a_run_with_it_that_is_killed_and_goes_on_without(
    program, write_recipe, tmp_path, run_files
) -> None:
    """The weights, the optimizer's state and the rows of a run that never had it."""
    recipe = write_recipe(tmp_path, training={"num_epochs": 1}, evaluation={"every_steps": 8})
    plain, run = tmp_path / "plain", tmp_path / "run"
    assert program("run", recipe, "--output", plain, "--quiet").status == 0
    on, off = (f"training.activation_checkpointing={value}" for value in ("true", "false"))
    words = ("run", recipe, "--output", run, "--quiet")
    assert program(*words, "--set", on, term_at_step=5, signal="SIGKILL").status == -9
    ended = program(*words, "--resume", "--set", off)
    assert ended.status == 0, ended.err
    for part in ("final", "checkpoints/step-00000008"):
        ours, theirs = (run_files.content(each / part) for each in (run, plain))
        tensors = [name for name in theirs if name.endswith(".safetensors")]
        assert tensors
        assert [name for name in tensors if ours[name] != theirs[name]] == []
    assert run_files.rows(run, "step", "evaluation") == run_files.rows(plain, "step", "evaluation")
