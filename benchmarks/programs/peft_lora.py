"""Fine-tune a text-pair classifier with peft's LoRA, the encoder frozen.

Runs in an environment of its own that has peft beside what ``transformers_classification.py``
needs, and takes the same arguments.
"""

from __future__ import annotations

from typing import Any

from peft import (  # type: ignore[import-not-found]
    LoraConfig,
    PeftModel,
    TaskType,
    get_peft_model,
)
from transformers_classification import main, new_model


def lora(settings: dict[str, Any]) -> PeftModel:
    """LoRA in the encoder's projections; the classifier trains, the pooler does not."""
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        target_modules=settings["sites"],
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["lora_dropout"],
        bias="none",
        modules_to_save=["classifier"],
    )
    return get_peft_model(new_model(settings), config)


if __name__ == "__main__":
    main("peft", make_model=lora)
