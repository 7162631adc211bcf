"""A checkpoint that was saved without its pooler: fresh values are in nothing that is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertmod.cli.program import main
from bertmod.errors import DataError
from bertmod.inference import FeatureOptions, extract, load_encoder

transformers = pytest.importorskip("transformers")

OPTIONS = FeatureOptions(layers=(-1,), mean=True, max_length=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("poolerless")
    config = transformers.BertConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog")
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    return folder


def test_what_is_given_is_always_the_same(folder) -> None:
    one, two = (load_encoder(folder, device="cpu") for _ in range(2))
    assert one.absent_parts == {"pooled"}
    assert one.hash == two.hash
    given = [next(extract(["a cat"], base, OPTIONS)) for base in (one, two)]
    assert np.array_equal(given[0].layers[-1], given[1].layers[-1])


def test_a_pooled_output_is_refused(folder) -> None:
    base = load_encoder(folder, device="cpu")
    with pytest.raises(DataError, match="the checkpoint has no pooler, so that there is no pooled"):
        next(extract(["a cat"], base, FeatureOptions(layers=(), pooled=True, max_length=8)))


def test_nothing_is_said_of_what_nobody_reads(folder, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("a cat\n")
    assert main(["features", str(folder), "in.txt", "out", "--layers", "-1"]) == 0
    assert capsys.readouterr().err.endswith(
        "\n21 tensors used: encoder 21\nout: features of 1 line\n"
    )


def test_a_pooled_output_is_refused_before_a_tensor_is_read(
    folder, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("a cat\n")
    assert main(["features", str(folder), "in.txt", "out", "--layers", "-1", "--pooled"]) == 2
    assert capsys.readouterr().err == (
        "error: the checkpoint has no pooler, so that there is no pooled output\n"
        "  leave it out; the mean needs none\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]
