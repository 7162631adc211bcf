"""The ``bert_config.json`` of a TensorFlow checkpoint: read, judged by the tensors, written.

Google's programs know neither tokenizer options nor label names nor two kinds of gelu, and ignore
keys that they do not know. What they have no place for stands under the key ``bertmod``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bertmod import CheckpointContent, CheckpointError, TaskInfo
from bertmod.builtin.loaders.dialect import json_object
from bertmod.builtin.loaders.encoder_config import Matrices, encoder_slot, measured
from bertmod.builtin.loaders.tensorflow_files import Found

OWN_KEY = "bertmod"
HEAD_WIDTH = 64
"""Units of every attention head in the models that Google released."""

LAYER_NORM_EPS = 1e-12
"""Fixed in Google's code."""

WORDS = "embeddings/word_embeddings"
MATRICES: Matrices = {
    "vocab_size": (WORDS, 0),
    "hidden_size": (WORDS, 1),
    "intermediate_size": ("encoder/layer_0/intermediate/dense/kernel", 1),
    "max_position_embeddings": ("embeddings/position_embeddings", 0),
    "type_vocab_size": ("embeddings/token_type_embeddings", 0),
}
LAYER = r"encoder/layer_(\d+)/"

WRITTEN = (
    "attention_probs_dropout_prob",
    "hidden_dropout_prob",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "type_vocab_size",
    "vocab_size",
)
"""Options that have the same name in Google's file; the activation comes beside."""

Shapes = Mapping[str, tuple[int, ...]]


class OwnHead(BaseModel):
    """What the key ``bertmod`` says of a task's head."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    slot: dict[str, Any]
    labels: tuple[str, ...] | None
    value_range: tuple[float, float] | None = None
    calibration: dict[str, float] = {}

    def info(self) -> TaskInfo:
        """Label names and the like, as heads take them."""
        return TaskInfo(self.labels, self.value_range, self.calibration)


class OwnKey(BaseModel):
    """What stands under the key ``bertmod``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    hidden_act: str
    tokenizer: dict[str, Any]
    heads: dict[str, OwnHead]


def read_config(found: Found, shapes: Shapes) -> tuple[dict[str, Any], OwnKey | None]:
    """The encoder slot of a checkpoint, and what bertmod wrote beside it.

    Args:
        found: The checkpoint.
        shapes: Format name to shape of its tensors.

    Raises:
        CheckpointError: If there is no configuration and it cannot be done without, if it is
            damaged, or if it disagrees with the tensors.
    """
    sizes = measured(shapes, MATRICES, layer=LAYER)
    if found.config is None:
        return _slot_without_config(found, sizes), None
    values = json_object(found.config)
    if values is None:
        raise CheckpointError(f"{found.config}: not a JSON object")
    slot = encoder_slot(values, sizes, source=found.config, weights=found.prefix)
    own = _own(values, found.config)
    if own is not None and (own.hidden_act, slot["hidden_act"]) == ("gelu_tanh", "gelu"):
        slot["hidden_act"] = "gelu_tanh"
    return slot, own


def written_config(content: CheckpointContent) -> str:
    """The text of the ``bert_config.json`` for a checkpoint.

    Raises:
        CheckpointError: If the encoder or a head differs from what Google's code computes.
    """
    encoder, act = content.encoder, content.encoder["hidden_act"]
    if encoder["layer_norm_eps"] != LAYER_NORM_EPS:
        raise CheckpointError(
            f"the tensorflow format cannot hold layer_norm_eps {encoder['layer_norm_eps']}: "
            f"Google's code always adds {LAYER_NORM_EPS}\n  write another format"
        )
    for task, slot in content.heads.items():
        if _googles(slot.get("hidden_act", act)) != _googles(act):
            raise CheckpointError(
                f'the head of "{task}" has {slot["hidden_act"]}, the encoder {act}: '
                "the tensorflow format has one activation for both"
            )
    values = {key: encoder[key] for key in WRITTEN}
    values["hidden_act"] = _googles(act)
    values[OWN_KEY] = {
        "hidden_act": act,
        "tokenizer": {
            key: value for key, value in content.tokenizer.items() if key not in ("name", "vocab")
        },
        "heads": {task: _written_head(content, task) for task in content.heads},
    }
    return json.dumps(values, indent=2) + "\n"


def _googles(act: str) -> str:
    """What Google's file calls an activation; its gelu is either."""
    return "gelu" if act == "gelu_tanh" else act


def _written_head(content: CheckpointContent, task: str) -> dict[str, Any]:
    info = content.infos.get(task, TaskInfo())
    head = OwnHead(
        slot=dict(content.heads[task]),
        labels=info.labels,
        value_range=info.value_range,
        calibration=dict(info.calibration),
    )
    return head.model_dump(mode="json")


def _slot_without_config(found: Found, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The encoder of a SavedModel, which brings no configuration along."""
    folder = found.prefix.parent
    if not found.saved_model:
        raise CheckpointError(
            f"{folder}: no bert_config.json beside {found.prefix.name}\n"
            "  put that of the model there, or that of the model that it was fine-tuned from"
        )
    lacking = [option for option in (*MATRICES, "num_hidden_layers") if option not in sizes]
    hidden = sizes.get("hidden_size", 0)
    if lacking or hidden % HEAD_WIDTH:
        why = f"no tensor shows {', '.join(lacking)}"
        if not lacking:
            why = (
                f"its hidden size of {hidden} is no multiple of {HEAD_WIDTH}, "
                "so that nothing tells the number of attention heads"
            )
        raise CheckpointError(
            f"{folder.parent}: {why}\n  put the model's bert_config.json into that folder"
        )
    heads = hidden // HEAD_WIDTH
    return {"name": "bertmod/bert", "hidden_act": "gelu", **sizes, "num_attention_heads": heads}


def _own(values: Mapping[str, Any], source: Path) -> OwnKey | None:
    if OWN_KEY not in values:
        return None
    try:
        return OwnKey.model_validate_json(json.dumps(values[OWN_KEY]))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (OWN_KEY, *first["loc"]))
        raise CheckpointError(
            f"{source}: {place}: {first['msg']}\n"
            f'  without the key "{OWN_KEY}" the file is read as Google writes it'
        ) from error
