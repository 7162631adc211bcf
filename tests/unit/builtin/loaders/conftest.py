"""A tiny encoder's state dict, as the hub spells it, and as Google's programs save it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names

VALUES = {
    "vocab_size": 11,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
}


@pytest.fixture
def values() -> dict[str, object]:
    """A configuration under the keys of the first PyTorch port."""
    return dict(VALUES)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """Random tensors by the names of the hub."""
    draw = torch.Generator().manual_seed(0)
    rows = names(BertConfig(**VALUES))
    return {row.stored["huggingface"]: torch.randn(row.shape, generator=draw) for row in rows}


def google_variables(scope: str = "bert/") -> dict[str, np.ndarray]:
    """Random variables of an encoder by Google's names; kernels are (inputs, outputs)."""
    draws = np.random.default_rng(0)
    found = {}
    for row in names(BertConfig(**VALUES)):
        sides = row.shape[::-1] if "tensorflow" in row.transposed else row.shape
        found[scope + row.stored["tensorflow"]] = draws.normal(size=sides).astype(np.float32)
    return found


def google_save(
    prefix: Path,
    variables: Mapping[str, np.ndarray],
    *,
    devices: int = 1,
    adam: bool = False,
    partitions: int = 1,
    **options: Any,
) -> None:
    """Save variables as Google's programs do: a graph, a session, a ``tf.train.Saver``."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow

    v1 = tensorflow.compat.v1
    split = v1.fixed_size_partitioner(partitions) if partitions > 1 else None
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tensorflow.Graph().as_default():
        made = []
        for number, (name, value) in enumerate(variables.items()):
            with tensorflow.device(f"/cpu:{number % devices}"):
                start = partial(_part, value)
                made.append(
                    v1.get_variable(name, value.shape, value.dtype, start, partitioner=split)
                )
        if adam:
            loss = sum(tensorflow.reduce_sum(each) for each in made)
            v1.train.AdamOptimizer(0.1).minimize(loss, v1.train.get_or_create_global_step())
        with v1.Session(config=v1.ConfigProto(device_count={"CPU": devices})) as session:
            session.run(v1.global_variables_initializer())
            saver = v1.train.Saver(**options)
            saver.save(session, str(prefix), write_meta_graph=False, write_state=False)


def _part(
    value: np.ndarray, shape: Any, dtype: Any = None, partition_info: Any = None
) -> np.ndarray:
    """The part of a value that one partition of its variable starts with."""
    if partition_info is None:
        return value
    places = zip(partition_info.var_offset, shape, strict=True)
    return value[tuple(slice(start, start + length) for start, length in places)]


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A checkpoint as Google releases them, with what is in it, and how to save others."""
    folder = tmp_path_factory.mktemp("google") / "uncased"
    google_save(folder / "bert_model.ckpt", google_variables())
    (folder / "bert_config.json").write_text(json.dumps(VALUES), encoding="utf-8")
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(5, 11))]
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    return SimpleNamespace(folder=folder, variables=google_variables, save=google_save)
