"""A checkpoint as a folder that ``transformers`` loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod import CheckpointContent, CheckpointError, TaskInfo
from bertmod.builtin.loaders.dialect import PREFIX
from bertmod.builtin.loaders.encoder_config import COPIED
from bertmod.builtin.loaders.huggingface_folder import (
    ACTIVATION_NAMES,
    CONFIG,
    VOCABULARY,
    WEIGHTS,
)
from bertmod.builtin.loaders.huggingface_heads import (
    ARCHITECTURES,
    BOTH,
    OF_TEXTS,
    PROBLEM_TYPES,
)
from bertmod.model.tokenizer_files import OWN_KEY, special_tokens, tokenizer_files

if TYPE_CHECKING:
    from torch import Tensor

POOLER = "pooler."
NEED_POOLER = (
    OF_TEXTS,
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
)
"""Architectures whose heads read the pooled output."""

USE = """\
```python
from transformers import AutoTokenizer, {architecture}

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = {architecture}.from_pretrained("{folder}")
```

`AutoTokenizer` reads `tokenizer.json`, which gives the pieces that the model was trained on.
Special tokens written in a text, such as `[SEP]`, are special there, and plain text to bertmod.
`BertTokenizer` builds a tokenizer of its own from the vocabulary, which differs in words of more
than 100 characters and in unassigned and private-use characters."""


def write(content: CheckpointContent, folder: Path) -> str:
    """Fill an empty folder with configuration, weights and tokenizer.

    Args:
        content: The checkpoint: a BERT with one head at most, or the two of pre-training.
        folder: The folder, there and empty.

    Returns:
        How transformers loads it, Markdown.

    Raises:
        CheckpointError: If transformers has no architecture for the content.
        OSError: If the disk is full or the folder cannot be written.
    """
    from bertmod.model.tensor_file import save_tensors

    architecture = _architecture(content)
    tensors = _tensors(content, architecture)
    vocab = content.tokenizer.get("vocab")
    files = tokenizer_files(
        content.tokenizer,
        {} if vocab is None else {VOCABULARY: content.files[vocab]},
        pipeline=content.pipeline,
        max_length=content.encoder["max_position_embeddings"],
    )
    values = _config(content, architecture)
    (folder / CONFIG).write_text(_text(values), encoding="utf-8")
    save_tensors(folder / WEIGHTS[0], tensors)
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return USE.replace("{architecture}", architecture)


def _architecture(content: CheckpointContent) -> str:
    """The class of transformers that has the content's heads."""
    if _bare(content.encoder) != "bert":
        raise CheckpointError(
            f'transformers has no encoder that is bertmod\'s "{content.encoder["name"]}"'
        )
    if adapted := [task for task, slots in content.adapters.items() if slots]:
        raise CheckpointError(
            f'transformers\' BERT has no place for the adapters of "{adapted[0]}"\n'
            "  merge them into the encoder first, where they can be"
        )
    names = tuple(_bare(slot) for slot in content.heads.values())
    if not names:
        return "BertModel"
    if len(names) == 1 and names[0] in PROBLEM_TYPES.values():
        return OF_TEXTS
    if names == (BOTH,):
        return "BertForPreTraining"
    for architecture, heads in ARCHITECTURES.items():
        if sorted(names) == sorted(heads):
            return architecture
    if len(names) > 1:
        raise CheckpointError(
            f"transformers' BERT has one head, here are {len(names)}: {', '.join(content.heads)}\n"
            "  choose one with --task"
        )
    raise CheckpointError(f"transformers' BERT has no head that is bertmod's \"{names[0]}\"")


def _bare(slot: Mapping[str, Any]) -> str:
    """The name of one of bertmod's own components; that of another provider's as it is."""
    return str(slot["name"]).removeprefix("bertmod/")


def _tensors(content: CheckpointContent, architecture: str) -> dict[str, Tensor]:
    """Every tensor by its name in the file."""
    encoder = content.tensors["encoder"]
    if architecture in NEED_POOLER and not any(name.startswith(POOLER) for name in encoder):
        raise CheckpointError(
            f"the encoder has no pooler, which {architecture} needs\n"
            "  transformers would put random values in its place"
        )
    prefix = "" if architecture == "BertModel" else PREFIX
    tensors = {f"{prefix}{name}": tensor for name, tensor in encoder.items()}
    for task in content.heads:
        tensors |= content.tensors[f"heads.{task}"]
    return tensors


def _config(content: CheckpointContent, architecture: str) -> dict[str, Any]:
    encoder = content.encoder
    values = {
        "architectures": [architecture],
        "model_type": "bert",
        **{key: encoder[key] for key in COPIED},
        "hidden_act": ACTIVATION_NAMES[encoder["hidden_act"]],
        "position_embedding_type": "absolute",
        "pad_token_id": special_tokens(content.pipeline).get("[PAD]"),
        "dtype": "float32",
    }
    for task, slot in content.heads.items():
        values |= _of_head(content, task, slot)
    if not content.heads:
        return values
    # a file of two heads has them in an order of its own
    order = sorted(content.heads, key=lambda task: _bare(content.heads[task]))
    return values | {OWN_KEY: {"heads": {task: _own_head(content, task) for task in order}}}


def _of_head(content: CheckpointContent, task: str, slot: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration says of a head."""
    name, info = _bare(slot), content.infos.get(task, TaskInfo())
    act = content.encoder["hidden_act"]
    if slot.get("hidden_act", act) != act:
        raise CheckpointError(
            f'the head of "{task}" has {slot["hidden_act"]}, the encoder {act}: '
            "transformers' BERT has one activation for both"
        )
    values: dict[str, Any] = {}
    if "dropout" in slot:
        values["classifier_dropout"] = slot["dropout"]
    for kind, head in PROBLEM_TYPES.items():
        if head == name:
            values["problem_type"] = kind
    if name in (*PROBLEM_TYPES.values(), "token_classification"):
        rows = content.tensors[f"heads.{task}"]["classifier.bias"].shape[0]
        labels = info.labels or tuple(f"LABEL_{index}" for index in range(rows))
        values["id2label"] = {str(index): label for index, label in enumerate(labels)}
        values["label2id"] = {label: index for index, label in enumerate(labels)}
    return values


def _own_head(content: CheckpointContent, task: str) -> dict[str, Any]:
    """What transformers' configuration has no place for, to be read back."""
    info = content.infos.get(task, TaskInfo())
    own: dict[str, Any] = {}
    if info.value_range is not None:
        own["value_range"] = list(info.value_range)
    if info.calibration:
        own["calibration"] = dict(info.calibration)
    slot = dict(content.heads[task])
    return {"slot": slot, "info": own} if own else {"slot": slot}


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
