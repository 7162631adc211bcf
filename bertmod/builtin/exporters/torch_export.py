"""Models in torch's own format of exported programs.

TorchScript, which came before it, is deprecated in torch and not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from bertmod import Arrays, ExportContext, Exported
from bertmod.builtin.exporters.program import size, traced

FILE = "model.pt2"

USE = """\
```python
import torch
from tokenizers import Tokenizer

row = Tokenizer.from_file("tokenizer.json").encode("A text", "and its second, if it has one")
model = torch.export.load("model.pt2").module()
with torch.inference_mode():
    outputs = model(
        input_ids=torch.tensor([row.ids]),
        attention_mask=torch.tensor([row.attention_mask]),
        token_type_ids=torch.tensor([row.type_ids]),
    )
```"""


def export(context: ExportContext, folder: Path) -> Exported:
    """Write ``model.pt2`` and load it again.

    Args:
        context: The model.
        folder: Where the file goes.
    """
    path = folder / FILE
    torch.export.save(traced(context), path)
    loaded = torch.export.load(path).module()

    def run(inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        with torch.inference_mode():
            found = loaded(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: found[name].numpy() for name in outputs}

    return Exported(run, (f"{FILE}: {size(path)}, fp32",), USE)
