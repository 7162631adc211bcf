"""Frozen parts, layer-wise rates and decay by part: what really moves, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from bertmod.assemble.freezing import freeze_parameters
from bertmod.assemble.run import assemble
from bertmod.data.collate import collate
from bertmod.engine.groups import build_groups
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.settings import TrainerSettings
from bertmod.errors import RecipeError
from bertmod.inference.trained import load_run
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.schema import FreezeKeys
from bertmod.registry import load_registry


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def make(tmp_path, registry, write_recipe) -> Callable[..., object]:
    """Assembles the tiny recipe with two layers and some keys replaced."""

    def make(**changes):
        changes.setdefault("encoder", {"num_hidden_layers": 2})
        path = write_recipe(tmp_path, **changes)
        return assemble(resolve(load_recipe(str(path)), registry), registry)

    return make


def groups_of(model, **settings):
    users = {name: frozenset({"flag"}) for name, _ in model.named_parameters()}
    groups = build_groups(model, users, TrainerSettings(**settings))
    assert len({group.name for group in groups}) == len(groups)
    return {name: group for group in groups for name, _ in group.parameters}


def test_layer_wise_rates_as_computed_by_hand(toy) -> None:
    rates = {"encoder": 0.8, "adapters": 3.0, "heads": 5.0}
    groups = groups_of(toy.model(("flag",)), learning_rate=rates, layer_decay=0.5)
    expected = {
        "encoder.embeddings.": 0.1,
        "encoder.layer.0.": 0.2,
        "encoder.layer.1.": 0.4,
        "encoder.pooler.": 0.8,
        "adapters.": 3.0,
        "heads.": 5.0,
    }
    for name, group in groups.items():
        (rate,) = (rate for prefix, rate in expected.items() if name.startswith(prefix))
        assert group.learning_rate == pytest.approx(rate, rel=1e-12), name


def test_patterns_and_layers_both_count(toy) -> None:
    rates = {"*.qkv.*": 0.4, "*": 1.6}
    groups = groups_of(toy.model(("flag",)), learning_rate=rates, layer_decay=0.5)
    assert groups["encoder.layer.1.attention.qkv.weight"].learning_rate == pytest.approx(0.2)
    assert groups["encoder.layer.0.attention.qkv.weight"].learning_rate == pytest.approx(0.1)
    assert groups["encoder.layer.0.attention.dense.weight"].learning_rate == pytest.approx(0.4)
    assert groups["heads.flag.classifier.weight"].learning_rate == 1.6


def test_rates_reach_the_optimizer_step_by_step(toy) -> None:
    trainer = toy.trainer(learning_rate=1.0, layer_decay=0.5, max_grad_norm=1e-9)
    trainer.train_step()
    found = {
        name: group["lr"]
        for group in trainer._optimizer.param_groups
        for name in group["param_names"]
    }
    assert found["encoder.embeddings.norm.bias"] == 0.125
    assert found["encoder.layer.1.ffn.up.weight"] == 0.5


def test_rates_too_near_to_tell_apart_have_names_of_their_own(toy) -> None:
    rates = {"encoder": 0.1, "*.bias": 0.1 + 1e-12, "adapters": 0.1, "heads": 0.1}
    groups = groups_of(toy.model(("flag",)), learning_rate=rates)
    weight, bias = (groups[f"encoder.layer.0.ffn.up.{kind}"] for kind in ("weight", "bias"))
    assert weight.learning_rate != bias.learning_rate
    usual = groups_of(toy.model(("flag",)), learning_rate=5e-5)
    assert usual["encoder.layer.0.ffn.up.weight"].name == "encoder lr=5e-05 decay=0.01"
    assert usual["encoder.layer.0.ffn.up.bias"].name == "encoder lr=5e-05 decay=0"


@pytest.mark.parametrize("optimizer", ["adamw", "bert_adam"])
def test_each_part_decays_at_its_own_rate(toy, optimizer) -> None:
    """With a gradient of zero a parameter shrinks by learning rate times decay, or stays."""
    decay = {"*.ffn.*": 0.0, "encoder": 0.1, "adapters": 0.2, "heads": 0.4}
    model = toy.model()
    trainer = toy.trainer(model, optimizer=optimizer, learning_rate=0.5, weight_decay=decay)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = toy.values(model)
    trainer._optimizer.step()
    for name, value in model.state_dict().items():
        plain = name.endswith("bias") or ".norm." in name or ".ffn." in name
        share = 0.0 if plain else decay[name.partition(".")[0]]
        torch.testing.assert_close(value, before[name] * (1 - 0.5 * share), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("key", ["learning_rate", "weight_decay"])
def test_a_pattern_that_matches_nothing_is_refused(toy, key) -> None:
    with pytest.raises(RecipeError) as error:
        toy.trainer(**{key: {"*.query.*": 0.1, "*": 0.1}})
    assert str(error.value) == (
        f'optimizer: 1 problem\n  optimizer.{key}["*.query.*"]\n'
        "      no parameter has a name that matches"
    )


def test_a_parameter_without_decay_is_refused(toy) -> None:
    with pytest.raises(RecipeError) as error:
        toy.trainer(weight_decay={"encoder": 0.1, "adapters": 0.1})
    assert str(error.value) == (
        "optimizer: 1 problem\n"
        "  optimizer.weight_decay\n"
        "      no weight decay for heads.flag.classifier.weight\n"
        "      given: encoder, adapters\n"
        "      add its component: one of encoder, adapters, heads"
    )


PARTS = {"embeddings": True, "layers": [0], "patterns": ["heads.rte.*"]}
FROZEN_PARTS = ("encoder.embeddings.", "encoder.layer.0.", "heads.rte.")


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("encoder", lambda name: name.startswith("encoder.")),
        (
            "encoder_except_layer_norm",
            lambda name: name.startswith("encoder.") and ".norm." not in name,
        ),
        (PARTS, lambda name: name.startswith(FROZEN_PARTS)),
        (
            {"layers": "all", "layer_norm": False},
            lambda name: name.startswith("encoder.layer.") and ".norm." not in name,
        ),
    ],
)
@pytest.mark.parametrize("idle", ["lazy", "dense"])
def test_frozen_parts_stay_bit_equal_and_have_no_gradient_or_state(
    toy, make, freeze, frozen, idle
) -> None:
    assembled = make(freeze=freeze, optimizer={"idle": idle, "weight_decay": 0.5})
    model, trainer = assembled.model, assembled.trainer(quiet=True)
    optimizer, before = trainer._optimizer, toy.values(assembled.model)
    seen: set[str] = set()

    def look(*_: object) -> None:
        seen.update(name for name, p in model.named_parameters() if p.grad is not None)

    optimizer.register_step_pre_hook(look)
    for _ in range(6):
        trainer.train_step()
    names = dict(model.named_parameters())
    still = {name for name in names if frozen(name)}
    assert still
    assert {name for name, p in names.items() if not p.requires_grad} == still
    assert toy.changed(before, model) == names.keys() - still == seen
    assert all(p.grad is None for p in names.values())
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not any(id(names[name]) in grouped or names[name] in optimizer.state for name in still)


@contextmanager
def kept(model: MultiTaskModel) -> Iterator[dict[int, int]]:
    """Storage to bytes of what autograd keeps meanwhile, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found: dict[int, int] = {}
    held = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            held.append(tensor)  # else its memory could be another's before the count is done
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield found


def saved_bytes(toy, model: MultiTaskModel, task: str = "flag") -> int:
    batch = collate(toy.features(task, 8), layout="packed", device=torch.device("cpu"))
    model.train()
    with kept(model) as found:
        model.encode(batch, task, want=frozenset({"pooled"}))
    return sum(found.values())


class OnTop(torch.nn.Module):
    """An adapter behind the whole encoder."""

    sites = {"encoder_output": (0,)}  # noqa: RUF012
    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(hidden, hidden)

    def forward(self, site, layer, x_TI, y_TO, context):
        return self.dense(y_TO)


def without_adapters(model: MultiTaskModel, **adapters: torch.nn.Module) -> MultiTaskModel:
    heads = {task: model.head(task) for task in model.tasks}
    return MultiTaskModel(model.encoder, {"flag": adapters}, heads)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_nothing_is_kept_below_the_first_part_that_trains(toy, dropout) -> None:
    model = toy.model(("flag",), dropout=dropout)
    whole = saved_bytes(toy, without_adapters(model))
    for part in (model.encoder.embeddings, model.encoder.layer[0]):
        part.requires_grad_(False)
    half = saved_bytes(toy, without_adapters(model))
    model.encoder.requires_grad_(False)
    low = saved_bytes(toy, model)  # attention beside both layers
    assert saved_bytes(toy, without_adapters(model)) == 0
    assert 0 < half < 0.6 * whole
    assert 0 < low < whole

    model.encoder.pooler.requires_grad_(False)
    features = toy.features("flag", 8)
    tokens = int(features.token_bounds[-1])
    above = without_adapters(model, top=OnTop(16))
    batch = collate(features, layout="packed", device=torch.device("cpu"))
    with kept(above) as found:
        above.train().encode(batch, "flag", want=frozenset({"hidden"}))
    assert list(found.values()) == [4 * 16 * tokens], "the adapter's own input, nothing else"


def test_what_only_the_built_model_tells(make) -> None:
    """Names below a component that declares none cannot be looked up before."""
    assembled = make()
    recipe = replace(assembled.recipe, freeze=FreezeKeys(patterns=("heads.rte.gate*", "*.stsb.*")))
    with pytest.raises(RecipeError) as error:
        freeze_parameters(recipe, assembled.model)
    assert str(error.value) == (
        f"{recipe.title}: 1 problem\n"
        "  freeze.patterns[0]\n"
        "      no parameter has a name that matches"
    )
    recipe = replace(recipe, freeze=FreezeKeys(patterns=("encoder.*", "*.stsb.*")))
    with pytest.raises(RecipeError) as error:
        freeze_parameters(recipe, assembled.model)
    assert str(error.value) == (
        f"{recipe.title}: 1 problem\n"
        "  freeze\n"
        '      task "stsb" has nothing left to train: all that it uses is frozen'
    )


def test_an_adapter_whose_work_a_later_one_throws_away(make) -> None:
    """A LayerNorm of a task's own ignores what adapters before it made of the encoder's."""
    scale = {"name": "lhuc", "site": "output_norm", "tasks": ["rte"]}
    own = {"name": "bottleneck", "bottleneck_size": 4, "layer_norms": ["output_norm"]}
    make(adapters=[own, scale])
    make(adapters=[scale, {**own, "tasks": ["stsb"]}])
    with pytest.raises(RecipeError) as error:
        make(adapters=[scale, own])
    assert str(error.value).partition("\n")[2] == (
        "  adapters[0]\n"
        '      what "lhuc" does at output_norm is lost: "bottleneck", which comes after it, '
        "ignores what is there\n"
        "      list it after that one, or leave one of the two out"
    )


def test_a_run_with_frozen_and_named_parts_answers(tmp_path, make) -> None:
    """Each state of ``best`` has one task; what the recipe says of the other must not matter."""
    rates = {"adapters.stsb.*": 1e-3, "heads.rte.*": 2e-3, "*": 3e-3}
    assembled = make(
        freeze={"embeddings": True, "patterns": ["adapters.rte.*", "heads.stsb.*"]},
        optimizer={"learning_rate": rates, "weight_decay": {"*.rte.*": 0.1, "*": 0.0}},
    )
    with RunFolder(tmp_path / "run") as run:
        keeper = assembled.trainer(run, quiet=True)._keeper
        keeper.evaluated(4, {"rte": 0.5, "stsb": 0.1})
        with torch.no_grad():
            assembled.model.encoder.pooler.dense.bias.add_(1.0)
        keeper.evaluated(8, {"rte": 0.4, "stsb": 0.3})
        (run.path / "recipe.json").write_text(json.dumps(assembled.recipe.to_json()))
    trained = load_run(tmp_path / "run", source="best")
    for task in ("rte", "stsb"):
        assert trained._load(task).model.tasks == (task,)
