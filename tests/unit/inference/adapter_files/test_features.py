"""Features of lines with a small model: what acts, what is refused, how much is in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.errors import CheckpointError, DataError
from bertmod.inference import FeatureOptions, extract, load_adapter, load_encoder
from bertmod.inference.feature_lines import tokenize_lines
from bertmod.inference.features import task_folder
from bertmod.recipe.opened import open_checkpoint

LINES = ["the cat sat .", "a dog ran ||| the cat sat", "", "dog", "a dog . a cat . a dog . a cat ."]
OPTIONS = FeatureOptions(layers=(-1, 0, 1), pooled=True, mean=True, max_length=12, batch_size=2)


@pytest.fixture(scope="module")
def base(state):
    return load_encoder(state.folder / "encoder", device="cpu")


@pytest.mark.parametrize("task", ["cola", "rte"])
def test_adapters_of_a_task_act(state, base, task) -> None:
    """PALs, and bottlenecks with LayerNorms of their own."""
    loaded = load_adapter(state.folder / task, base)
    found = list(extract(LINES, base, OPTIONS, task=loaded))
    want = frozenset({"hidden", "layers", "pooled"})
    for line, text in zip(found, LINES, strict=True):
        tokens = tokenize_lines(base.tokenizer, [text], max_length=12)
        batch = collate(FeatureTable.from_rows(tokens.rows))
        with torch.no_grad():
            wanted = state.model.encode(batch, task, want=want)
        assert wanted.layers is not None
        length = len(line.tokens)
        for layer, place in ((-1, 2), (0, 0), (1, 1)):
            states = wanted.layers[place][:length].numpy()
            np.testing.assert_allclose(line.layers[layer], states, atol=2e-5)
        np.testing.assert_allclose(line.pooled, wanted.pooled_RH[0].numpy(), atol=2e-5)
    alone = next(extract(LINES, base, OPTIONS))
    assert np.abs(alone.layers[-1] - found[0].layers[-1]).max() > 0.01


def test_a_task_is_found_beside_its_encoder(state, base) -> None:
    opened = open_checkpoint(state.folder, tasks=())
    assert load_adapter(task_folder(opened, "sst2"), base).id == "sst2"
    with pytest.raises(CheckpointError, match=r'no task "wnli" there\n *there: cola, '):
        task_folder(opened, "wnli")


def test_lines_come_in_their_order_whatever_their_length(base) -> None:
    many = LINES * 5
    found = list(extract(many, base, OPTIONS))
    assert [line.index for line in found] == list(range(25))
    for line, text in zip(found, many, strict=True):
        alone = next(extract([text], base, OPTIONS))
        assert line.tokens == alone.tokens
        np.testing.assert_allclose(line.layers[-1], alone.layers[-1], atol=1e-5)
        np.testing.assert_allclose(line.mean, alone.mean, atol=1e-5)
        assert line.layers[-1].shape == (len(line.tokens), 16)
        assert line.layers[-1].dtype == line.mean.dtype == np.float32


def test_means_are_over_all_tokens(base) -> None:
    found = list(extract(LINES, base, OPTIONS))
    assert found[2].tokens == ["[CLS]", "[SEP]"]
    for line in found:
        np.testing.assert_allclose(line.mean, line.layers[-1].mean(0), atol=1e-6)


def test_no_more_than_a_window_is_read_ahead(base) -> None:
    read = 0

    def lines():
        nonlocal read
        for _ in range(1000):
            read += 1
            yield "the cat"

    taken = extract(lines(), base, OPTIONS)
    assert OPTIONS.window == 16
    for number in range(40):
        assert next(taken).index == number
        assert read == 16 * (number // 16 + 1)


def test_vectors_alone(base) -> None:
    found = list(extract(LINES, base, replace(OPTIONS, layers=(), pooled=False)))
    assert all(not line.layers and line.pooled is None for line in found)
    wanted = list(extract(LINES, base, OPTIONS))
    for line, other in zip(found, wanted, strict=True):
        assert np.array_equal(line.mean, other.mean)


def test_bf16(base) -> None:
    found = list(extract(LINES, base, replace(OPTIONS, precision="bf16")))
    wanted = list(extract(LINES, base, OPTIONS))
    for line, other in zip(found, wanted, strict=True):
        assert line.layers[-1].dtype == np.float32
        assert 0 < np.abs(line.layers[-1] - other.layers[-1]).max() < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": (-3,)}, "no layer -3\n  the encoder has 2 layers; accepted: -1 (the last) to "
         "-2 (the first), or 0 (the embeddings), 1 (the first layer) to 2 (the last)"),
        ({"layers": (3,)}, "no layer 3\n"),
        ({"layers": (1, -1, 1)}, "layer 1 is named twice\n"),
        ({"batch_size": 0}, "no batches of 0 lines\n  a batch has 1 or more"),
        ({"max_length": 17}, "no rows of 17 tokens\n  the encoder takes 2 to 16"),
    ],
)  # fmt: skip
def test_what_the_encoder_has_not(base, changes, message) -> None:
    with pytest.raises(DataError) as error:
        next(extract(LINES, base, replace(OPTIONS, **changes)))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (70_000.0, "float16", r"a state of 7000\d, beyond float16\n  take float32"),
        (float("nan"), "float32", "states that are not finite numbers"),
        (float("inf"), "float16", "states that are not finite numbers"),
    ],
)
def test_states_that_cannot_be_kept(state, value, dtype, message) -> None:
    own = load_encoder(state.folder / "encoder", device="cpu")
    with torch.no_grad():
        own.encoder.layer[-1].ffn.norm.bias[3] = value
    options = replace(OPTIONS, layers=(-1,), pooled=False, dtype=dtype)
    with pytest.raises(DataError, match=message):
        next(extract(LINES, own, options))
    if dtype == "float16":
        options = replace(options, layers=(1,), mean=False)
        assert next(extract(LINES, own, options)).layers[1].dtype == np.float16
