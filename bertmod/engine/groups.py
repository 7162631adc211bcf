"""Parameter groups: learning rates, decay, and the clocks of idle tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch.nn import LayerNorm, Module, Parameter

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.engine.settings import Idle, TrainerSettings
from bertmod.errors import CheckpointError, Problem, RecipeError

Users = frozenset[str]
COMPONENTS = ("encoder", "adapters", "heads")


def learning_rate_of(name: str, rates: float | Mapping[str, float]) -> float:
    """Peak learning rate of a parameter: the first pattern that matches, else its component's.

    Raises:
        RecipeError: If neither a pattern nor a component covers the parameter.
    """
    if not isinstance(rates, Mapping):
        return rates
    patterns = [key for key in rates if key not in COMPONENTS]
    for key in (*patterns, *COMPONENTS):
        if key in rates and (fnmatchcase(name, key) or name.startswith(f"{key}.")):
            return rates[key]
    what = f"no learning rate for {name}"
    more = (f"given: {', '.join(rates)}", f"add its component: one of {', '.join(COMPONENTS)}")
    raise RecipeError("optimizer", [Problem("optimizer.learning_rate", what, more)])


def decays(name: str, parameter: Parameter, norms: frozenset[str], *, vectors: bool) -> bool:
    """Whether weight decay applies: never to biases and LayerNorms, to vectors only if asked."""
    if name in norms or name.rpartition(".")[2] == "bias":
        return False
    return vectors or parameter.dim() > 1


def norm_parameters(model: Module) -> frozenset[str]:
    """Names of all LayerNorm parameters of a model."""
    return frozenset(
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, LayerNorm)
        for name, _ in module.named_parameters(recurse=False)
    )


def build_groups(
    model: Module, users: Mapping[str, Users], settings: TrainerSettings
) -> tuple[ParameterGroup, ...]:
    """Groups of the trainable parameters that some task uses.

    Args:
        model: The model; frozen parameters are in no group.
        users: Parameter name to the tasks in whose steps it is active.
        settings: Learning rates, decay and idle rule.

    Returns:
        One group per learning rate and decay rule; with ``dense`` or ``own_clock`` also per set
        of users, since each such set has a clock of its own.
    """
    norms = norm_parameters(model)
    members: dict[tuple[Any, ...], list[tuple[str, Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or not users.get(name):
            continue
        rate = learning_rate_of(name, settings.learning_rate)
        decay = decays(name, parameter, norms, vectors=settings.decay_vectors)
        clock = () if settings.idle == "lazy" else tuple(sorted(users[name]))
        key = (name.partition(".")[0], rate, decay, clock)
        members.setdefault(key, []).append((name, parameter))
    return tuple(
        ParameterGroup(_group_name(key), tuple(pairs), key[1], key[2])
        for key, pairs in members.items()
    )


def _group_name(key: tuple[Any, ...]) -> str:
    component, rate, decay, clock = key
    parts = [component, f"lr={rate}", "decay" if decay else "no_decay", *clock]
    return " ".join(parts)


@dataclass(frozen=True)
class GroupUsers:
    """A group and the tasks in whose steps its parameters are active."""

    group: ParameterGroup
    users: Users


class IdleRule:
    """What happens to parameters that a step's task does not use, and each group's clock.

    ``lazy`` leaves them alone, and all groups share the run's clock. ``dense`` gives them zero
    gradients from their first active step on, so that momentum and decay go on; their clock starts
    there too. ``own_clock`` leaves them alone and counts their own updates. Idle is what is
    declared, never what has no gradient.

    Args:
        groups: All groups, in the optimizer's order.
        users: Parameter name to the tasks that use it.
        rule: ``lazy``, ``dense`` or ``own_clock``.
    """

    def __init__(
        self, groups: Sequence[ParameterGroup], users: Mapping[str, Users], rule: Idle
    ) -> None:
        self._groups = [GroupUsers(group, users[group.parameters[0][0]]) for group in groups]
        self._users, self._rule = users, rule
        self._clocks = {group.name: 0 for group in groups}

    def settle(self, task: str) -> None:
        """After the backward pass: no gradient on what is idle, one on all that is active."""
        for entry in self._groups:
            dense = self._rule == "dense" and self._clocks[entry.group.name] > 0
            for name, parameter in entry.group.parameters:
                active = task in self._users[name]
                if not active:
                    parameter.grad = torch.zeros_like(parameter) if dense else None
                elif parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def clock(self, group: ParameterGroup, step: int) -> int:
        """Schedule step of a group, from 0, in the run's step ``step``."""
        return step if self._rule == "lazy" else self._clocks[group.name]

    def advance(self, task: str) -> None:
        """Count a finished step."""
        for entry in self._groups:
            started = self._rule == "dense" and self._clocks[entry.group.name] > 0
            if self._rule == "lazy" or started or task in entry.users:
                self._clocks[entry.group.name] += 1

    def state_dict(self) -> dict[str, int]:
        """Clock of each group by name."""
        return dict(self._clocks)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take the clocks back.

        Raises:
            CheckpointError: If the groups are not those of the checkpoint.
        """
        if state.keys() != self._clocks.keys():
            missing = sorted(self._clocks.keys() - state.keys())
            left_over = sorted(state.keys() - self._clocks.keys())
            raise CheckpointError(
                f"parameter groups differ from the checkpoint's: missing {missing}, "
                f"left over {left_over}"
            )
        self._clocks = dict(state)
