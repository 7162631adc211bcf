"""Parameter and moment trajectories against BERTAdam and AdamWeightDecayOptimizer."""

import pytest
import torch

from bertmod import ParameterGroup
from bertmod.builtin.optimizers import bert_adam, plugin
from bertmod.builtin.schedules.plugin import (
    ConstantConfig,
    DecayConfig,
    build_constant,
    build_linear,
)
from bertmod.engine.clipping import clip_global, clip_per_tensor

pytestmark = pytest.mark.shared

BETAS = (0.9, 0.999)


class Trajectory:
    """Steps over a case's gradients; each parameter is a group with a clock of its own."""

    def __init__(self, case, *, decays, lr, moments, betas=BETAS, eps=1e-6):
        self.case, self.lr, self.moments = case, lr, moments
        initial = case.tensors
        self.parameters = {
            name: torch.nn.Parameter(initial[f"input/initial/{name}"].clone()) for name in decays
        }
        groups = [
            ParameterGroup(name, ((name, parameter),), lr, decays[name])
            for name, parameter in self.parameters.items()
        ]
        config = plugin.BertAdamConfig(betas=betas, eps=eps)
        self.optimizer = plugin.build_bert_adam(config, groups)
        self.clocks = dict.fromkeys(decays, 0)

    def give_gradients(self, step, *, first_active):
        """Dense idling: no gradient before the first active step, whatever came after it."""
        for name, parameter in self.parameters.items():
            active = step >= first_active.get(name, 0)
            gradient = self.case.tensors[f"input/grad/{name}"][step]
            parameter.grad = gradient.clone() if active else None

    def gradients(self):
        return [p.grad for p in self.parameters.values() if p.grad is not None]

    def step(self, multiplier):
        """Step at each parameter's own time, which passes only where there is a gradient."""
        for group, (name, parameter) in zip(
            self.optimizer.param_groups, self.parameters.items(), strict=True
        ):
            group["lr"] = self.lr * multiplier(self.clocks[name])
            self.clocks[name] += parameter.grad is not None
        self.optimizer.step()

    def assert_agrees(self, step):
        for name, parameter in self.parameters.items():
            state = self.optimizer.state[parameter] or dict.fromkeys(
                ("exp_avg", "exp_avg_sq"), torch.zeros_like(parameter)
            )
            found = (parameter.detach(), state["exp_avg"], state["exp_avg_sq"])
            for kind, value in zip(("param", *self.moments), found, strict=True):
                expected = self.case.tensors[f"output/{kind}/{name}"][step]
                torch.testing.assert_close(value, expected, rtol=0, atol=1e-6, msg=f"{kind} {name}")


@pytest.fixture(params=["one pass", "seven passes"], autouse=True)
def layout(request, monkeypatch):
    """Both ways to update, on the same numbers."""
    if request.param == "seven passes":
        monkeypatch.setattr(bert_adam, "can_fuse", lambda _: False)


@pytest.mark.parametrize("name", ["no_schedule", "warmup_constant", "warmup_linear"])
def test_bert_adam_with_clipping_per_tensor(name, golden_case):
    case = golden_case(f"03_bertadam_{name}")
    told = case.info["optimizer"]
    run = Trajectory(
        case,
        decays=case.info["weight_decay_rate"],
        lr=told["lr"],
        moments=("next_m", "next_v"),
        betas=(told.get("b1", 0.9), told.get("b2", 0.999)),
        eps=told.get("e", 1e-6),
    )
    schedule = {
        "no_schedule": lambda: build_constant(ConstantConfig()),
        "warmup_constant": lambda: build_constant(ConstantConfig(warmup_proportion=told["warmup"])),
        "warmup_linear": lambda: build_linear(DecayConfig(warmup_proportion=told["warmup"])),
    }[name]()
    total = told.get("t_total", 1)
    expected_norms = torch.tensor(case.info["gradient_norms_before_clipping_in_dict_order"])
    for step in range(case.info["steps"]):
        run.give_gradients(step, first_active=case.info.get("first_step_with_a_gradient", {}))
        norm = clip_per_tensor(run.gradients(), told["max_grad_norm"])
        torch.testing.assert_close(norm, expected_norms[step].norm(), rtol=1e-6, atol=0)
        run.step(lambda clock: schedule(clock, total))
        run.assert_agrees(step)


def test_google_adam_with_global_clipping(golden_case):
    case = golden_case("03_adam_weight_decay_warmup")
    info = case.info
    run = Trajectory(
        case,
        decays=info["weight_decay_rate"],
        lr=info["init_lr"],
        moments=("adam_m", "adam_v"),
        betas=(info["beta_1"], info["beta_2"]),
        eps=info["epsilon"],
    )
    schedule = build_linear(DecayConfig(warmup_steps=info["num_warmup_steps"]))
    total = info["num_train_steps"]
    for step in range(info["steps"]):
        assert run.lr * schedule(step, total) == pytest.approx(info["lr_per_step"][step], abs=1e-9)
        run.give_gradients(step, first_active={})
        norm = clip_global(run.gradients(), 1.0)
        expected = info["global_gradient_norm_before_clipping"][step]
        assert norm.item() == pytest.approx(expected, rel=1e-6)
        run.step(lambda clock: schedule(clock + 1, total))  # schedule.first_step 1
        run.assert_agrees(step)
