"""Checkpoints of older formats, spelt out here, since they must load for ever."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bertmod.engine.run_folder import RunFolder

BLOCK = {
    "attention.qkv": (48, 16),
    "attention.dense": (16, 16),
    "ffn.up": (32, 16),
    "ffn.down": (16, 32),
}
NORMS = ("attention.norm", "ffn.norm")
LINEAR = {
    **{f"encoder.layer.{layer}.{name}": shape for layer in (0, 1) for name, shape in BLOCK.items()},
    "encoder.pooler.dense": (16, 16),
    "adapters.flag.pals.down.shared": (4, 16),
    "adapters.flag.pals.up.shared": (16, 4),
    "adapters.flag.pals.qkv.0": (12, 4),
    "adapters.flag.pals.qkv.1": (12, 4),
    "heads.flag.classifier": (2, 16),
}
SHAPES = {
    "encoder.embeddings.word_embeddings.weight": (40, 16),
    "encoder.embeddings.position_embeddings.weight": (16, 16),
    "encoder.embeddings.token_type_embeddings.weight": (2, 16),
    "encoder.embeddings.norm.weight": (16,),
    "encoder.embeddings.norm.bias": (16,),
    **{
        f"encoder.layer.{layer}.{norm}.{kind}": (16,)
        for layer in (0, 1)
        for norm in NORMS
        for kind in ("weight", "bias")
    },
    **{f"{name}.weight": shape for name, shape in LINEAR.items()},
    **{f"{name}.bias": shape[:1] for name, shape in LINEAR.items()},
}

GROUPS = [
    f"{component} lr=0.01 decay={decay} flag"
    for component in ("encoder", "adapters", "heads")
    for decay in ("0.01", "0")
]

STATE_1: dict[str, Any] = {
    "counters": {
        "batches": {"flag": 3},
        "step": 3,
        "evaluated_at": 2,
        "scores": {"flag/dev/score": 0.625},
        "best": {"flag": [0.75, 1]},
    },
    "sampler": {},
    "clocks": dict.fromkeys(GROUPS, 3),
    "heads": {
        "flag": {
            "labels": ["no", "yes"],
            "value_range": None,
            "calibration": {},
            "fingerprint": "",
            "label_counts": None,
        }
    },
    "early_stop": {"waited": {"flag": 1}, "seen": {"flag": 2}, "stopped": {}},
    "optimizer": {},
}


def values(scale: float) -> dict[str, Tensor]:
    """Values that depend on their place, by parameter."""
    draw = torch.Generator().manual_seed(1)
    return {name: scale * torch.rand(shape, generator=draw) for name, shape in SHAPES.items()}


def write_format_1(run: Path) -> None:
    """A run that was stopped after three steps."""
    folder = run / "checkpoints" / "step-00000003"
    folder.mkdir(parents=True)
    optimizer = {f"{name}/step": torch.tensor(3.0) for name in SHAPES}
    optimizer |= {f"{name}/exp_avg": value for name, value in values(0.1).items()}
    optimizer |= {f"{name}/exp_avg_sq": value for name, value in values(0.2).items()}
    save_file(values(0.3), folder / "model.safetensors")
    save_file(optimizer, folder / "optimizer.safetensors")
    save_file(values(0.4), folder / "average.safetensors")
    (folder / "state.json").write_text(json.dumps(STATE_1))
    names = ("model.safetensors", "optimizer.safetensors", "average.safetensors", "state.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    manifest = {"format_version": 1, "step": 3, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (run / "recipe.json").write_text("{}")


@pytest.fixture
def resumable(toy, tmp_path):
    """A trainer of what ``write_format_1`` wrote, in its folder."""
    run = tmp_path / "run"
    write_format_1(run)
    tasks = [toy.task("flag", patience=2)]
    with RunFolder(run, resume=True) as folder:
        settings = {"ema": 0.9, "num_epochs": 1, "steps_per_epoch": 5, "idle": "dense"}
        yield toy.trainer(toy.model(("flag",)), tasks, folder=folder, save_every=5, **settings)


def test_format_1_comes_back(resumable) -> None:
    resumable._resume()
    assert resumable.step == 3
    found = resumable._state.snapshot(3)
    for part, right in (("model", values(0.3)), ("average", values(0.4))):
        tensors = found.parts[part]
        assert tensors.keys() == right.keys()
        assert [name for name in right if not torch.equal(tensors[name], right[name])] == []
    assert found.optimizer.keys() == {
        f"{name}/{key}" for name in SHAPES for key in ("step", "exp_avg", "exp_avg_sq")
    }
    for key, scale in (("exp_avg", 0.1), ("exp_avg_sq", 0.2)):
        for name, value in values(scale).items():
            assert torch.equal(found.optimizer[f"{name}/{key}"], value), name
            assert found.optimizer[f"{name}/step"] == 3
    assert json.loads(json.dumps(found.state)) == STATE_1


def test_a_run_goes_on_from_format_1(resumable, tmp_path) -> None:
    """What it saves is of the same format: one process needs no newer one."""
    resumable.fit(resume=True)
    assert resumable.step == 5
    checkpoints = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000003", "step-00000005"]
    manifest = json.loads((checkpoints / "step-00000005" / "manifest.json").read_text())
    assert manifest["format_version"] == 1
    assert set(manifest["files"]) == {
        "average.safetensors",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
