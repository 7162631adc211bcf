"""Real weights through the loader for the hub's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bertmod import Batch
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.nn.context import RowContext

SENTENCES = (
    "the cat sleeps on the warm bed",
    "a kitten is sleeping on a bed",
    "the government raised the tax on oil",
)


def test_minilm(reference, minilm: Path) -> None:
    claims = {spec.name: spec.can_load(str(minilm)) for spec in bertmod_loaders()}
    assert [name for name, claim in claims.items() if claim] == ["huggingface"]
    loaded = reference.Loaded("huggingface", minilm)
    encoder = loaded.description.encoder
    assert (encoder["num_hidden_layers"], encoder["hidden_size"]) == (6, 384)
    assert encoder["num_attention_heads"] == 12
    assert loaded.description.tokenizer == {
        "name": "bertmod/wordpiece",
        "vocab": str(minilm / "vocab.txt"),
        "lower_case": True,
        "max_word_length": 100,
    }
    assert loaded.report.initialised == ()
    assert set(loaded.report.skipped.values()) <= {"constant buffer"}
    assert sum(p.numel() for p in loaded.model.parameters()) == 22_713_216

    hidden = _mean_vectors(loaded.model.encoder, (minilm / "vocab.txt").read_text("utf-8"))
    alike = torch.nn.functional.cosine_similarity(hidden[:1], hidden[1:])
    assert alike[0] > 0.6
    assert alike[1] < 0.2


def _mean_vectors(encoder, vocabulary: str) -> torch.Tensor:
    """One vector per sentence, its words looked up whole."""
    ids = {word: index for index, word in enumerate(vocabulary.split("\n"))}
    rows = [[ids[word] for word in f"[CLS] {text} [SEP]".split()] for text in SENTENCES]
    context = RowContext.of(np.array([len(row) for row in rows]))
    flat = torch.tensor([token for row in rows for token in row])
    batch = Batch(flat, None, torch.arange(len(rows)), {}, context)
    with torch.no_grad():
        output = encoder(batch, want=frozenset({"hidden"})).hidden_TH
    padded, mask = context.pad(output)
    return padded.sum(1) / mask.sum(1, keepdim=True)
