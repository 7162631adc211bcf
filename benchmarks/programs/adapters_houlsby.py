"""Fine-tune a text-pair classifier with the Houlsby adapters of the library adapters.

Runs in an environment of its own that has adapters beside what ``transformers_classification.py``
needs, and takes the same arguments.
"""

from __future__ import annotations

from typing import Any

import adapters  # type: ignore[import-not-found]
from torch.nn import Module
from transformers_classification import main, new_model

NAME = "mrpc"


def houlsby(settings: dict[str, Any]) -> Module:
    """Two bottlenecks in every layer; the classifier trains, the rest of the model does not."""
    model = new_model(settings)
    adapters.init(model)
    config = adapters.DoubleSeqBnConfig(
        reduction_factor=model.config.hidden_size / settings["bottleneck_size"],
        non_linearity="gelu",
        init_weights="bert",
    )
    model.add_adapter(NAME, config=config)
    model.train_adapter(NAME)
    return model


if __name__ == "__main__":
    main("adapters", make_model=houlsby)
