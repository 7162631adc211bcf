"""Models as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bertmod import Arrays, ExportContext, Exported
from bertmod.builtin.exporters.program import BATCH, LENGTH, size, traced

FILE = "model.onnx"

FATAL = 4
"""The least severe messages that onnxruntime prints."""

USE = """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
names = [output.name for output in session.get_outputs()]
outputs = dict(zip(names, session.run(names, inputs)))"""


def export(context: ExportContext, folder: Path, *, opset: int) -> Exported:
    """Write ``model.onnx``.

    Args:
        context: The model.
        folder: Where the file goes.
        opset: Version of ONNX's operators.
    """
    path = folder / FILE
    write(context, path, opset=opset)
    return Exported(Session(path).run, (f"{FILE}: {size(path)}, fp32, opset {opset}",), USE)


def opened(folder: Path) -> Exported:
    """``model.onnx`` of a folder, ready to be run.

    Args:
        folder: Where the file is.
    """
    return Exported(Session(folder / FILE).run)


def write(context: ExportContext, path: Path, *, opset: int) -> None:
    """Write the model in fp32.

    Args:
        context: The model.
        path: The file.
        opset: Version of ONNX's operators.
    """
    program = torch.onnx.export(
        traced(context),
        dynamo=True,
        input_names=list(context.example),
        output_names=list(context.outputs),
        dynamic_shapes={name: {0: BATCH, 1: LENGTH} for name in context.example},  # their names
        opset_version=opset,
        verbose=False,
    )
    assert program is not None  # torch returns one for dynamo=True
    program.save(path)


class Session:
    """A file in onnxruntime, on the CPU, with as many threads as torch has.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = FATAL  # what goes wrong is raised, and printed once
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._options = onnxruntime.RunOptions()
        # The passes of tasks that nobody asks for are left out.
        self._options.only_execute_path_to_fetches = True
        self._options.log_severity_level = FATAL

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """The wanted outputs by name, fp32."""
        found = self._session.run(list(outputs), dict(inputs), self._options)
        return dict(zip(outputs, found, strict=True))
