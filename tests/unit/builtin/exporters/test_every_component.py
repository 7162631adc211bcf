"""Every built-in head and adapter, exported by every exporter that is exact."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from bertmod.inference.exported import ExportedModel, largest_difference
from bertmod.library import build_adapter, build_encoder, build_head, installed
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedModel

SIZES = {
    "vocab_size": 40,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}
HEADS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ("a", "b", "c")},
    "masked_lm": {},
    "multi_label": {"labels": ("a", "b")},
    "multiple_choice": {},
    "next_sentence": {"labels": ("next", "random")},
    "pretraining": {"labels": ("next", "random")},
    "regression": {},
    "span": {},
    "token_classification": {"labels": ("a", "b", "c", "d")},
}
ADAPTERS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "bottleneck": (("bottleneck", {"bottleneck_size": 5}),),
    "parallel": (("bottleneck", {"bottleneck_size": 5, "parallel": ("ffn_output",)}),),
    "lhuc": (("lhuc", {}),),
    "low_rank": (("low_rank", {"bottleneck_size": 5}),),
    "pals": (("pals", {"bottleneck_size": 12, "num_heads": 3}),),
    "scaled_pals": (
        ("pals", {"bottleneck_size": 12, "num_heads": 3, "share_projections": False}),
        ("lhuc", {"site": "layer_residual"}),
    ),
    "top_attention": (("top_attention", {"bottleneck_size": 12, "num_heads": 3}),),
    "top_layer": (("top_layer", {}),),
}
OPTIONS = {"older_onnx": {"opset": 18}}
SLOW = pytest.mark.slow
ONNX, OLDER_ONNX = pytest.param("onnx", marks=SLOW), pytest.param("older_onnx", marks=SLOW)


def stirred(model: MultiTaskModel) -> MultiTaskModel:
    """The model with no parameter left at 0 or 1, which would hide a mistake."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def models() -> dict[str, MultiTaskModel]:
    """One model with a task for each head, one of them with PALs, and one of a single layer with a
    task for each adapter.
    """
    torch.manual_seed(0)
    encoder, shallow = build_encoder(**SIZES), build_encoder(**{**SIZES, "num_hidden_layers": 1})
    heads = {name: build_head(encoder, name, name, **about) for name, about in HEADS.items()}
    pals = build_adapter(encoder, "span", "pals", bottleneck_size=12, num_heads=3)
    adapters = {
        task: {name: build_adapter(shallow, task, name, **options) for name, options in parts}
        for task, parts in ADAPTERS.items()
    }
    each = {task: build_head(shallow, task, "classification", labels="ab") for task in ADAPTERS}
    return {
        "heads": stirred(MultiTaskModel(encoder, {"span": {"pals": pals}}, heads)),
        "adapters": stirred(MultiTaskModel(shallow, adapters, each)),
    }


class Made(NamedTuple):
    """A folder of exported files, and the files in the place of the model."""

    folder: Path
    model: ExportedModel


@pytest.fixture(scope="module")
def exported(
    models: dict[str, MultiTaskModel], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Made]:
    """Exports a model, once."""
    made: dict[tuple[str, str], Made] = {}

    def export(exporter: str, which: str) -> Made:
        if (exporter, which) not in made:
            spec: Any = installed().get("exporter", exporter.removeprefix("older_")).spec
            padded = PaddedModel(models[which], models[which].tasks)
            folder = tmp_path_factory.mktemp(exporter)
            with warnings.catch_warnings(action="ignore"):
                files = spec.export(
                    spec.config(**OPTIONS.get(exporter, {})), padded.context(), folder
                )
            own = ExportedModel(padded.model, files, padded.outputs)
            made[exporter, which] = Made(folder, own)
        return made[exporter, which]

    return export


def apart(model: MultiTaskModel, files: ExportedModel, task: str) -> float:
    """The largest difference of one task's logits."""
    own = [output for output in files.outputs if output.task == task]
    assert own
    alone = MultiTaskModel(
        files.encoder,  # type: ignore[arg-type]
        {task: files.task_adapters(task)},
        {task: files.head(task)},
    )
    one = ExportedModel(alone, files._exported, own)
    return largest_difference(model, one, vocab_size=40, num_types=2, max_length=32)


def test_every_component_is_here() -> None:
    registry = installed()
    own = {
        kind: {e.spec.name for e in registry.entries(kind) if e.provider == "bertmod"}
        for kind in ("head", "adapter")
    }
    assert own["head"] == set(HEADS)
    assert own["adapter"] == {name for parts in ADAPTERS.values() for name, _ in parts}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("exporter", ["torch_export", ONNX, OLDER_ONNX])
def test_heads(models, exported, exporter: str, head: str) -> None:
    assert apart(models["heads"], exported(exporter, "heads").model, head) < 2e-6


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("exporter", [pytest.param("torch_export", marks=SLOW), ONNX])
def test_adapters(models, exported, exporter: str, adapter: str) -> None:
    assert apart(models["adapters"], exported(exporter, "adapters").model, adapter) < 2e-6


@SLOW
def test_weights_are_shared_by_the_passes(exported, models) -> None:
    """The file of eight passes holds the encoder once."""
    import onnx

    graph = onnx.load(exported("onnx", "adapters").folder / "model.onnx").graph
    stored = sum(np.prod(t.dims, dtype=int) for t in graph.initializer)
    assert stored < 1.01 * sum(p.numel() for p in models["adapters"].parameters()) + 200


@SLOW
@pytest.mark.parametrize("which", ["heads", "adapters"])
def test_the_sizes_that_are_open_have_names(exported, which: str) -> None:
    import onnx

    graph = onnx.load(exported("onnx", which).folder / "model.onnx").graph
    for tensor in (*graph.input, *graph.output):
        names = [size.dim_param for size in tensor.type.tensor_type.shape.dim if size.dim_param]
        assert names in (["batch", "length"], ["batch"]), tensor.name


@SLOW
@pytest.mark.parametrize("head", HEADS)
def test_eight_bits_are_near(models, exported, head: str) -> None:
    """Matrices that layers or passes share, as PALs' do, are quantized once."""
    assert 0 < apart(models["heads"], exported("int8", "heads").model, head) < 0.25


@SLOW
def test_eight_bits_take_a_quarter(exported) -> None:
    """Of matrices; a model this small consists of little else but names."""
    import onnx

    found = onnx.load(exported("int8", "heads").folder / "model.onnx").graph.initializer
    whole = {t.name for t in found if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1}
    assert not {name for name in whole if "scale" not in name and "zero_point" not in name}
