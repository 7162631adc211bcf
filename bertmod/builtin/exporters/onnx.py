"""Models as ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bertmod import Arrays, ExportContext, Exported
from bertmod.builtin.exporters.program import size, traced

FILE = "model.onnx"

USE = """\
```python
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

row = Tokenizer.from_file("tokenizer.json").encode("A text", "and its second, if it has one")
inputs = {
    "input_ids": np.array([row.ids]),
    "attention_mask": np.array([row.attention_mask]),
    "token_type_ids": np.array([row.type_ids]),
}
session = onnxruntime.InferenceSession("model.onnx")
outputs = dict(zip((each.name for each in session.get_outputs()), session.run(None, inputs)))
```"""


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
        output_names=[output.name for output in context.outputs],
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
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._options = onnxruntime.RunOptions()
        # The passes of tasks that nobody asks for are left out.
        self._options.only_execute_path_to_fetches = True

    def run(self, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """The wanted outputs by name, fp32."""
        found = self._session.run(list(outputs), dict(inputs), self._options)
        return dict(zip(outputs, found, strict=True))
