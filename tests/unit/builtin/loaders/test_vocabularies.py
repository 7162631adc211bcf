"""A checkpoint's vocabulary: what is wrong with it is told, whichever loader reads it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod.errors import CheckpointError
from bertmod.recipe.opened import open_checkpoint

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LOWER = (*MARKS, "a", "b", "c", "d", "##e", "f", "g")
CASED = (*MARKS, "A", "b", "C", "d", "##e", "F", "g")
KINDS = ("huggingface", "pytorch_pretrained_bert", "bert_n_pals", "tensorflow")


@pytest.fixture
def checkpoint(tmp_path: Path, values, state, request) -> Callable[..., Path]:
    """Writes a checkpoint of eleven word embeddings with a vocabulary of these bytes."""

    def write(kind: str, vocabulary: bytes, *, name: str = "model", **tokenizer: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if kind == "tensorflow":
            source = request.getfixturevalue("golden") / "04_tf_bert"
            for file in source.glob("bert_*"):
                shutil.copy(file, folder)
        elif kind == "huggingface":
            save_file(state, folder / "model.safetensors")
            (folder / "config.json").write_text(json.dumps({**values, "model_type": "bert"}))
        elif kind == "pytorch_pretrained_bert":
            torch.save(state, folder / "pytorch_model.bin")
            (folder / "bert_config.json").write_text(json.dumps(values))
        else:
            torch.save(state, folder / "best_model.pth")
            (folder / "pals_config.json").write_text(json.dumps({**values, "pals": False}))
        (folder / "vocab.txt").write_bytes(vocabulary)
        if tokenizer:
            (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        return folder

    return write


def text(pieces: Sequence[str], end: str = "\n") -> bytes:
    return "".join(f"{piece}{end}" for piece in pieces).encode()


def enough(kind: str, pieces: Sequence[str]) -> tuple[str, ...]:
    """As many pieces as the checkpoint of a kind has rows."""
    rows = 133 if kind == "tensorflow" else 11
    return (*pieces, *(f"##x{number}" for number in range(len(pieces), rows)))


every_kind = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.shared] * (kind == "tensorflow")) for kind in KINDS],
)


@every_kind
@pytest.mark.parametrize(
    ("end", "start"),
    [("\r\n", b""), ("\n", b"\xef\xbb\xbf"), ("  \n", b"")],
    ids=["crlf", "bom", "blanks"],
)
def test_spellings_that_are_understood(checkpoint, kind, end, start) -> None:
    folder = checkpoint(kind, start + text(enough(kind, LOWER), end))
    tokenizer = open_checkpoint(folder).tokenizer
    built = tokenizer.spec.build(tokenizer.config)
    assert [built.pieces([index])[0] for index in range(5)] == [*MARKS, "a"]


@every_kind
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda pieces: (*pieces[:-1], "a"),
            r"1 piece stands on more than one line\n.*'a' on lines 5, ",
        ),
        (
            lambda pieces: (*pieces[:6], "", "", *pieces[8:]),
            r"1 piece stands on more than one line\n.*'' on",
        ),
        (lambda pieces: ("x", *pieces[1:]), r"the vocabulary lacks \[PAD\]\n"),
        (lambda pieces: (*pieces, "new"), r"the vocabulary has \d+ entries, but .* only \d+ rows"),
        (lambda pieces: pieces[:2], r"the vocabulary has 2 entries, but .* \d+ rows"),
        (lambda pieces: (), r"the vocabulary"),
    ],
    ids=["twice", "blank lines", "no [PAD]", "too long", "too short", "empty"],
)
def test_what_is_wrong_is_told_with_the_file(checkpoint, kind, change, told) -> None:
    folder = checkpoint(kind, text(change(enough(kind, LOWER))))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'vocab.txt'}: ")
    assert re.search(told, message), message


@every_kind
def test_bytes_that_are_no_text(checkpoint, kind) -> None:
    folder = checkpoint(kind, text(enough(kind, LOWER)).replace(b"b", b"\xff", 1))
    with pytest.raises(CheckpointError, match="not a vocabulary in UTF-8"):
        open_checkpoint(folder)


@every_kind
@pytest.mark.parametrize(("pieces", "lower"), [(LOWER, True), (CASED, False)])
def test_casing_is_that_of_the_letters_whatever_the_folder_is_called(
    checkpoint, kind, pieces, lower
) -> None:
    name = "cased_L-2_H-12" if lower else "uncased_L-2_H-12"
    folder = checkpoint(kind, text(enough(kind, pieces)), name=name)
    assert open_checkpoint(folder).tokenizer.config.lower_case is lower


@every_kind
@pytest.mark.parametrize(("pieces", "lower"), [(LOWER, False), (CASED, True)])
def test_a_recipe_that_says_otherwise_is_told(checkpoint, kind, pieces, lower) -> None:
    folder = checkpoint(kind, text(enough(kind, pieces)))
    with pytest.raises(CheckpointError, match=r"^tokenizer.lower_case: (true|false), but"):
        open_checkpoint(folder, options={"tokenizer": {"lower_case": lower}})


@pytest.mark.parametrize(("pieces", "lower"), [(LOWER, False), (CASED, True)])
def test_a_configuration_that_says_otherwise_is_told(checkpoint, pieces, lower) -> None:
    folder = checkpoint("huggingface", text(enough("", pieces)), do_lower_case=lower)
    with pytest.raises(CheckpointError, match=r"tokenizer.lower_case: (true|false), but the voc"):
        open_checkpoint(folder)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "lower"), [("uncased", True), ("cased", False)])
def test_published_vocabularies(name, lower, glue, values, state, tmp_path) -> None:
    vocabulary = glue / "vocab" / f"{name}.txt"
    rows = vocabulary.read_bytes().count(b"\n")
    for padded in (rows, -(-rows // 64) * 64):
        folder = tmp_path / f"{name}{padded}"
        folder.mkdir()
        words = {"embeddings.word_embeddings.weight": torch.zeros(padded, 12)}
        save_file({**state, **words}, folder / "model.safetensors")
        config = {**values, "model_type": "bert", "vocab_size": padded}
        (folder / "config.json").write_text(json.dumps(config))
        shutil.copy(vocabulary, folder / "vocab.txt")
        opened = open_checkpoint(folder)
        assert opened.tokenizer.config.lower_case is lower
        assert opened.encoder.config.vocab_size == padded
