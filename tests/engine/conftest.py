"""A toy model of two tasks that trains in milliseconds, and what runs the program."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bertmod import SamplerContext
from bertmod.data.features import Column, FeatureTable
from bertmod.engine import data_parallel, offload
from bertmod.engine.evaluate import ScoredFeatures
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.settings import TrainerSettings
from bertmod.engine.sharding import is_sharded
from bertmod.engine.tasks import TrainingTask
from bertmod.engine.trainer import Trainer
from bertmod.library import build, build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel

VOCABULARY = 40
HEADS = {"flag": "classification", "size": "regression", "other": "classification"}


def beside(name: str) -> ModuleType:
    """A module of this folder, which pytest puts on no path."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"bertmod_test_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def toy_features(task: str, count: int, seed: int = 0) -> FeatureTable:
    """Random rows of 3 to 12 tokens; what they are labelled with can be read off their tokens."""
    draw = np.random.default_rng([seed, len(task)])
    lengths = draw.integers(3, 13, count)
    ids = draw.integers(1, VOCABULARY, lengths.sum()).astype(np.int32)
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    first = ids[bounds[:-1]]
    right = first / VOCABULARY if HEADS[task] == "regression" else (first > 20).astype(np.int64)
    rows = np.arange(count)
    return FeatureTable(
        example=rows,
        row_bounds=np.arange(count + 1),
        token_bounds=bounds,
        tokens={"input_ids": ids, "token_type_ids": np.zeros(len(ids), np.uint8)},
        targets={"labels": Column(np.asarray(right))},
    )


def toy_model(
    tasks: Sequence[str] = ("flag", "size"), *, dropout: float = 0.0, seed: int = 0
) -> MultiTaskModel:
    """An encoder of two layers, and for each task projected attention layers and a head."""
    torch.manual_seed(seed)
    encoder = build_encoder(
        "bert",
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,
    )
    options = {"bottleneck_size": 4, "num_heads": 2, "attention_probs_dropout_prob": dropout}
    adapters = {task: {"pals": build_adapter(encoder, task, "pals", **options)} for task in tasks}
    heads = {}
    for task in tasks:
        labels = ("no", "yes") if HEADS[task] == "classification" else None
        heads[task] = build_head(encoder, task, HEADS[task], labels=labels, dropout=dropout)
    return MultiTaskModel(encoder, adapters, heads)


def toy_task(task: str, *, count: int = 40, dev: int = 24, **options: Any) -> TrainingTask:
    """A task on random features, scored by its mean squared error or by its accuracy."""
    features = toy_features(task, dev, seed=9)
    right = features.targets["labels"].values
    if HEADS[task] == "regression":

        def score(decoded: Sequence[Any]) -> dict[str, float]:
            values = np.array([arrays["value"] for arrays in decoded])
            return {"score": float(np.square(values - right).mean())}
    else:

        def score(decoded: Sequence[Any]) -> dict[str, float]:
            given = np.array([arrays["probabilities"].argmax() for arrays in decoded])
            return {"score": float((given == right).mean())}

    return TrainingTask(
        task,
        toy_features(task, count),
        {"dev": ScoredFeatures(features, score)},
        "dev/score",
        greater_is_better=HEADS[task] != "regression",
        **options,
    )


def toy_trainer(
    model: MultiTaskModel | None = None,
    tasks: Sequence[TrainingTask] | None = None,
    *,
    sampler: str = "round_robin",
    optimizer: str | Callable[..., Any] = "adamw",
    schedule: str = "constant",
    folder: Any = None,
    writer: Any = None,
    trackers: Sequence[Any] = (),
    ranks: Ranks = ALONE,
    **settings: Any,
) -> Trainer:
    """A trainer of a toy model, on the CPU in fp32 unless the settings say otherwise."""
    model = toy_model() if model is None else model
    tasks = [toy_task(task) for task in model.tasks] if tasks is None else tasks
    plain = {
        "device": "cpu",
        "precision": "fp32",
        "learning_rate": 1e-2,
        "global_batch_size": 8,
        "num_epochs": 2,
        "steps_per_epoch": 6,
        **settings,
    }
    context = SamplerContext.of({task.id: task.train for task in tasks})
    made = (
        (lambda groups: build("optimizer", optimizer, groups))
        if isinstance(optimizer, str)
        else optimizer
    )
    return Trainer(
        model,
        tasks,
        sampler=build("sampler", sampler, context) if isinstance(sampler, str) else sampler,
        optimizer=made,
        schedule=build("schedule", schedule),
        settings=TrainerSettings(**plain),
        folder=folder,
        writer=writer,
        trackers=trackers,
        ranks=ranks,
        quiet=True,
    )


class Toy:
    """The functions above, since test modules do not import from each other."""

    features = staticmethod(toy_features)
    model = staticmethod(toy_model)
    task = staticmethod(toy_task)
    trainer = staticmethod(toy_trainer)

    @staticmethod
    def values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """A copy of all parameters, whole; of a model in parts all processes must ask."""
        return {
            name: value.full_tensor() if is_sharded(value) else value.clone()
            for name, value in model.state_dict().items()
        }

    @staticmethod
    def changed(before: dict[str, torch.Tensor], model: torch.nn.Module) -> set[str]:
        """Names of the parameters that differ from the copy."""
        now = model.state_dict()
        return {name for name, value in before.items() if not torch.equal(value, now[name])}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Toys are too small for several threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def host_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offloading copies on a CPU too, as it does from a GPU, so that every machine tests it."""
    monkeypatch.setattr(offload, "settled_offload", lambda offload, device: offload)


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spread over all GPUs is computed twice on the CPU, so that every machine tests it."""
    monkeypatch.setattr(data_parallel, "gpus", lambda: [torch.device("cpu")] * 2)


@pytest.fixture(scope="session")
def toy() -> type[Toy]:
    return Toy


@pytest.fixture(scope="session")
def in_processes() -> Callable[..., list[Any]]:
    """What a function of the ranks returns in each of two processes, or more: ``processes.py``."""
    importlib.import_module("torch.distributed.fsdp")  # once, instead of in every fork
    toy_trainer()  # the same of all plugins
    found: Callable[..., list[Any]] = beside("processes").in_processes
    return found


RECIPE = {
    "tasks": [{"name": "rte"}, {"name": "stsb"}],
    "encoder": {
        "name": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    },
    "adapters": [{"name": "pals", "bottleneck_size": 8, "num_heads": 2}],
    "data": {"dir": "sample", "max_length": 24},
    "optimizer": {"name": "adamw", "learning_rate": 0.003, "idle": "dense"},
    "training": {
        "num_epochs": 3,
        "steps_per_epoch": 8,
        "global_batch_size": 4,
        "precision": "fp32",
        "device": "cpu",
    },
    "evaluation": {"every_steps": 4, "batch_size": 300},
    "saving": {"every_steps": 3},
    "trackers": [],
}


@pytest.fixture(scope="session")
def run_files() -> Any:
    """Looks into run folders: ``RunFiles`` of ``program.py``."""
    return beside("program").RunFiles


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed plugin: a sampler that listens, an optimizer that does nothing."""
    folder = tmp_path_factory.mktemp("site")
    code = Path(__file__).with_name("plugin_for_tests.py").read_text()
    (folder / "bertmod_for_tests.py").write_text(code)
    info = folder / "bertmod_for_tests-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: bertmod-for-tests\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text("[bertmod]\nfor_tests = bertmod_for_tests\n")
    return folder


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory, plugins: Path) -> Iterator[Any]:
    """Runs the program: ``Program`` of ``program.py``."""
    program = beside("program").Program(tmp_path_factory.mktemp("program"), plugins)
    yield program
    program.close()


@pytest.fixture(scope="session")
def write_recipe() -> Callable[..., Path]:
    """Writes the tiny recipe, some of its keys replaced, into a folder."""

    def write(folder: Path, **changes: Any) -> Path:
        recipe: dict[str, Any] = json.loads(json.dumps(RECIPE))
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(recipe.get(key), dict):
                recipe[key] |= value
            else:
                recipe[key] = value
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "tiny.json"
        path.write_text(json.dumps(recipe))
        return path

    return write
