"""Parameter groups: learning rates, weight decay, and the clocks of idle tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, cast

import torch
from torch.nn import Embedding, EmbeddingBag, LayerNorm, Module, Parameter

from bertmod.contracts.encoder import Encoder
from bertmod.contracts.optimizer import ParameterGroup
from bertmod.engine.settings import Idle, PerParameter, TrainerSettings
from bertmod.errors import CheckpointError, Problem, RecipeError
from bertmod.model.multitask import MultiTaskModel

Users = frozenset[str]
COMPONENTS = ("encoder", "adapters", "heads")


def parameter_users(model: MultiTaskModel, tasks: Iterable[str]) -> dict[str, Users]:
    """Parameter name to the tasks whose steps may move it."""
    active = {task: model.active(task) for task in tasks}
    return {
        name: frozenset(task for task, names in active.items() if name in names)
        for name, _ in model.named_parameters()
    }


def setting_of(name: str, values: PerParameter, key: str) -> float:
    """A parameter's own number: of the first pattern that matches, else of its component.

    Args:
        name: The parameter, by its name in the model.
        values: One number for all, or numbers by component and by shell pattern of names.
        key: The setting they belong to, for the message: ``learning_rate``.

    Raises:
        RecipeError: If neither a pattern nor a component covers the parameter.
    """
    if not isinstance(values, Mapping):
        return values
    for pattern, value in values.items():
        if pattern not in COMPONENTS and fnmatchcase(name, pattern):
            return value
    component = name.partition(".")[0]
    if component in values:
        return values[component]
    what = f"no {key.replace('_', ' ')} for {name}"
    more = (f"given: {', '.join(values)}", f"add its component: one of {', '.join(COMPONENTS)}")
    raise RecipeError("optimizer", [Problem(f"optimizer.{key}", what, more)])


def require_matches(names: Iterable[str], values: PerParameter, key: str) -> None:
    """Refuse patterns that match no parameter.

    Args:
        names: All parameters of the model, frozen ones included.
        values: Numbers as in ``setting_of``.
        key: The setting they belong to.

    Raises:
        RecipeError: Naming every such pattern.
    """
    patterns = set(values) - set(COMPONENTS) if isinstance(values, Mapping) else set()
    left = sorted(p for p in patterns if not any(fnmatchcase(name, p) for name in names))
    if left:
        what = "no parameter has a name that matches"
        path = f"optimizer.{key}"
        raise RecipeError("optimizer", [Problem(f'{path}["{p}"]', what) for p in left])


def depth_factor(model: MultiTaskModel, name: str, layer_decay: float) -> float:
    """What layer-wise decay multiplies a parameter's learning rate by, in (0, 1].

    With n layers that is ``layer_decay`` to the power n + 1 for embeddings, n for the first layer,
    1 for the last, and 1 for what is above them, adapters and heads included.

    Source: Clark et al. 2020, arXiv:2003.10555, with the powers of Bao et al. 2021,
    arXiv:2106.08254: what is above the last layer has its full rate.
    """
    component, _, parameter = name.partition(".")
    if component != "encoder" or layer_decay == 1:
        return 1.0
    encoder = cast(Encoder, model.encoder)
    above = encoder.shape.num_hidden_layers + 1
    return float(layer_decay ** max(0, above - encoder.depth(parameter)))


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


def table_names(model: Module) -> frozenset[str]:
    """Names of all weights of embeddings of a model; what shares one with another module counts."""
    weights = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, Embedding | EmbeddingBag)
        for parameter in module.parameters(recurse=False)
    }
    return frozenset(name for name, each in model.named_parameters() if id(each) in weights)


def build_groups(
    model: MultiTaskModel, users: Mapping[str, Users], settings: TrainerSettings
) -> tuple[ParameterGroup, ...]:
    """Groups of the trainable parameters that some task uses.

    Args:
        model: The model; frozen parameters are in no group.
        users: Parameter name to the tasks in whose steps it is active.
        settings: Learning rates, weight decay and idle rule.

    Returns:
        One group per component, learning rate and weight decay; with ``dense`` or ``own_clock``
        also per set of users, since each such set has a clock of its own.

    Raises:
        RecipeError: If a parameter has no learning rate or weight decay, or a pattern of either
            matches none.
    """
    names = [name for name, _ in model.named_parameters()]
    require_matches(names, settings.learning_rate, "learning_rate")
    require_matches(names, settings.weight_decay, "weight_decay")
    norms = norm_parameters(model)
    members: dict[_Key, list[tuple[str, Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad or not users.get(name):
            continue
        rate = setting_of(name, settings.learning_rate, "learning_rate")
        decay = setting_of(name, settings.weight_decay, "weight_decay")
        key = _Key(
            component=name.partition(".")[0],
            rate=rate * depth_factor(model, name, settings.layer_decay),
            decay=decay if decays(name, parameter, norms, vectors=settings.decay_vectors) else 0.0,
            clock=() if settings.idle == "lazy" else tuple(sorted(users[name])),
        )
        members.setdefault(key, []).append((name, parameter))
    tables = table_names(model)
    return tuple(
        ParameterGroup(
            name,
            tuple(members[key]),
            key.rate,
            key.decay,
            tables=tables.intersection(dict(members[key])),
        )
        for name, key in zip(_group_names(list(members)), members, strict=True)
    )


class _Key(NamedTuple):
    """What the parameters of a group have in common."""

    component: str
    rate: float
    decay: float
    clock: tuple[str, ...]

    def name(self, digits: int) -> str:
        numbers = (f"lr={self.rate:.{digits}g}", f"decay={self.decay:.{digits}g}")
        return " ".join((self.component, *numbers, *self.clock))


def _group_names(keys: Sequence[_Key]) -> list[str]:
    """Readable names, with all digits only where fewer would make two of them equal."""
    short = [key.name(6) for key in keys]
    return short if len(set(short)) == len(short) else [key.name(17) for key in keys]


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
                if task not in self._users[name]:
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
