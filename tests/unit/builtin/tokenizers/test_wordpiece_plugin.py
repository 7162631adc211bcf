"""Options of the tokenizer, and what is found wrong before it is built."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bertmod import DataError, Problem
from bertmod.builtin.tokenizers import plugin
from bertmod.builtin.tokenizers.plugin import WordPieceConfig
from bertmod.builtin.tokenizers.vocabulary import find_lower_case, read_vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "<S>"]
LOWER = [*SPECIAL, "a", "b", "word", "##ing", "1", ",", "\u00df"]
CASED = [*SPECIAL, "a", "b", "A", "Word", "##ING"]
CHINESE = [*SPECIAL, *map(chr, range(0x4E00, 0x4E20)), "a", "b"]
UNCLEAR = [*SPECIAL, *(f"word{number}" for number in range(200)), "A"]


@pytest.fixture
def spec():
    (spec,) = plugin.bertmod_tokenizers()
    return spec


@pytest.fixture
def saved(tmp_path):
    def save(pieces, **options):
        path = tmp_path / "vocab.txt"
        content = pieces if isinstance(pieces, bytes) else "\n".join([*pieces, ""]).encode()
        path.write_bytes(content)
        return WordPieceConfig(vocab=str(path), **options)

    return save


def test_spec(spec):
    assert (spec.kind, spec.name) == ("tokenizer", "wordpiece")
    assert all(field.description for field in WordPieceConfig.model_fields.values())
    assert spec.files(WordPieceConfig()) == ()
    assert spec.files(WordPieceConfig(vocab="x/vocab.txt")) == ("x/vocab.txt",)
    assert spec.check(WordPieceConfig()) == ()


def test_looking_at_a_vocabulary_loads_neither_torch_nor_the_rust_library(saved):
    config = saved(LOWER)
    program = (
        "import sys\n"
        "from bertmod.builtin.tokenizers import plugin\n"
        f"config = plugin.WordPieceConfig(vocab={config.vocab!r})\n"
        f"assert plugin.vocab_size(config) == {len(LOWER)} and not plugin.check(config)\n"
        "assert not {'torch', 'tokenizers', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("pieces", [LOWER, CASED, CHINESE])
def test_built_from_a_file(spec, saved, pieces):
    config = saved(pieces)
    tokenizer = spec.build(config)
    assert tokenizer.vocab_size == spec.vocab_size(config) == len(pieces)
    assert list(spec.check(config)) == []
    assert tokenizer.basic("Word") == ["Word" if pieces is CASED else "word"]


def test_options_reach_the_tokenizer(spec, saved):
    built = spec.build(
        saved(LOWER, split_cjk=False, drop_unassigned=True, max_word_length=3, lower_case=True)
    )
    assert built.basic("\u4e2d\u6587\ue000X") == ["\u4e2d\u6587x"]
    assert built.pieces(built.texts(["word a"]).ids.tolist()) == ["[UNK]", "a"]


@pytest.mark.parametrize(
    "content",
    [
        b"[PAD]\n[UNK]\n\xe2\x80\xa8\na",
        b"[PAD]\n[UNK]\n\xe2\x80\xa8\na\n",
        b"[PAD]\r\n[UNK]\r\n\xe2\x80\xa8\r\na\r\n",
        b"\xef\xbb\xbf[PAD]\n[UNK] \n\xe2\x80\xa8\na\n",
    ],
    ids=["no final newline", "final newline", "carriage returns", "byte-order mark"],
)
def test_lines_of_a_vocabulary(saved, content):
    assert read_vocabulary(saved(content).vocab) == ["[PAD]", "[UNK]", "\u2028", "a"]


@pytest.mark.parametrize(
    ("pieces", "lower_case"),
    [(LOWER, True), (CHINESE, True), (SPECIAL, True), (CASED, False), (UNCLEAR, None)],
)
def test_casing_found_from_the_letters(pieces, lower_case):
    assert find_lower_case(pieces) is lower_case


@pytest.mark.parametrize(
    ("pieces", "options", "problems"),
    [
        (
            b"",
            {},
            [Problem("vocab", "the vocabulary is empty", ("it needs one piece a line",))],
        ),
        (
            [*LOWER, "b", "a", "b"],
            {},
            [
                Problem(
                    "vocab",
                    "2 pieces stand on more than one line",
                    (
                        "the first: 'a' on lines 8, 16",
                        "a piece has one index: remove the repetitions, keeping the model's "
                        "line count",
                    ),
                )
            ],
        ),
        (
            ["[PAD]", "[UNK]", "a"],
            {},
            [
                Problem(
                    "vocab",
                    "the vocabulary lacks [CLS], [SEP]",
                    (
                        "a BERT vocabulary has [PAD], [UNK], [CLS], [SEP], each on a line of its "
                        "own",
                        "is this the vocab.txt that came with the model?",
                    ),
                )
            ],
        ),
        (
            CASED,
            {"lower_case": True},
            [
                Problem(
                    "lower_case",
                    "true, but the vocabulary is cased",
                    (
                        "3 of 12 pieces have an upper-case letter",
                        "lower-cased texts would never reach them: use false, or leave it out",
                    ),
                )
            ],
        ),
        (
            LOWER,
            {"lower_case": False},
            [
                Problem(
                    "lower_case",
                    "false, but the vocabulary is lower-case",
                    (
                        "0 of 14 pieces have an upper-case letter",
                        "words with capitals would become [UNK]: use true, or leave it out",
                    ),
                )
            ],
        ),
        (
            UNCLEAR,
            {},
            [
                Problem(
                    "lower_case",
                    "the vocabulary does not tell whether it is cased",
                    (
                        "1 of 208 pieces have an upper-case letter",
                        "state lower_case: true or false",
                    ),
                )
            ],
        ),
        (CASED, {"lower_case": False}, []),
        (LOWER, {"lower_case": True}, []),
        (CHINESE, {"lower_case": False}, []),
        (UNCLEAR, {"lower_case": True}, []),
        (UNCLEAR, {"lower_case": False}, []),
    ],
)
def test_problems_of_a_vocabulary(spec, saved, pieces, options, problems):
    assert list(spec.check(saved(pieces, **options))) == problems


def test_missing_vocabulary(spec, tmp_path):
    config = WordPieceConfig(vocab=str(tmp_path / "vocab.txt"))
    message = f"{config.vocab}: the vocabulary cannot be read: No such file or directory"
    assert list(spec.check(config)) == [
        Problem("vocab", message, ("it must be the model's vocab.txt",))
    ]
    for function in (spec.vocab_size, spec.build):
        with pytest.raises(DataError) as caught:
            function(config)
        assert str(caught.value) == message


def test_vocabulary_that_is_no_text(spec, saved):
    config = saved(b"[PAD]\n\xff\xfe\n")
    message = f"{config.vocab}: not a vocabulary in UTF-8 (byte 6 cannot be decoded)"
    assert list(spec.check(config)) == [
        Problem("vocab", message, ("it must be the model's vocab.txt",))
    ]


def test_recipe_without_a_vocabulary_must_be_resolved(spec):
    for function in (spec.vocab_size, spec.build):
        with pytest.raises(
            ValueError, match=r"^tokenizer\.vocab is null: the recipe is not resolved$"
        ):
            function(WordPieceConfig())


@pytest.mark.parametrize(("piece", "lower_case"), [("cat", True), ("Cat", False)])
def test_completing_the_options(tmp_path, piece, lower_case) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + piece + "\n")
    config = WordPieceConfig(vocab=str(path))
    found = plugin.complete(config)
    assert found == config.model_copy(update={"lower_case": lower_case})
    assert plugin.complete(found) is found
