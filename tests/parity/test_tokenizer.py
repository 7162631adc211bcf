"""The tokenizer against recorded results of Google's, and against its algorithm in plain Python."""

from __future__ import annotations

import csv
import gzip
import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tokenizers import normalizers

from bertmod.builtin.tokenizers import unicode_table
from bertmod.builtin.tokenizers.layout import truncated_lengths
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.builtin.tokenizers.plugin import WordPieceConfig, build
from bertmod.builtin.tokenizers.vocabulary import read_vocabulary
from bertmod.contracts.tokenizer import PieceTable

BERT_N_PALS = {"split_cjk": False, "drop_unassigned": True, "max_word_length": 100}
CASES = ("uncased", "cased")
FRAMES = ("a{}B", "{}\u0301 ", "\u0391\u03a3{}\u0391", "\u0391{}\u03a3")

UNDECOMPOSED = 0x11938
"""DIVES AKURU VOWEL SIGN O, which the library does not decompose; in no vocabulary of BERT's."""


def members(table: str) -> set[int]:
    return {c for first, last in unicode_table.ranges(table) for c in range(first, last + 1)}


CHINESE = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class Reference:
    """Google's algorithm as SPEC section 1.1 tells it, character by character."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        lower_case: bool,
        split_cjk: bool = True,
        drop_unassigned: bool = False,
        max_word_length: int = 200,
    ) -> None:
        self.vocabulary = set(vocabulary)
        self.lower_case = lower_case
        self.split_cjk = split_cjk
        self.drop_unassigned = drop_unassigned
        self.max_word_length = max_word_length

    def is_dropped(self, character: str) -> bool:
        category = unicodedata.category(character)
        if character in "\t\n\r":
            return False
        control = category[0] == "C" if self.drop_unassigned else category in ("Cc", "Cf")
        return control or character in "\0\ufffd"

    def clean(self, character: str) -> str:
        if self.is_dropped(character):
            return ""
        if character in "\t\n\r" or unicodedata.category(character) == "Zs":
            return " "
        if self.split_cjk and any(first <= ord(character) <= last for first, last in CHINESE):
            return f" {character} "
        return character

    def basic(self, text: str) -> list[str]:
        words = []
        for word in "".join(map(self.clean, text)).split():
            if self.lower_case:
                decomposed = unicodedata.normalize("NFD", word.lower())
                word = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
            words += "".join(f" {c} " if is_punctuation(c) else c for c in word).split()
        return words

    def word_pieces(self, word: str) -> list[str]:
        if len(word) > self.max_word_length:
            return ["[UNK]"]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            sign = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if sign + word[start:e] in self.vocabulary), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(sign + word[start:end])
            start = end
        return pieces

    def tokenize(self, text: str) -> list[str]:
        return [piece for word in self.basic(text) for piece in self.word_pieces(word)]


def is_punctuation(character: str) -> bool:
    ascii_symbol = "!" <= character <= "~" and not character.isalnum()
    return ascii_symbol or unicodedata.category(character)[0] == "P"


def of_text(table: PieceTable, index: int) -> np.ndarray:
    return table.ids[table.bounds[index] : table.bounds[index + 1]]


def assert_same(tokenizer: WordPieceTokenizer, reference: Reference, texts: list[str]) -> None:
    table = tokenizer.texts(texts)
    for index, text in enumerate(texts):
        pieces = tokenizer.pieces(of_text(table, index).tolist())
        assert pieces == reference.tokenize(text), ascii(text)
        words = table.words[table.bounds[index] : table.bounds[index + 1]]
        assert np.unique(words).tolist() == list(range(len(reference.basic(text))))


@pytest.fixture(scope="module")
def vocabularies(glue: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of the four vocabularies, the packed one unpacked."""
    multilingual = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    multilingual.write_bytes(
        gzip.decompress((glue / "vocab" / "multilingual_cased.txt.gz").read_bytes())
    )
    plain = {n: str(glue / "vocab" / f"{n}.txt") for n in ("uncased", "cased", "chinese")}
    return {**plain, "multilingual": str(multilingual)}


@pytest.fixture(scope="module")
def make(vocabularies: dict[str, str]) -> Callable[..., WordPieceTokenizer]:
    return lambda name, **options: build(WordPieceConfig(vocab=vocabularies[name], **options))


@pytest.fixture(scope="module")
def strings(golden: Path) -> list[dict]:
    lines = (golden / "05_tokenization" / "strings.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_recorded_strings(name, make, strings):
    tokenizer = make(name)
    table = tokenizer.texts([row["text"] for row in strings])
    assert len(strings) == len(table) == 263
    for index, row in enumerate(strings):
        ids = of_text(table, index).tolist()
        assert ids == row[name]["ids"], row["text"]
        assert tokenizer.pieces(ids) == row[name]["tokens"]
        assert (
            tokenizer.basic(row["text"])
            == row["basic_lower" if name == "uncased" else f"basic_{name}"]
        )


@pytest.mark.shared
def test_recorded_strings_of_bert_n_pals(make, strings):
    differing = 0
    for name in CASES:
        tokenizer = make(name, **BERT_N_PALS)
        table = tokenizer.texts([row["text"] for row in strings])
        for index, row in enumerate(strings):
            recorded = row[name].get("tokens_bert_n_pals_variant", row[name]["tokens"])
            differing += recorded != row[name]["tokens"]
            assert tokenizer.pieces(of_text(table, index).tolist()) == recorded, row["text"]
    assert differing == 91


@pytest.mark.shared
@pytest.mark.parametrize("max_word_length", [200, 100, 5])
def test_recorded_word_pieces(max_word_length, golden):
    recorded = json.loads((golden / "05_tokenization" / "wordpiece.json").read_text("utf-8"))
    tokenizer = WordPieceTokenizer(
        recorded["vocab"], lower_case=False, split_cjk=False, max_word_length=max_word_length
    )
    cases = [
        case
        for case in recorded["cases"]
        # the record is of the second step alone; in a text, "#" is a word of its own
        if case["max_input_chars_per_word"] == max_word_length and "#" not in case["text"]
    ]
    assert len(cases) == 14
    for case in cases:
        assert tokenizer.pieces(tokenizer.texts([case["text"]]).ids) == case["tokens"]


@pytest.mark.shared
def test_recorded_character_classes(make, golden):
    recorded = json.loads((golden / "05_tokenization" / "characters.json").read_text("utf-8"))
    tokenizer = make("cased")
    deleted = {*recorded["is_control"], 0, 0xFFFD}
    between = {*recorded["is_whitespace"], 0x2028, 0x2029}
    alone = {*recorded["is_punctuation"], *recorded["is_chinese_char"]}
    for code_point in recorded["code_points"]:
        if 0xD800 <= code_point < 0xE000:
            continue
        character = chr(code_point)
        expected = [f"a{character}b"]
        if code_point in between:
            expected = ["a", "b"]
        elif code_point in deleted:
            expected = ["ab"]
        elif code_point in alone:
            expected = ["a", character, "b"]
        assert tokenizer.basic(f"a{character}b") == expected, hex(code_point)


@pytest.mark.shared
def test_vocabularies_have_one_piece_a_line(vocabularies):
    """The Chinese one has 21,128 lines; two of its pieces are line separators themselves."""
    sizes = {name: len(read_vocabulary(path)) for name, path in vocabularies.items()}
    assert sizes == {
        "uncased": 30522,
        "cased": 28996,
        "chinese": 21128,
        "multilingual": 119547,
    }


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("uncased", {}),
        ("uncased", BERT_N_PALS),
        ("cased", {}),
        ("cased", BERT_N_PALS),
        ("chinese", {}),
        ("chinese", {"lower_case": False}),
        ("multilingual", {}),
    ],
)
def test_random_strings_equal_the_algorithm(name, options, make, vocabularies):
    """Characters are drawn from vocabulary pieces, from troublesome ones, and from everywhere."""
    pieces = read_vocabulary(vocabularies[name])
    tokenizer = make(name, **options)
    lower_case = options.get("lower_case", name in ("uncased", "chinese"))
    reference = Reference(pieces, **{**options, "lower_case": lower_case})
    draw = random.Random(f"{name} {sorted(options)}")
    known = [piece.removeprefix("##") for piece in pieces]
    special = [
        " ",
        " ",
        "\t",
        "\u2028",
        "\x85",
        "\0",
        "\xad",
        "\u200d",
        "\ufffd",
        "\u3000",
        "[SEP]",
    ]
    special += [
        "[MASK]",
        "\u03a3",
        "\u0391",
        "\u0130",
        "\u1e9e",
        "\u0301",
        ".",
        "'",
        "$",
        "\U0001f600",
        "\u4e2d",
    ]
    special += ["\ue000", "\u0378", "\uac00", "\u3042", "A" * 99, "a" * 201]
    everywhere = agreed_characters()

    def text() -> str:
        sources = draw.choices([known, special, everywhere], [5, 3, 2], k=draw.randint(1, 16))
        return "".join(draw.choice(source) for source in sources)

    assert_same(tokenizer, reference, [text() for _ in range(1500)])


@pytest.mark.shared
def test_texts_of_glue_equal_the_algorithm(make, vocabularies, glue):
    texts = []
    for file in ("CoLA/dev.tsv", "MRPC/dev.tsv", "QNLI/dev.tsv", "QQP/dev.tsv", "STS-B/dev.tsv"):
        with (glue / file).open(encoding="utf-8-sig", newline="\n") as lines:
            texts += [
                "\t".join(row) for row in csv.reader(lines, "excel-tab", quoting=csv.QUOTE_NONE)
            ]
    texts = [text for text in texts if not text.isascii()][:1500] + texts[::20]
    for name in CASES:
        reference = Reference(read_vocabulary(vocabularies[name]), lower_case=name == "uncased")
        assert_same(make(name), reference, texts)


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_offsets_give_back_the_pieces(name, make, glue):
    """The given text between a piece's offsets, normalised by itself, is the piece."""
    tokenizer = make(name)
    lines = (glue / "QNLI" / "dev.tsv").read_text(encoding="utf-8").split("\n")
    texts = [line for line in lines if not line.isascii()][:300]
    texts = [text.replace("an", "a\xadn").replace("e", "e\u200b\0") for text in texts] + texts
    table = tokenizer.texts(texts)
    compared = 0
    for index, text in enumerate(texts):
        places = slice(table.bounds[index], table.bounds[index + 1])
        pieces = tokenizer.pieces(table.ids[places].tolist())
        for piece, (start, end) in zip(pieces, table.offsets[places], strict=True):
            # hangul and kana come apart into several pieces of one character
            if piece != "[UNK]" and not any("\u1100" <= c <= "\u30ff" for c in piece):
                covered = "".join(tokenizer.basic(text[start:end]))
                assert covered.replace("\u03c2", "\u03c3") == piece.removeprefix("##").replace(
                    "\u03c2", "\u03c3"
                )
                compared += 1
    assert compared > 20_000


@pytest.mark.shared
@pytest.mark.parametrize("options", [{}, BERT_N_PALS], ids=["google", "bert_n_pals"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "step", [97, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "every"]
)
def test_characters_equal_the_algorithm(step, name, options, make):
    """Each character between letters, under an accent, and on both sides of a capital sigma."""
    tokenizer = make(name, **options)
    reference = Reference((), lower_case=name == "uncased", **options)
    characters = agreed_characters()
    characters = characters[:0x3100:7] + characters[::step] if step > 1 else characters
    for start in range(0, len(characters), 64):
        part = characters[start : start + 64]
        for frame in FRAMES:
            text = "\n".join(map(frame.format, part))
            assert tokenizer.basic(text) == reference.basic(text), ascii(text)


@cache
def agreed_characters() -> list[str]:
    """Characters of which this Python and the library hold what Unicode 14.0 holds.

    Left out are unassigned ones that have a small letter or a decomposition in a later Unicode:
    the library knows them, and no vocabulary of BERT's does.
    """
    control, other = members(unicode_table.CONTROL), members(unicode_table.OTHER)
    marks, symbols = members(unicode_table.NONSPACING_MARK), members(unicode_table.PUNCTUATION)
    later = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFD()])

    def agrees(code_point: int) -> bool:
        category = unicodedata.category(chr(code_point))
        if category == "Cn":
            return code_point in other and later.normalize_str(chr(code_point)) == chr(code_point)
        spared = code_point in (9, 10, 13)
        return (
            (category in ("Cc", "Cf")) is (code_point in control or spared)
            and (category[0] == "C") is (code_point in other or spared)
            and (category == "Mn") is (code_point in marks)
            and (category[0] == "P") is (code_point in symbols)
        )

    places = [*range(0xD800), *range(0xE000, 0x110000)]
    return [chr(c) for c in places if c != UNDECOMPOSED and agrees(c)]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("run", "name", "max_length"),
    [("uncased_16", "uncased", 16), ("uncased_64", "uncased", 64), ("cased_16", "cased", 16)],
)
def test_recorded_features(run, name, max_length, make, golden):
    folder = golden / "07_classification_features"
    lines = (folder / "examples.jsonl").read_text(encoding="utf-8").split("\n")
    examples = [json.loads(line) for line in lines if line]
    recorded = np.load(folder / "features.npz")
    tokenizer = make(name)
    rows = tokenizer.rows(
        tokenizer.texts([example["text_a"] for example in examples]),
        tokenizer.texts([example["text_b"] or "" for example in examples]),
        max_length=max_length,
    )
    assert len(rows) == len(examples) == 32
    for index in range(len(rows)):
        tokens = slice(rows.bounds[index], rows.bounds[index + 1])
        length = int(recorded[f"{run}/input_mask"][index].sum())
        np.testing.assert_array_equal(
            rows.input_ids[tokens], recorded[f"{run}/input_ids"][index, :length]
        )
        np.testing.assert_array_equal(
            rows.token_type_ids[tokens], recorded[f"{run}/segment_ids"][index, :length]
        )


@pytest.mark.shared
def test_recorded_truncation(golden):
    path = golden / "07_classification_features" / "truncate_seq_pair.json"
    rows = np.array(json.loads(path.read_text("utf-8"))["rows"])
    first, second = truncated_lengths(rows[:, 0], rows[:, 1], rows[:, 2])
    np.testing.assert_array_equal(first, rows[:, 3])
    np.testing.assert_array_equal(second, rows[:, 4])
