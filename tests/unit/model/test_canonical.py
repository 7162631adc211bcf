"""Canonical tensors of components, and the encoder's hash."""

from __future__ import annotations

import pytest
import torch

from bertmod import TensorName
from bertmod.model.canonical import canonical_tensors, canonical_views, encoder_hash, own_names


class Stacked(torch.nn.Module):
    """Two tensors of unlike length in one parameter, a buffer, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.both = torch.nn.Parameter(torch.arange(10.0).view(5, 2))
        self.register_buffer("mean", torch.ones(3, dtype=torch.float64))


NAMES = (
    TensorName("second", (3, 2), {}, fused=("both", 1)),
    TensorName("first", (2, 2), {}, fused=("both", 0)),
    TensorName("mean", (None,), {}),
    TensorName("words", (7, 2), {}, tied="embeddings.word_embeddings.weight"),
)


def test_views_write_through() -> None:
    module = Stacked()
    views = canonical_views(module, NAMES)
    assert list(views) == ["second", "first", "mean"]
    assert views["second"].tolist() == [[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]
    views["first"].zero_()
    assert module.both[:3].tolist() == [[0.0, 0.0], [0.0, 0.0], [4.0, 5.0]]
    assert not views["first"].requires_grad


def test_copies_are_fp32_and_do_not_follow() -> None:
    module = Stacked()
    copies = canonical_tensors(module, NAMES, prefix="encoder.")
    module.both.data.zero_()
    assert copies["encoder.first"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert {tensor.dtype for tensor in copies.values()} == {torch.float32}
    assert all(tensor.is_contiguous() for tensor in copies.values())


def test_names_must_cover_the_module_exactly() -> None:
    with pytest.raises(ValueError, match='no tensor "gain" that its names declare'):
        canonical_views(Stacked(), [*NAMES, TensorName("gain", (2,), {})])
    with pytest.raises(ValueError, match="tensors that its names lack: mean"):
        canonical_views(Stacked(), NAMES[:2])
    free = [TensorName("a", (None, 2), {}, fused=("both", 0))]
    with pytest.raises(ValueError, match='"a" is fused, so its first length must be stated'):
        canonical_views(Stacked(), free)


def test_a_component_without_names_has_its_own() -> None:
    assert [row.canonical for row in own_names(Stacked())] == ["both", "mean"]
    assert list(canonical_views(Stacked(), own_names(Stacked()))) == ["both", "mean"]


def test_the_hash_knows_names_shapes_and_values() -> None:
    tensors = {"b": torch.arange(6.0).view(2, 3), "a": torch.ones(2)}
    found = encoder_hash(tensors)
    assert found == encoder_hash(dict(reversed(tensors.items())))
    assert found == encoder_hash({name: t.to(torch.bfloat16) for name, t in tensors.items()})
    for other in (
        {"b": tensors["b"].view(3, 2), "a": tensors["a"]},
        {"c": tensors["b"], "a": tensors["a"]},
        {"b": tensors["b"] + 1e-6, "a": tensors["a"]},
    ):
        assert encoder_hash(other) != found
    assert len(found) == 64
