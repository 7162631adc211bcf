"""Models in torch's own format of exported programs.

TorchScript, which came before it, is deprecated in torch and not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import torch
from torch.export import ExportedProgram

from bertmod import Arrays, ExportContext, Exported
from bertmod.builtin.exporters.program import size, traced

FILE = "model.pt2"

USE = """\
import torch

model = torch.export.load("model.pt2").module()
with torch.inference_mode():
    found = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
outputs = {name: value.numpy() for name, value in found.items()}"""


def export(context: ExportContext, folder: Path) -> Exported:
    """Write ``model.pt2`` and load it again.

    Args:
        context: The model.
        folder: Where the file goes.
    """
    path = folder / FILE
    _save(traced(context), path)
    loaded = torch.export.load(path).module()

    def run(inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        with torch.inference_mode():
            found = loaded(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: found[name].numpy() for name in outputs}

    return Exported(run, (f"{FILE}: {size(path)}, fp32",), USE)


def _save(program: ExportedProgram, path: Path) -> None:
    """Write a program to a file."""
    data = BytesIO()  # torch's own writer of files kills the process where a disk is full
    torch.export.save(program, data)
    path.write_bytes(data.getbuffer())
