"""What a step does to the parameters that its task does not use, and their groups."""

from __future__ import annotations

import pytest
import torch

from bertmod.engine.groups import build_groups, setting_of
from bertmod.engine.settings import TrainerSettings
from bertmod.errors import RecipeError

OWN = {"flag": ("adapters.flag.", "heads.flag."), "size": ("adapters.size.", "heads.size.")}


def order(*tasks: str):
    """A sampler that plays a list of tasks."""
    import numpy as np

    class Played:
        def probabilities(self, step, epoch, num_epochs, running):
            return np.array([float(tasks[step] == task) for task in ("flag", "size")])

        def observe(self, step, scores):
            return None

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            return None

    return Played()


def of(task: str, names: set[str]) -> set[str]:
    return {name for name in names if name.startswith(OWN[task])}


def trainer_of(toy, model, rule, *tasks, **settings):
    settings = {"optimizer": "bert_adam", "schedule": "linear", "steps_per_epoch": 10, **settings}
    return toy.trainer(model, sampler=order(*tasks), idle=rule, num_epochs=1, **settings)


@pytest.mark.parametrize("rule", ["lazy", "own_clock"])
def test_idle_parameters_stay(toy, rule) -> None:
    model = toy.model()
    trainer = trainer_of(toy, model, rule, "flag", "flag", "size", "flag", schedule="constant")
    for task in ("flag", "flag", "size", "flag"):
        before = toy.values(model)
        trainer.train_step()
        changed = toy.changed(before, model)
        other = {"flag": "size", "size": "flag"}[task]
        assert of(task, changed) == of(task, set(before))
        assert of(other, changed) == set()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dense_moves_and_decays_idle_parameters_from_their_first_step_on(toy) -> None:
    model = toy.model()
    trainer = trainer_of(toy, model, "dense", "flag", "flag", "size", "flag", "flag")
    before = toy.values(model)
    for _ in range(2):
        trainer.train_step()
    assert of("size", toy.changed(before, model)) == set()
    for _ in range(2):  # the first one has the rate 0 of its own clock's step 0
        trainer.train_step()
    before = toy.values(model)
    trainer.train_step()
    assert of("size", toy.changed(before, model)) == of("size", set(before))


def test_dense_decay_without_gradient(toy) -> None:
    """Descent without momentum: an idle matrix shrinks by its decay alone, and nothing else."""

    def sgd(groups):
        parameters = [
            {"params": [p for _, p in group.parameters], "weight_decay": group.weight_decay}
            for group in groups
        ]
        return torch.optim.SGD(parameters, lr=0.1)

    model = toy.model()
    trainer = trainer_of(
        toy,
        model,
        "dense",
        "size",
        "flag",
        optimizer=sgd,
        schedule="constant",
        learning_rate=0.1,
        weight_decay=0.5,
    )
    trainer.train_step()
    before = toy.values(model)
    trainer.train_step()
    now = model.state_dict()
    for name in of("size", set(before)):
        factor = 0.95 if name.endswith("weight") else 1.0
        torch.testing.assert_close(now[name], before[name] * factor, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("rule", "clocks"),
    [
        ("lazy", {"flag": [0, 1, 2, 3, 4], "size": [0, 1, 2, 3, 4], "shared": [0, 1, 2, 3, 4]}),
        ("dense", {"flag": [0, 1, 2, 3, 4], "size": [0, 0, 0, 1, 2], "shared": [0, 1, 2, 3, 4]}),
        ("own_clock", {"flag": [0, 1, 2, 2, 3], "size": [0, 0, 0, 1, 1], "shared": range(5)}),
    ],
)
@pytest.mark.parametrize("first_step", [0, 1])
def test_clocks_show_in_the_learning_rates(toy, rule, clocks, first_step) -> None:
    """Linear decay without warm-up over ten steps at peak 1 gives 1 - clock / 10."""
    from bertmod.library import build

    model = toy.model()
    trainer = toy.trainer(
        model,
        sampler=order("flag", "flag", "size", "flag", "flag"),
        idle=rule,
        num_epochs=1,
        steps_per_epoch=10,
        learning_rate=1.0,
        first_step=first_step,
        max_grad_norm=1e-9,
    )
    trainer._stepper._schedule = build("schedule", "linear", warmup_proportion=0.0)
    told = [trainer.train_step()[1].learning_rates for _ in range(5)]
    for step, rates in enumerate(told):
        for name, rate in rates.items():
            only = [task for task in OWN if task in name.split()]
            who = only[0] if len(only) == 1 else "shared"
            if rule == "lazy":
                who = "shared"
            assert rate == pytest.approx(1 - (clocks[who][step] + first_step) / 10), (name, step)


def test_gradients_are_what_is_declared(toy) -> None:
    """An active parameter that the loss does not reach gets zeros; an idle one nothing."""
    seen = {}

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    seen[id(parameter)] = parameter.grad

    model = toy.model()
    model.heads["flag"].register_parameter("unused", torch.nn.Parameter(torch.ones(3)))

    def spy(groups):
        return Spy([{"params": [p for _, p in group.parameters]} for group in groups], lr=1.0)

    trainer_of(toy, model, "lazy", "flag", optimizer=spy).train_step()
    gradients = {name: seen[id(parameter)] for name, parameter in model.named_parameters()}
    torch.testing.assert_close(gradients["heads.flag.unused"], torch.zeros(3))
    assert {name for name, grad in gradients.items() if grad is None} == of("size", set(gradients))


def test_frozen_parameters_are_in_no_group_and_get_no_gradient(toy) -> None:
    model = toy.model()
    model.encoder.requires_grad_(False)
    before = toy.values(model)
    trainer = toy.trainer(model, idle="dense")
    grouped = {name for group in trainer._groups for name, _ in group.parameters}
    assert not any(name.startswith("encoder.") for name in grouped)
    assert grouped == {name for name, p in model.named_parameters() if p.requires_grad}
    for _ in range(4):
        trainer.train_step()
    assert not any(name.startswith("encoder.") for name in toy.changed(before, model))
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


def test_patterns_of_learning_rates_win_over_components() -> None:
    rates = {"encoder": 1.0, "heads": 2.0, "*.bias": 3.0, "encoder.layer.1*": 4.0}
    found = {
        "encoder.layer.0.ffn.up.weight": 1.0,
        "encoder.layer.1.ffn.up.weight": 4.0,
        "encoder.layer.1.ffn.up.bias": 3.0,  # the first that matches
        "heads.flag.classifier.weight": 2.0,
    }
    assert found == {name: setting_of(name, rates, "learning_rate") for name in found}
    assert setting_of("adapters.flag.pals.down.weight", 5.0, "learning_rate") == 5.0


def test_a_parameter_without_learning_rate_is_a_problem(toy) -> None:
    with pytest.raises(RecipeError) as error:
        toy.trainer(learning_rate={"encoder": 1e-3, "*.bias": 1e-2})
    assert str(error.value) == (
        "optimizer: 1 problem\n"
        "  optimizer.learning_rate\n"
        "      no learning rate for adapters.flag.pals.down.shared.weight\n"
        "      given: encoder, *.bias\n"
        "      add its component: one of encoder, adapters, heads"
    )


def test_groups_by_rate_and_decay(toy) -> None:
    model = toy.model(("flag",))
    model.heads["flag"].register_parameter("scale", torch.nn.Parameter(torch.ones(3)))
    users = {name: frozenset({"flag"}) for name, _ in model.named_parameters()}
    for vectors in (False, True):
        settings = TrainerSettings(
            learning_rate={"encoder": 1e-3, "adapters": 2e-3, "heads": 3e-3}, decay_vectors=vectors
        )
        groups = build_groups(model, users, settings)
        by_name = {name: group for group in groups for name, _ in group.parameters}
        assert set(by_name) == set(users)
        assert len({group.name for group in groups}) == len(groups)
        for name, group in by_name.items():
            component = name.partition(".")[0]
            rate = {"encoder": 1e-3, "adapters": 2e-3, "heads": 3e-3}[component]
            assert group.learning_rate == rate
            matrix = not (name.endswith("bias") or ".norm." in name or name.endswith("scale"))
            decays = matrix or (vectors and name.endswith("scale"))
            assert group.weight_decay == (0.01 if decays else 0.0), name
