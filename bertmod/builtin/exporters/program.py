"""A model as the graph that all built-in exporters start from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from bertmod import ExportContext

BATCH, LENGTH = "batch", "length"


def traced(context: ExportContext) -> ExportedProgram:
    """The model as torch's graph, batch and length left open.

    Args:
        context: The model.
    """
    axes = {0: Dim(BATCH), 1: Dim(LENGTH, max=context.max_length)}
    with torch.no_grad():
        return torch.export.export(
            context.module,
            (),
            dict(context.example),
            dynamic_shapes=dict.fromkeys(context.example, axes),
        )


def size(path: Path) -> str:
    """A file's size, to read: ``4.2 MB``."""
    return f"{path.stat().st_size / 1e6:,.1f} MB"
