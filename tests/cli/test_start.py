"""What the program loads and sets before it has trained a step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SETTING = """
import os
from bertmod.cli import main
main(["--version"])
print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
"""

LOADING = """
import json, sys
from pathlib import Path
log, loaded = Path(sys.argv[1]) / "metrics.jsonl", []

def heard(event, values):
    if event == "import" and values[0] in ("sklearn", "scipy", "torch._dynamo"):
        trained = log.is_file() and '"step"' in log.read_text(encoding="utf-8")
        loaded.append((values[0], trained))

sys.addaudithook(heard)
from bertmod.cli import main
status = main(["run", "start.json", "--output", sys.argv[1]])
print(json.dumps([status, loaded]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "None 3000"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "7"}, "passive 7"),
    ],
)
def test_threads_spin_briefly_unless_the_user_chose(given: dict[str, str], told: str) -> None:
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {name: value for name, value in os.environ.items() if name not in ours} | given
    result = subprocess.run(
        [sys.executable, "-c", SETTING], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1] == told


def test_metric_libraries_wait_for_scores_and_the_compiler_is_left_alone(
    env, recipe, tmp_path
) -> None:
    """Baselines of Matthews and Pearson are known without them; no optimizer is compiled."""
    few = {"num_epochs": 1, "steps_per_epoch": 6, "global_batch_size": 8, "precision": "fp32"}
    quick = {"name": "adamw", "learning_rate": 1e-2}  # predictions must come to vary
    turns = {"name": "round_robin"}
    tasks = [{"name": "cola"}, {"name": "stsb"}]
    recipe("start.json", tasks=tasks, sampler=turns, optimizer=quick, training=few)
    command = [sys.executable, "-c", LOADING, str(tmp_path / "run")]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    status, loaded = json.loads(result.stderr.splitlines()[-1])
    assert status == 0
    assert dict(loaded)["scipy"]  # for the scores of stsb
    assert all(trained for _, trained in loaded)
    assert "torch._dynamo" not in dict(loaded)
