"""How much memory and time a training step takes, by what is frozen and how layers are called."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.machine import machine, versions
from benchmarks.results import save_page

if TYPE_CHECKING:
    from torch.nn import Module

    from bertmod.data.features import FeatureTable

BATCH_SIZE, LENGTH, STEPS = 32, 64, 4

POLICIES: tuple[Any, ...] = (
    "none",
    "encoder_except_layer_norm",
    {"layers": "bottom_half"},
    {"embeddings": True, "layers": "bottom_half"},
    "encoder",
)
"""What is frozen."""

ADAPTERS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "pals": [{"name": "pals", "bottleneck_size": 204, "num_heads": 6}],
}

LAYERS: tuple[dict[str, bool], ...] = (
    {"activation_checkpointing": True},
    {"compile": True},
    {"activation_checkpointing": True, "compile": True},
)
"""How layers are called, where nothing is frozen; settings of ``training``."""

ENCODER: dict[str, Any] = {
    "name": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
"""The shape of MiniLM-L6."""


@dataclass(frozen=True)
class Row:
    """What training took under one policy; sizes in bytes.

    Attributes:
        adapters: Key of ``ADAPTERS``.
        freeze: The recipe's ``freeze``.
        layers: How layers are called; settings of ``training``.
        weights: All parameters.
        trained: Parameters that train.
        gradients: All gradients when the optimizer steps.
        optimizer: State of the optimizer.
        activations: What autograd keeps for the backward pass, parameters left out.
        grown: How far the process's peak lies above what it held before the first step.
        first_seconds: Time of the first step, in which layers are compiled.
        seconds: Median time of a step, the first left out.
    """

    adapters: str
    freeze: Any
    layers: Mapping[str, bool]
    weights: int
    trained: int
    gradients: int
    optimizer: int
    activations: int
    grown: int
    first_seconds: float
    seconds: float


def measure(output: Path, *, threads: int = 1) -> str:
    """Train a few steps under every policy, each in a process of its own.

    Args:
        output: JSON file; a Markdown page goes beside it.
        threads: Threads of each process.

    Returns:
        The page.
    """
    rows = []
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for adapters in ADAPTERS:
            cases = [(freeze, {}) for freeze in POLICIES] + [("none", each) for each in LAYERS]
            for freeze, layers in cases:
                rows.append(pool.submit(measure_row, adapters, freeze, layers, threads).result())
    values = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine() | {"threads": threads},
        "versions": versions(),
        "batch_size": BATCH_SIZE,
        "length": LENGTH,
        "encoder": ENCODER,
        "rows": [asdict(row) for row in rows],
    }
    page = _page(rows, values)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def measure_row(adapters: str, freeze: Any, layers: Mapping[str, bool], threads: int) -> Row:
    """Train a few steps in this process, which should do nothing else."""
    import numpy
    import torch

    from bertmod.assemble.components import build_model
    from bertmod.assemble.run import trainer_settings
    from bertmod.contracts.head import TaskInfo
    from bertmod.contracts.sampler import SamplerContext
    from bertmod.engine.tasks import TrainingTask
    from bertmod.engine.trainer import Trainer
    from bertmod.recipe.resolve import resolve
    from bertmod.registry import load_registry

    torch.set_num_threads(threads)
    recipe = resolve(_recipe(adapters, freeze, layers), load_registry())
    model, _ = build_model(recipe, {"rte": TaskInfo(labels=("no", "yes"))})
    features = random_features(BATCH_SIZE * STEPS)
    made: list[torch.optim.Optimizer] = []

    def optimizer(groups: Any) -> torch.optim.Optimizer:
        made.append(recipe.optimizer.spec.build(recipe.optimizer.config, groups))
        return made[0]

    trainer = Trainer(
        model,
        [TrainingTask("rte", features, {}, "")],
        sampler=recipe.sampler.spec.build(
            recipe.sampler.config, SamplerContext.of({"rte": features})
        ),
        optimizer=optimizer,
        schedule=recipe.schedule.spec.build(recipe.schedule.config),
        settings=trainer_settings(recipe),
        quiet=True,
    )
    gradients: list[int] = []
    made[0].register_step_pre_hook(lambda *_: gradients.append(_gradient_bytes(model)))
    before, times = _resident(), []
    for _ in range(STEPS):
        start = time.perf_counter()
        trainer.train_step()
        times.append(time.perf_counter() - start)
    grown = _peak() - before
    states = [value for state in made[0].state.values() for value in state.values()]
    parameters = list(model.parameters())
    return Row(
        adapters=adapters,
        freeze=freeze,
        layers=layers,
        weights=sum(p.nbytes for p in parameters),
        trained=sum(p.nbytes for p in parameters if p.requires_grad),
        gradients=max(gradients),
        optimizer=sum(value.nbytes for value in states if isinstance(value, torch.Tensor)),
        activations=_activation_bytes(model, features.take(numpy.arange(BATCH_SIZE)), layers),
        grown=grown,
        first_seconds=times[0],
        seconds=median(times[1:]),
    )


def _recipe(adapters: str, freeze: Any, layers: Mapping[str, bool]) -> dict[str, Any]:
    return {
        "tasks": [{"name": "rte"}],
        "encoder": ENCODER,
        "adapters": ADAPTERS[adapters],
        "freeze": freeze,
        "training": {
            "num_epochs": 1,
            "steps_per_epoch": STEPS,
            "global_batch_size": BATCH_SIZE,
            "precision": "fp32",
            "device": "cpu",
            **layers,
        },
    }


def random_features(count: int) -> FeatureTable:
    """Rows of one length with random words."""
    import numpy as np

    from bertmod.data.features import Column, FeatureTable

    draw = np.random.default_rng(0)
    ids = draw.integers(1000, ENCODER["vocab_size"], count * LENGTH).astype(np.int32)
    return FeatureTable(
        example=np.arange(count),
        row_bounds=np.arange(count + 1),
        token_bounds=np.arange(count + 1) * LENGTH,
        tokens={"input_ids": ids, "token_type_ids": np.zeros(len(ids), np.uint8)},
        targets={"labels": Column(draw.integers(0, 2, count))},
    )


def _gradient_bytes(model: Module) -> int:
    return sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)


def _activation_bytes(model: Any, features: FeatureTable, layers: Mapping[str, bool]) -> int:
    """What autograd keeps of one forward pass."""
    import torch

    from bertmod.data.collate import collate
    from bertmod.engine.layer_calls import LayerCalls

    checkpointing = layers.get("activation_checkpointing", False)
    compiled = layers.get("compile", False)
    device = torch.device("cpu")
    calls = LayerCalls(checkpointing=checkpointing, compiled=compiled, device=device)
    batch = collate(features, device=device, assume_padding=compiled)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with hooks, calls.around(model):
        output = model(batch, "rte")
    del output
    return sum(kept.values())


def _resident() -> int:
    """Memory that the process holds, bytes."""
    return _status("VmRSS")


def _peak() -> int:
    """The most memory that the process held, bytes."""
    return _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])


def _page(rows: list[Row], values: Mapping[str, Any]) -> str:
    columns = ("trained", "gradients", "optimizer", "activations", "grown")
    head = ("adapters", "freeze", "layers", *columns, "s a step", "s the first")
    lines = [
        (
            row.adapters,
            f"`{json.dumps(row.freeze)}`",
            ", ".join(row.layers),
            *(f"{getattr(row, column) / 2**20:.2f}" for column in columns),
            f"{row.seconds:.2f}",
            f"{row.first_seconds:.2f}",
        )
        for row in rows
    ]
    rule = (*("---" for _ in head[:3]), *("---:" for _ in head[3:]))
    table = "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
    about = ", ".join(f"{key} {value}" for key, value in values["machine"].items())
    shape = f"{ENCODER['num_hidden_layers']} layers of {ENCODER['hidden_size']}"
    return (
        f"# Memory of a training step\n\n{shape}, {values['batch_size']} rows of "
        f"{values['length']} tokens, fp32, bert_adam; MiB. `grown`: how far training raised the "
        f"process's peak.\n\n{table}\n\n{about}; `{values['command']}`\n"
    )
