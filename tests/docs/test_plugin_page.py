"""The page on writing a plugin gives a plugin that works."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bertmod import AdapterContext, EncoderContext
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.model.sites import TaskSites
from bertmod.nn.initialisation import initialise
from bertmod.plugins import Plugin, Source, collect
from bertmod.registry import Registry, load_registry

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Block


@pytest.fixture
def gate(
    plugin_page: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The spec of the page's plugin, loaded from a package made of the page's blocks."""
    record, module = (block.text for block in plugin_page if block.language == "python")
    folder = tmp_path / "bertmod_gate"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "plugin.py").write_text(record, encoding="utf-8")
    (folder / "modules.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = Plugin("gate", "bertmod_gate.plugin", "bertmod-gate", "0.1.0")
    source = Source(found, lambda: importlib.import_module("bertmod_gate.plugin"))
    registry = Registry(collect([source]))
    assert registry.failures == ()
    yield registry.get("adapter", "gate").spec
    for name in [name for name in sys.modules if name.startswith("bertmod_gate")]:
        del sys.modules[name]


def test_its_adapter_acts_in_an_encoder(gate: Any) -> None:
    spec = load_registry().get("encoder", "bert").spec
    encoder: Any = spec.build(spec.config(size="tiny", vocab_size=20), EncoderContext(initialise))
    shape, layers = encoder.shape, (0, 1)
    context = AdapterContext(
        "task", shape, layers, encoder.new_layer, encoder.projection, initialise
    )
    adapter = gate.build(gate.config(init_scale=2.0), context)
    parameters = sum(parameter.numel() for parameter in adapter.parameters())
    assert gate.num_parameters(gate.config(), shape, layers) == parameters
    assert gate.sites(gate.config(), shape, layers) == adapter.sites

    batch = collate(_table(), layout="packed", device="cpu")
    plain = encoder(batch, want=frozenset({"layers"})).layers
    gated = encoder(batch, TaskSites([adapter], batch.context), want=frozenset({"layers"})).layers
    torch.testing.assert_close(gated[1], 2 * plain[1])


def _table() -> FeatureTable:
    import numpy as np

    from bertmod import RowTable

    ids = np.array([1, 2, 3, 4, 5], np.int32)
    rows = RowTable(ids, np.zeros(5, np.uint8), np.array([0, 3, 5]), np.zeros(2, bool))
    return FeatureTable.from_rows(rows)


def test_its_package_names_the_module(plugin_page: list[Block]) -> None:
    text = next(block.text for block in plugin_page if block.language == "toml")
    package = tomllib.loads(text)
    assert package["project"]["entry-points"]["bertmod"] == {"gate": "bertmod_gate.plugin"}
