"""Each check of optimizers fails for one that is broken in just the way it looks for."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bertmod import EmptyConfig, OptimizerSpec
from bertmod.testing import optimizers


class Momentum(torch.optim.Optimizer):
    """Momentum with decoupled decay: nothing wrong."""

    decay = True

    def __init__(self, groups: Any) -> None:
        super().__init__(self.groups(groups), {})

    def groups(self, groups: Any) -> list[dict[str, Any]]:
        return [
            {
                "params": [parameter for _, parameter in group.parameters],
                "lr": group.learning_rate,
                "weight_decay": group.weight_decay,
            }
            for group in groups
        ]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)

    def memory(self, parameter: Any) -> Any:
        return self.state[parameter].setdefault("mean", torch.zeros_like(parameter))

    def update(self, parameter: Any, gradient: Any, group: dict[str, Any]) -> None:
        mean = self.memory(parameter)
        mean.lerp_(gradient, 0.5)
        if self.decay:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(mean, alpha=group["lr"])


class OneGroup(Momentum):
    def groups(self, groups):
        every = super().groups(groups)
        return [{**every[0], "params": [p for group in every for p in group["params"]]}]


class Ascends(Momentum):
    def update(self, parameter, gradient, group):
        super().update(parameter, -gradient, group)


class NoneIsZero(Momentum):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                zero = torch.zeros_like(parameter)
                self.update(parameter, zero if gradient is None else gradient, group)


class StateElsewhere(Momentum):
    def memory(self, parameter):
        self.own = getattr(self, "own", {})
        return self.own.setdefault(parameter, torch.zeros_like(parameter))

    def __deepcopy__(self, memo):
        import copy

        groups = copy.deepcopy(self.param_groups, memo)
        other = StateElsewhere.__new__(StateElsewhere)
        other.__dict__.update(self.__dict__)
        other.param_groups = groups
        own = self.own
        other.own = {copy.deepcopy(key, memo): value.clone() for key, value in own.items()}
        return other


class FirstRate(Momentum):
    def __init__(self, groups):
        super().__init__(groups)
        self.rates = [group["lr"] for group in self.param_groups]

    @torch.no_grad()
    def step(self, closure=None):
        for group, rate in zip(self.param_groups, self.rates, strict=True):
            group["lr"] = rate
        super().step()


class NoDecay(Momentum):
    decay = False


class GlobalNorm(Momentum):
    @torch.no_grad()
    def step(self, closure=None):
        every = [p.grad for group in self.param_groups for p in group["params"]]
        norm = torch.stack([g.norm() for g in every if g is not None]).norm() + 1e-3
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad / norm, group)


class ByMemory(Momentum):
    def update(self, parameter, gradient, group):
        flat = torch.as_strided(gradient, (gradient.numel(),), (1,)).view(parameter.shape)
        super().update(parameter, flat, group)


class DividesByZero(Momentum):
    def update(self, parameter, gradient, group):
        super().update(parameter, gradient / gradient.norm(), group)


BROKEN: list[tuple[str, type[Momentum], str]] = [
    ("groups_kept", OneGroup, "1 parameter groups of 2"),
    ("descends", Ascends, "300 steps bring a quadratic from"),
    ("none_is_skipped", NoneIsZero, "a parameter whose gradient is None is changed"),
    ("state_round_trip", StateElsewhere, "some state lies elsewhere"),
    ("rate_of_the_step", FirstRate, "with lr 0, adapters.task.own.scale, heads.task.weight"),
    ("decay_as_stated", NoDecay, "weight_decay 0.1 does not make encoder.layer.0.weight,"),
    ("per_parameter_claim", GlobalNorm, "moves otherwise when it is alone"),
    ("gradients_of_any_layout", ByMemory, "moves otherwise with a transposed gradient"),
    ("gradients_of_any_layout", DividesByZero, "is not finite after zero gradients"),
]


def spec_of(optimizer: type[Momentum]) -> OptimizerSpec:
    return OptimizerSpec(
        name="momentum",
        config=EmptyConfig,
        build=lambda config, groups: optimizer(groups),
        per_parameter=True,
        summary="Momentum with decay.",
    )


def test_nothing_is_wrong_with_the_sound_one(verdicts) -> None:
    assert verdicts(spec_of(Momentum)) == {}


@pytest.mark.parametrize(("check", "optimizer", "told"), BROKEN)
def test_a_broken_one_is_found(verdict, check: str, optimizer: type[Momentum], told: str) -> None:
    assert told in verdict(spec_of(optimizer), check)


def test_every_check_has_a_broken_optimizer(own_checks) -> None:
    assert {check for check, _, _ in BROKEN} == own_checks(optimizers.CHECKS)
