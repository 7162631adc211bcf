"""What ``bertmod plan`` says of memory beside what a run takes, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is Linux's"),
]

ROOT = Path(__file__).parents[2]
MIB = 2**20
PEAK = re.compile(
    r"peak memory of .*process(?:es)?, predicted: ([\d,]+) MiB, in .*\n  libraries ([\d,]+) MiB, "
)
STEPS = 18
"""Steps of a run, of which a plan makes 15."""

RUN = """
import sys
from bertmod.cli.program import main
from bertmod.planning.process import process_peak
status = main(sys.argv[1:])
print(f"\\npeak {process_peak()}\\n", end="", flush=True)
sys.exit(status)
"""

HOULSBY = {"name": "bottleneck", "bottleneck_size": 64}
PALS = {"name": "pals", "bottleneck_size": 96, "num_heads": 8}
STRANGER = """
from bertmod import EmptyConfig, OptimizerSpec, hookimpl

BERTMOD_CONTRACT = 1


def build(config, groups):
    from torch.optim import RAdam

    return RAdam([{"params": [p for _, p in each.parameters]} for each in groups], foreach=True)


@hookimpl
def bertmod_optimizers():
    yield OptimizerSpec(name="radam", config=EmptyConfig, build=build, summary="Has temporaries.")
"""


class Held(NamedTuple):
    """Peaks of two processes, MiB beyond what libraries take."""

    predicted: float
    measured: float


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed plugin: an optimizer that makes copies of what it steps."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "bertmod_radam.py").write_text(STRANGER)
    info = folder / "bertmod_radam-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bertmod-radam\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[bertmod]\nradam = bertmod_radam\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RTE and CoLA of few rows, some of them long."""
    folder = tmp_path_factory.mktemp("data")
    for task in ("RTE", "CoLA"):
        (folder / task).mkdir()
        for split, count in (("train", 160), ("dev", 24)):
            lines = ["index\tsentence1\tsentence2\tlabel"] if task == "RTE" else []
            for number in range(count):
                words = " ".join(["the cat sat on the mat"] * (1 + 7 * number % 40))
                rte = ("entailment", "not_entailment")[number % 2]
                pair = f"{number}\t{words}\ta cat sat\t{rte}"
                lines.append(pair if task == "RTE" else f"x\t{number % 2}\t\t{words}")
            (folder / task / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def held(cache, data, stranger, tmp_path):
    """Plans and runs a recipe with an encoder of 21 million parameters, 8 of them positions."""

    def compare(processes=1, **keys) -> Held:
        recipe = {
            "tasks": [{"name": "rte"}, {"name": "cola"}],
            "encoder": {
                "name": "bert",
                "hidden_size": 512,
                "num_hidden_layers": 4,
                "num_attention_heads": 8,
                "intermediate_size": 2048,
                "max_position_embeddings": 16384,
                **keys.pop("encoder", {}),
            },
            "data": {"dir": str(data), "max_length": 32, **keys.get("data", {})},
            "trackers": [],
            **{key: value for key, value in keys.items() if key != "data"},
            "training": {
                "num_epochs": 1,
                "steps_per_epoch": STEPS,
                "global_batch_size": 8,
                "precision": "fp32",
                "device": "cpu",
                **keys.get("training", {}),
            },
        }
        (tmp_path / "recipe.json").write_text(json.dumps(recipe))
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(cache),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(stranger), str(ROOT)]),
        }
        environment.pop("BERTMOD_PLUGINS", None)

        def said(*command: str) -> str:
            done = subprocess.run(
                [sys.executable, *command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        (tmp_path / "run.py").write_text(RUN)
        found = PEAK.search(said("-m", "bertmod", "plan", "recipe.json", "--nproc", f"{processes}"))
        assert found is not None
        predicted, libraries = (int(number.replace(",", "")) for number in found.groups())
        torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", f"{processes}")
        run = ("run.py", "run", "recipe.json", "--output", "run", "--quiet")
        told = said(*(torchrun if processes > 1 else ()), *run)
        peak = max(map(int, re.findall(r"^peak (\d+)$", told, re.MULTILINE))) / MIB
        print(f"MiB: libraries {libraries}, predicted {predicted}, measured {peak:.0f}")
        return Held(predicted - libraries, peak - libraries)

    return compare


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(
            {"optimizer": {"name": "adamw"}, "training": {"steps_per_epoch": 40}},
            id="fp32, many more steps than a plan's",
        ),
        pytest.param(
            {
                "training": {"precision": "bf16", "gradient_accumulation_steps": 4, "ema": 0.9},
                "optimizer": {"name": "bert_adam"},
            },
            id="bf16 accumulated averaged",
        ),
        pytest.param({"freeze": "encoder", "adapters": [PALS, HOULSBY]}, id="frozen with adapters"),
        pytest.param(
            {
                "processes": 2,
                "encoder": {"num_hidden_layers": 6, "max_position_embeddings": 2048},
                "training": {"parallel": "fsdp"},
            },
            id="fsdp",
        ),
        pytest.param(
            {
                "data": {"max_length": 256},
                "training": {"activation_checkpointing": True, "global_batch_size": 2},
            },
            id="long rows, activations again",
        ),
        pytest.param({"optimizer": {"name": "radam"}}, id="optimizer of a stranger"),
    ],
)
def test_a_plan_is_near_what_the_run_takes(held, keys) -> None:
    predicted, measured = held(**keys)
    assert predicted == pytest.approx(measured, rel=0.15)
