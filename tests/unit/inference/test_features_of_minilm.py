"""Real weights: hidden states, pooled output and means beside transformers'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertmod.inference import FeatureOptions, LineFeatures, extract, load_encoder

transformers = pytest.importorskip("transformers")

LINES = (
    "The cat sleeps on the warm bed.",
    "A kitten, unhappily, is sleeping ||| Who sleeps?",
    "",
    "The government raised the tax on oil by 3.5 % in Zürich",
)
LAYERS = (-1, -6, 0, 1, 6)


@pytest.fixture(scope="module")
def found(minilm: Path) -> list[LineFeatures]:
    options = FeatureOptions(layers=LAYERS, pooled=True, mean=True)
    return list(extract(LINES, load_encoder(minilm, device="cpu"), options))


@pytest.mark.parametrize("number", range(len(LINES)))
def test_states_and_vectors_are_those_of_transformers(minilm, found, number) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.AutoModel.from_pretrained(minilm).eval()
    given = tokenizer(*LINES[number].split(" ||| "), return_tensors="pt")
    with torch.no_grad():
        output = model(**given, output_hidden_states=True)
    line, ids = found[number], given["input_ids"][0].tolist()
    assert line.index == number
    assert line.input_ids.tolist() == ids
    assert line.tokens == tokenizer.convert_ids_to_tokens(ids)
    states = [layer[0].numpy() for layer in output.hidden_states]
    for layer in LAYERS:
        wanted = states[layer]  # the embeddings come first, so that -1 is the last layer here, too
        np.testing.assert_allclose(line.layers[layer], wanted, rtol=0, atol=5e-6)
    np.testing.assert_allclose(line.pooled, output.pooler_output[0].numpy(), rtol=0, atol=5e-6)
    np.testing.assert_allclose(line.mean, states[-1].mean(0), rtol=0, atol=5e-6)


def test_words(found) -> None:
    line = found[1]
    split = LINES[1].split()
    words = [split[word] for word in line.words if word >= 0]
    assert words[:5] == ["A", "kitten,", "kitten,", "unhappily,", "unhappily,"]
    assert words[-2:] == ["sleeps?", "sleeps?"]
