"""Models built from the reference vectors by the way a run takes: loader, specs, load report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bertmod import (
    AdapterContext,
    Batch,
    CheckpointDescription,
    EmptyConfig,
    EncoderContext,
    HeadContext,
    LoadReport,
    TaskInfo,
)
from bertmod.builtin.adapters.plugin import bertmod_adapters
from bertmod.builtin.encoders.plugin import bertmod_encoders
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.model.loading import Component, load_tensors
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.sites import site_weights
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

LAYOUTS = ("packed", "padded")
KINDS = {
    "encoder": bertmod_encoders,
    "adapter": bertmod_adapters,
    "head": bertmod_heads,
    "loader": bertmod_loaders,
}


def spec(kind: str, name: str) -> Any:
    """The built-in spec of a name, with or without its provider."""
    return {each.name: each for each in KINDS[kind]()}[name.rpartition("/")[2]]


def config(kind: str, slot: Mapping[str, Any], *keys: str) -> Any:
    """The options in a slot, without the name and the envelope's ``keys``."""
    options = {key: value for key, value in slot.items() if key not in ("name", *keys)}
    return spec(kind, slot["name"]).config.model_validate_json(json.dumps(options))


def describe(loader: str, path: Path) -> CheckpointDescription:
    """What a loader says of a checkpoint."""
    found: CheckpointDescription = spec("loader", loader).describe(EmptyConfig(), str(path), None)
    return found


def weights(tensors: Mapping[str, Tensor], prefix: str = "weight/") -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def write_folder(
    folder: Path, values: Mapping[str, Any], tensors: Mapping[str, Tensor], *, file: str
) -> Path:
    """A checkpoint folder with a vocabulary of as many made-up entries as the model has rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(4, 71))]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    if file.endswith(".safetensors"):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file)
    else:
        torch.save(dict(tensors), folder / file)
    return folder


class Loaded:
    """A model whose encoder, adapters and heads all come from one checkpoint.

    Attributes:
        description: What the loader said of the checkpoint.
        model: The model, in evaluation mode.
        components: What was filled.
        report: What became of every tensor.
    """

    def __init__(
        self,
        loader: str,
        path: Path,
        *,
        tasks: tuple[str, ...] | None = None,
        num_labels: Mapping[str, int] | None = None,
        allow: Mapping[str, list[str]] | None = None,
    ) -> None:
        found = spec("loader", loader)
        self.description: CheckpointDescription = found.describe(EmptyConfig(), str(path), tasks)
        self.components: list[Component] = []
        self.model = self._model(num_labels or {})
        self.report: LoadReport = load_tensors(
            found.tensors(str(path)),
            self.description,
            self.components,
            allow=allow,
            source=str(path),
        )

    def _model(self, num_labels: Mapping[str, int]) -> MultiTaskModel:
        slot = self.description.encoder
        assert slot is not None
        about, options = spec("encoder", slot["name"]), config("encoder", slot)
        shape, encoder = about.shape(options), about.build(options, EncoderContext(initialise))
        self.components.append(Component("encoder", about.names(options), encoder, required=True))
        tasks = list(self.description.heads)
        adapters = {
            task: {
                slot["id"]: self._adapter(slot, task, index, encoder, shape)
                for slot in self.description.adapters
            }
            for index, task in enumerate(tasks)
        }
        heads = {
            task: self._head(task, index, shape, num_labels.get(task, 0))
            for index, task in enumerate(tasks)
        }
        return MultiTaskModel(encoder, adapters, heads).eval()

    def _adapter(
        self, slot: Mapping[str, Any], task: str, index: int, encoder: Any, shape: Any
    ) -> Any:
        about = spec("adapter", slot["name"])
        options = config("adapter", slot, "id", "layers", "tasks")
        every = slot["layers"] == "all"
        layers = tuple(range(shape.num_hidden_layers) if every else slot["layers"])
        assert about.check(options, shape, layers) == ()
        weights = partial(site_weights, encoder)
        context = AdapterContext(task, shape, layers, encoder.new_layer, weights, initialise)
        module = about.build(options, context)
        prefix, names = f"adapters.{task}.{slot['id']}", about.names(options, shape, layers)
        self.components.append(Component(prefix, names, module, index=index, required=True))
        counted = about.num_parameters(options, shape, layers)
        assert counted == sum(p.numel() for p in module.parameters())
        return module

    def _head(self, task: str, index: int, shape: Any, num_labels: int) -> Any:
        slot = self.description.heads[task]
        about, options = spec("head", slot["name"]), config("head", slot)
        labels = tuple(str(n) for n in range(num_labels)) if num_labels else None
        module = about.build(options, HeadContext(task, shape, TaskInfo(labels), initialise))
        names = about.names(options, shape)
        self.components.append(Component(f"heads.{task}", names, module, index=index))
        return module


class Rows:
    """Inputs of a case as a batch of one layout, and its outputs in the same order of tokens.

    A layout may be followed by " fast": with the operations made for training on a CPU.
    """

    def __init__(self, tensors: Mapping[str, Tensor], layout: str, *, defaults: bool = False):
        ids = tensors["input/input_ids"]
        mask = torch.ones_like(ids) if defaults else tensors["input/attention_mask"]
        self.lengths = mask.sum(1).numpy()
        # The mask of every case is a run of ones from the row's first token on.
        assert torch.equal(mask, (torch.arange(ids.shape[1]) < mask.sum(1)[:, None]).long())
        self.real = mask.bool()
        self.layout, _, operations = layout.partition(" ")
        self.fast, self.width = operations == "fast", ids.shape[1]
        types = None if defaults else self.flat(tensors["input/token_type_ids"])
        self.ids, self.types = self.flat(ids), types

    def flat(self, values_RL: Tensor) -> Tensor:
        """Values of rows as flat tokens of the layout."""
        return values_RL[self.real] if self.layout == "packed" else values_RL.flatten(0, 1)

    def tokens(self, values_T: Tensor) -> Tensor:
        """Values of the real tokens alone, whatever the layout."""
        return values_T if self.layout == "packed" else values_T[self.real.flatten()]

    def batch(self, labels: Tensor | None = None) -> Batch:
        context = RowContext.of(
            np.asarray(self.lengths), layout=self.layout, length=self.width, fast=self.fast
        )
        rows = torch.arange(len(self.lengths))
        targets = {} if labels is None else {"labels": labels}
        return Batch(self.ids, self.types, rows, targets, context)


@pytest.fixture(scope="session")
def reference() -> SimpleNamespace:
    """What the tests of encoder, adapters and loaders build their models with."""
    return SimpleNamespace(
        Loaded=Loaded,
        Rows=Rows,
        spec=spec,
        config=config,
        describe=describe,
        weights=weights,
        write_folder=write_folder,
    )
