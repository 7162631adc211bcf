"""The tokenizers of the hub's folders: vocabularies, pipelines, casing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertmod import CheckpointError
from bertmod.builtin.loaders.huggingface_tokenizer import tokenizer_slot
from bertmod.builtin.tokenizers.plugin import WordPieceConfig, check

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "a", "é", "中")
ENCODER = {"vocab_size": len(PIECES)}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bertmod" / "vocabularies"


@pytest.fixture
def write(tmp_path, cache):
    """Writes the tokenizer's files; ``None`` for a file that is not there."""

    def write_folder(*, vocab=PIECES, pipeline=None, options=None, added=None):
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        if vocab is not None:
            (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocab))
        for name, values in (
            ("tokenizer.json", pipeline),
            ("tokenizer_config.json", options),
            ("added_tokens.json", added),
        ):
            if values is not None:
                (folder / name).write_text(json.dumps(values))
        return folder

    return write_folder


def pipeline(*, pieces=PIECES, longest=100, model=None, added=(), **normal):
    """What transformers saves as tokenizer.json for a BertTokenizer."""
    vocab = {piece: index for index, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=longest))
    made.normalizer = normalizers.BertNormalizer(**{"strip_accents": None, **normal})
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[CLS]", *added])
    values = json.loads(made.to_str())
    return values | {"model": values["model"] | (model or {})}


def slot_of(folder, **encoder):
    slot, files = tokenizer_slot(folder, {**ENCODER, **encoder})
    assert slot.pop("name") == "bertmod/wordpiece"
    return slot, {file.name for file in files}


def test_a_vocabulary_alone_leaves_casing_to_its_letters(write) -> None:
    folder = write()
    assert slot_of(folder) == ({"vocab": str(folder / "vocab.txt")}, {"vocab.txt"})


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"do_lower_case": False}, {"lower_case": False}),
        ({"do_lower_case": True, "strip_accents": None}, {"lower_case": True}),
        ({"do_lower_case": True, "strip_accents": True}, {"lower_case": True}),
        ({"tokenize_chinese_chars": False}, {"split_cjk": False}),
        ({"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": True}, {}),
    ],
)
def test_what_the_configuration_says(write, options, found) -> None:
    folder = write(options=options)
    assert slot_of(folder)[0] == {"vocab": str(folder / "vocab.txt"), **found}


@pytest.mark.parametrize(
    ("options", "normal", "found"),
    [
        (None, {"lowercase": False}, {"lower_case": False}),
        (None, {"handle_chinese_chars": False}, {"lower_case": True, "split_cjk": False}),
        ({"do_lower_case": False}, {"lowercase": True}, {"lower_case": False}),
        ({"strip_accents": None}, {"strip_accents": False}, {"lower_case": True}),
    ],
)
def test_what_the_pipeline_says_after_the_configuration(write, options, normal, found) -> None:
    folder = write(pipeline=pipeline(longest=50, **normal), options=options)
    slot, files = slot_of(folder)
    assert slot == {"vocab": str(folder / "vocab.txt"), **found, "max_word_length": 50}
    assert files == {"vocab.txt", "tokenizer.json"} | (
        {"tokenizer_config.json"} if options else set()
    )


def test_a_vocabulary_in_the_pipeline_alone(write, cache) -> None:
    folder = write(vocab=None, pipeline=pipeline())
    first, files = slot_of(folder)
    assert files == {"tokenizer.json"}
    vocab = Path(first["vocab"])
    assert vocab.parent == cache
    assert vocab.read_text(encoding="utf-8").split("\n") == [*PIECES, ""]
    vocab.write_text("damaged")
    assert slot_of(folder)[0] == first
    assert vocab.read_text(encoding="utf-8").split("\n") == [*PIECES, ""]
    assert [file.name for file in cache.iterdir()] == [vocab.name]


def test_a_cache_that_cannot_be_written(write, tmp_path) -> None:
    folder = write(vocab=None, pipeline=pipeline())
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(CheckpointError) as caught:
        slot_of(folder)
    assert str(caught.value) == (
        f"{folder}/tokenizer.json: its vocabulary cannot be written into "
        f"{tmp_path}/cache/bertmod/vocabularies: Not a directory\n"
        "  make it writable, or set XDG_CACHE_HOME to another folder"
    )


def test_an_uncased_vocabulary_that_is_said_to_be_cased_is_told(write) -> None:
    folder = write(vocab=(*PIECES[:9], "dog", "mat"), options={"do_lower_case": False})
    slot, _ = slot_of(folder)
    (problem,) = check(WordPieceConfig(**slot))
    assert (problem.path, problem.what) == ("lower_case", "false, but the vocabulary is lower-case")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"options": {"do_lower_case": True, "strip_accents": False}},
            "tokenizer_config.json: strip_accents is false, but lower-casing true\n"
            "  wordpiece strips accents when it lower-cases, and only then",
        ),
        (
            {"pipeline": pipeline(lowercase=False, strip_accents=True)},
            "tokenizer.json: strip_accents is true, but lower-casing false\n"
            "  wordpiece strips accents when it lower-cases, and only then",
        ),
        (
            {"options": {"tokenizer_class": "BertJapaneseTokenizer"}},
            'tokenizer_config.json: a "BertJapaneseTokenizer", which may cut texts unlike BERT\n'
            "  accepted: BertTokenizer, BertTokenizerFast, DistilBertTokenizer, "
            "DistilBertTokenizerFast, ElectraTokenizer, ElectraTokenizerFast, or a tokenizer.json "
            "that says how",
        ),
        (
            {"options": {"do_basic_tokenize": False}},
            "tokenizer_config.json: do_basic_tokenize is false; wordpiece has no such option",
        ),
        (
            {"pipeline": pipeline(model={"type": "BPE"})},
            'tokenizer.json: a "BPE" model; this loader reads WordPiece',
        ),
        (
            {"pipeline": pipeline(model={"unk_token": "<unk>"})},
            'tokenizer.json: unk_token is "<unk>"; wordpiece has "[UNK]"',
        ),
        (
            {"pipeline": pipeline() | {"normalizer": {"type": "NFC"}}},
            "tokenizer.json: texts are cut by NFC and BertPreTokenizer\n"
            "  accepted: BertNormalizer and BertPreTokenizer, as BERT's own tokenizer has them",
        ),
        (
            {"pipeline": pipeline() | {"pre_tokenizer": None}},
            "tokenizer.json: texts are cut by BertNormalizer and no pre_tokenizer\n"
            "  accepted: BertNormalizer and BertPreTokenizer, as BERT's own tokenizer has them",
        ),
        (
            {"pipeline": pipeline(clean_text=False)},
            "tokenizer.json: clean_text is false; wordpiece has no such option",
        ),
        (
            {"pipeline": pipeline(added=["[E1]"])},
            'tokenizer.json: "[E1]" is a token of its own outside of the vocabulary; wordpiece '
            "would cut it like any other text\n"
            "  give it the place of an [unused] entry, or train with the vocabulary alone",
        ),
        (
            {"added": {"[MASK]": 4, "[E1]": 11}},
            'added_tokens.json: "[E1]" is a token of its own outside of the vocabulary; wordpiece '
            "would cut it like any other text\n"
            "  give it the place of an [unused] entry, or train with the vocabulary alone",
        ),
        (
            {"pipeline": pipeline(), "vocab": [*PIECES[:5], "dog", *PIECES[6:]]},
            'vocab.txt: line 6 has "dog", tokenizer.json "the" at its place\n'
            "  remove the one that does not belong to the checkpoint",
        ),
        (
            {"pipeline": pipeline(model={"vocab": {"a": 0, "b": 2}})},
            "tokenizer.json: damaged: its vocabulary does not number its pieces from 0",
        ),
        (
            {"pipeline": pipeline(model={"vocab": {"a": 0, "b\n": 1}}), "vocab": None},
            "tokenizer.json: the piece 'b\\n' has a line feed in it",
        ),
        ({"pipeline": []}, "tokenizer.json: not a JSON object"),
        ({"pipeline": {}}, 'tokenizer.json: damaged: no "model" in it'),
        ({"pipeline": pipeline() | {"added_tokens": [3]}, "vocab": None},
         "tokenizer.json: damaged: added_tokens without content"),
        (
            {"vocab": PIECES[:9]},
            "vocab.txt: the vocabulary has 9 entries, but the word embeddings have 11 rows\n"
            "  use the vocabulary that belongs to the checkpoint",
        ),
    ],
)  # fmt: skip
def test_tokenizers_that_wordpiece_is_not(write, files, message) -> None:
    folder = write(**files)
    with pytest.raises(CheckpointError) as caught:
        slot_of(folder)
    assert str(caught.value) == f"{folder}/{message}"


def test_no_vocabulary_at_all(write) -> None:
    assert tokenizer_slot(write(vocab=None), ENCODER) == (None, ())
    folder = write(vocab=None, options={"do_lower_case": True})
    assert slot_of(folder) == ({"lower_case": True}, {"tokenizer_config.json"})
