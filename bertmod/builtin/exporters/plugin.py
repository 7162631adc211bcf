"""The exporters that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from bertmod import (
    ComponentConfig,
    EmptyConfig,
    ExportContext,
    Exported,
    ExporterSpec,
    Problem,
    hookimpl,
)

BERTMOD_CONTRACT = 1

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


class OnnxConfig(ComponentConfig):
    """Options of ``onnx``."""

    opset: int = Field(
        20,
        ge=18,
        le=23,
        description="Version of ONNX's operators, 18 to 23; an older runtime may need a lower one.",
    )


class Int8Config(OnnxConfig):
    """Options of ``int8``."""

    per_channel: bool = Field(
        True,
        description="Whether each output of a layer has a scale of its own; false: each matrix.",
    )
    reduce_range: bool = Field(
        False,
        description="Whether weights have 7 bits instead of 8: more exact on x86 processors "
        "without VNNI instructions, whose sums of products may overflow.",
    )


def export_onnx(config: OnnxConfig, context: ExportContext, folder: Path) -> Exported:
    """``model.onnx``, run by onnxruntime."""
    from bertmod.builtin.exporters import onnx

    return onnx.export(context, folder, opset=config.opset)


def export_int8(config: Int8Config, context: ExportContext, folder: Path) -> Exported:
    """``model.onnx`` with the weights in 8 bits, run by onnxruntime."""
    from bertmod.builtin.exporters import int8

    return int8.export(
        context,
        folder,
        opset=config.opset,
        per_channel=config.per_channel,
        reduce_range=config.reduce_range,
    )


def export_torch(config: EmptyConfig, context: ExportContext, folder: Path) -> Exported:
    """``model.pt2``, run by torch."""
    from bertmod.builtin.exporters import torch_export

    del config
    return torch_export.export(context, folder)


def open_onnx(folder: Path) -> Exported:
    """``model.onnx`` of a folder, in either precision."""
    from bertmod.builtin.exporters import onnx

    return onnx.opened(folder)


def installed(config: ComponentConfig) -> Sequence[Problem]:
    """A problem if a library is missing."""
    del config
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if not missing:
        return ()
    return (Problem("", f"not installed: {', '.join(missing)}", ('pip install "bertmod[onnx]"',)),)


@hookimpl
def bertmod_exporters() -> Iterator[ExporterSpec]:
    """ONNX in 32 and 8 bits, and torch's own format."""
    yield ExporterSpec(
        name="onnx",
        config=OnnxConfig,
        export=export_onnx,
        open=open_onnx,
        check=installed,
        summary="model.onnx for onnxruntime and others, in fp32.",
        source="https://onnx.ai",
    )
    yield ExporterSpec(
        name="torch_export",
        config=EmptyConfig,
        export=export_torch,
        summary="model.pt2 for torch.export.load, without bertmod, in fp32.",
        source="https://docs.pytorch.org/docs/stable/export.html",
    )
    yield ExporterSpec(
        name="int8",
        config=Int8Config,
        export=export_int8,
        open=open_onnx,
        check=installed,
        exact=False,
        summary="model.onnx with weights in 8 bits, a quarter of the size; scored on the dev rows.",
        source="https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html",
    )
