"""Options of samplers, optimizers, schedules and trackers are described and survive JSON."""

import subprocess
import sys

import pytest

from bertmod.builtin.optimizers.plugin import bertmod_optimizers
from bertmod.builtin.samplers.plugin import bertmod_samplers
from bertmod.builtin.schedules.plugin import bertmod_schedules
from bertmod.builtin.trackers.plugin import bertmod_trackers

HOOKS = (bertmod_samplers, bertmod_optimizers, bertmod_schedules, bertmod_trackers)
SPECS = [spec for hook in HOOKS for spec in hook()]
OPTIONS = {"explicit": {"weights": {"cola": 1.5}}}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_options(spec):
    config = spec.config(**OPTIONS.get(spec.name, {}))
    assert spec.config.model_validate_json(config.model_dump_json()) == config
    assert all(field.description for field in spec.config.model_fields.values())
    assert not set(spec.config.model_fields) & {"name", *spec.slot_keys}


def test_schedules_and_samplers_run_without_torch():
    program = """
import sys
import numpy as np
from bertmod import SamplerContext
from bertmod.builtin.optimizers.plugin import bertmod_optimizers
from bertmod.builtin.samplers.plugin import bertmod_samplers
from bertmod.builtin.schedules.plugin import bertmod_schedules
from bertmod.builtin.trackers.plugin import bertmod_trackers
list(bertmod_optimizers()), list(bertmod_trackers())
for spec in bertmod_schedules():
    spec.build(spec.config())(1, 2)
for spec in bertmod_samplers():
    options = {"weights": {"a": 1.0}} if spec.name == "explicit" else {}
    sampler = spec.build(spec.config(**options), SamplerContext(("a",), np.ones(1)))
    sampler.probabilities(0, 0, 1, frozenset("a"))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
