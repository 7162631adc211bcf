"""The WordPiece tokenizer on a small vocabulary."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tokenizers

from bertmod.builtin.tokenizers import modules
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.data.unplaced import unplaced_pieces

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [*SPECIAL, "un", "##aff", "##able", "run", "##s", "cafe", "hello", "world", "[", "]"]
PIECES += ["sep", "mask", ",", "#", "\u4e2d", "\u6587", "\u03b1\u03c2", "\u03b1\u03c3\u03b1", "i"]
PIECES += ["\u1112", "##\u1161", "##\u11ab", "\u4e2d\u6587"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(PIECES, lower_case=True)


def pieces_of(tokenizer, text):
    return tokenizer.pieces(tokenizer.texts([text]).ids.tolist())


def test_dtypes_and_shapes(tokenizer):
    table = tokenizer.texts(["unaffable runs", "", "hello, world"])
    assert len(table) == 3
    assert table.bounds.tolist() == [0, 5, 5, 8]
    assert table.words.tolist() == [0, 0, 0, 1, 1, 0, 1, 2]
    assert table.offsets[:5].tolist() == [[0, 2], [2, 5], [5, 9], [10, 13], [13, 14]]
    assert (table.ids.dtype, table.offsets.dtype, table.words.dtype, table.bounds.dtype) == (
        np.int32,
        np.int32,
        np.int32,
        np.int64,
    )


@pytest.mark.parametrize("method", ["texts", "words"])
@pytest.mark.parametrize(("given", "bounds"), [([], [0]), ([""], [0, 0])])
def test_nothing(tokenizer, method, given, bounds):
    table = getattr(tokenizer, method)(given)
    assert table.bounds.tolist() == bounds
    assert (table.ids.shape, table.offsets.shape, table.words.shape) == ((0,), (0, 2), (0,))
    assert {a.dtype for a in (table.ids, table.offsets, table.words)} == {np.dtype(np.int32)}
    assert table.bounds.dtype == np.int64


@pytest.mark.parametrize("method", ["texts", "words"])
def test_many_texts_go_through_in_chunks(tokenizer, method, monkeypatch):
    texts = ["unaffable runs", "", "hello, world", "caf\u00e9"] * 5
    given = texts if method == "texts" else [text.split() for text in texts]
    whole = getattr(tokenizer, method)(given)
    monkeypatch.setattr(modules, "CHUNK", 3)
    parts = getattr(tokenizer, method)(given)
    for name in ("ids", "offsets", "words", "bounds"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize(
    ("text", "pieces", "covered"),
    [
        ("Caf\u00e9", ["cafe"], ["Caf\u00e9"]),
        ("cafe\u0301 runs", ["cafe", "run", "##s"], [("cafe", "cafe\u0301"), "run", "s"]),
        ("\0h\u00adell\u200bo world", ["hello", "world"], ["h\u00adell\u200bo", "world"]),
        ("\u3000hello\u2028world\u00a0", ["hello", "world"], ["hello", "world"]),
        ("\u0130", ["i"], ["\u0130"]),
        ("\ud55c", ["\u1112", "##\u1161", "##\u11ab"], ["\ud55c"] * 3),
        ("hello\u4e2d\u6587", ["hello", "\u4e2d", "\u6587"], ["hello", "\u4e2d", "\u6587"]),
        ("world \ud800x, i", ["world", "[UNK]", ",", "i"], ["world", "\ud800x", ",", "i"]),
        ("\U0001f600 run", ["[UNK]", "run"], ["\U0001f600", "run"]),
    ],
)
def test_offsets_are_of_the_text_as_given(tokenizer, text, pieces, covered):
    table = tokenizer.texts([text])
    assert tokenizer.pieces(table.ids.tolist()) == pieces
    for (start, end), expected in zip(table.offsets, covered, strict=True):
        assert text[start:end] in expected


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("[SEP]", ["[", "sep", "]"]),
        ("[MASK] ##s", ["[", "mask", "]", "#", "#", "[UNK]"]),
        ("\u0391\u03a3", ["\u03b1\u03c2"]),
        ("\u0391\u03a3\u0391", ["\u03b1\u03c3\u03b1"]),
        ("\u0391\u03a3, \u0391\u00ad\u03a3", ["\u03b1\u03c2", ",", "\u03b1\u03c2"]),
        ("\u0391\u03a3\0\u0391", ["\u03b1\u03c3\u03b1"]),
        ("run" + "s" * 197, ["run", *["##s"] * 197]),
        ("run" + "s" * 198, ["[UNK]"]),
    ],
)
def test_pieces_of_texts(tokenizer, text, pieces):
    assert pieces_of(tokenizer, text) == pieces


def test_words_count_given_words(tokenizer):
    table = tokenizer.words([["hello,", "\0", "Runs"], [], ["unaffable"]])
    assert tokenizer.pieces(table.ids.tolist()) == [
        *("hello", ",", "run", "##s"),
        *("un", "##aff", "##able"),
    ]
    assert table.words.tolist() == [0, 0, 2, 2, 0, 0, 0]
    assert table.offsets.tolist() == [[0, 5], [5, 6], [0, 3], [3, 4], [0, 2], [2, 5], [5, 9]]
    assert table.bounds.tolist() == [0, 4, 4, 7]


def test_words_are_pre_tokenised_like_texts(tokenizer):
    """A plain text's word counts as SQuAD and tags need it only once it is split beforehand."""
    whole = tokenizer.texts(["hello, world"])
    split = tokenizer.words([["hello,", "world"]])
    np.testing.assert_array_equal(whole.ids, split.ids)
    assert whole.words.tolist() == [0, 1, 2]
    assert split.words.tolist() == [0, 0, 1]


def test_options():
    cased = WordPieceTokenizer([*PIECES, "Caf\u00e9"], lower_case=False)
    assert pieces_of(cased, "Caf\u00e9 cafe\u0301") == ["Caf\u00e9", "[UNK]"]
    whole = WordPieceTokenizer(PIECES, lower_case=True, split_cjk=False)
    assert pieces_of(whole, "\u4e2d\u6587") == ["\u4e2d\u6587"]
    dropping = WordPieceTokenizer(PIECES, lower_case=True, drop_unassigned=True)
    assert pieces_of(dropping, "ru\ue000n\u0378 h\ud800ello") == ["run", "hello"]
    short = WordPieceTokenizer(PIECES, lower_case=True, max_word_length=4)
    assert pieces_of(short, "runs hello") == ["run", "##s", "[UNK]"]


def test_basic_words(tokenizer):
    assert tokenizer.basic("Caf\u00e9, [SEP]\u2028\u4e2dX") == [
        *("cafe", ",", "[", "sep", "]"),
        *("\u4e2d", "x"),
    ]
    assert tokenizer.basic(" \t") == []


def test_special_ids_and_size(tokenizer):
    assert dict(tokenizer.special) == {name: index for index, name in enumerate(SPECIAL)}
    assert tokenizer.vocab_size == len(PIECES)
    without_mask = WordPieceTokenizer(["[SEP]", "[CLS]", "[UNK]"], lower_case=True)
    assert dict(without_mask.special) == {"[UNK]": 2, "[CLS]": 1, "[SEP]": 0}


@pytest.mark.parametrize("wrong", [-1, len(PIECES)])
def test_ids_outside_the_vocabulary(tokenizer, wrong):
    last = len(PIECES) - 1
    with pytest.raises(
        ValueError, match=rf"^id {wrong} is outside the vocabulary \(0 to {last}\)$"
    ):
        tokenizer.pieces([0, wrong])


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (["[UNK]", "[CLS]"], r"the vocabulary lacks \[SEP\]"),
        ([*PIECES, "run"], "1 pieces of the vocabulary are repetitions"),
    ],
)
def test_vocabularies_that_cannot_serve(pieces, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        WordPieceTokenizer(pieces, lower_case=True)


def test_fingerprint_is_of_vocabulary_and_options(tokenizer):
    others = [
        WordPieceTokenizer(PIECES, lower_case=False),
        WordPieceTokenizer(PIECES, lower_case=True, split_cjk=False),
        WordPieceTokenizer(PIECES, lower_case=True, drop_unassigned=True),
        WordPieceTokenizer(PIECES, lower_case=True, max_word_length=100),
        WordPieceTokenizer([*PIECES, "new"], lower_case=True),
    ]
    assert len({other.fingerprint for other in (tokenizer, *others)}) == 6
    assert WordPieceTokenizer(tuple(PIECES), lower_case=True).fingerprint == tokenizer.fingerprint


def test_files_make_the_tokenizer_again(tokenizer, tmp_path):
    from bertmod.builtin.tokenizers.vocabulary import read_vocabulary

    (content,) = tokenizer.files().values()
    (tmp_path / "vocab.txt").write_bytes(content)
    again = WordPieceTokenizer(read_vocabulary(str(tmp_path / "vocab.txt")), lower_case=True)
    assert list(tokenizer.files()) == ["vocab.txt"]
    assert again.fingerprint == tokenizer.fingerprint


def test_pickled(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.fingerprint == tokenizer.fingerprint
    assert pieces_of(again, "Runs\u0301") == ["run", "##s"]


def test_pieces_without_places(tokenizer, monkeypatch):
    """The same pieces, in chunks that are made one beside another."""
    monkeypatch.setattr(modules, "CHUNK", 3)
    texts = ["unaffable, runs", "", "caf\u00e9 \u4e2d\u6587", "hello", "[SEP] runs"] * 3
    placed = tokenizer.texts(texts)
    unplaced = unplaced_pieces(tokenizer, texts)
    for name in ("ids", "words", "bounds"):
        np.testing.assert_array_equal(getattr(unplaced, name), getattr(placed, name))
    assert unplaced.offsets.shape == placed.offsets.shape
    assert placed.offsets.any()
    assert not unplaced.offsets.any()


def test_a_tokenizer_that_knows_places_alone_is_asked_for_these(tokenizer):
    class Placing:
        texts = staticmethod(tokenizer.texts)

    assert unplaced_pieces(Placing(), ["hello"]).offsets.any()


def test_several_threads(tokenizer):
    texts = ["unaffable runs caf\u00e9", "hello, \u4e2d\u6587"] * 500
    alone = tokenizer.texts(texts).ids
    with ThreadPoolExecutor(4) as pool:
        for table in pool.map(tokenizer.texts, [texts] * 8):
            np.testing.assert_array_equal(table.ids, alone)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_processes_tokenize_in_silence():
    """No deadlock and no warning in children of a process that has tokenized.

    Before 0.22.2 the library itself warned of such a fork.
    """
    program = (
        "import multiprocessing, os, subprocess\n"
        "from bertmod.builtin.tokenizers.modules import WordPieceTokenizer\n"
        "before = dict(os.environ)\n"
        "t = WordPieceTokenizer(['[UNK]', '[CLS]', '[SEP]', 'a'], lower_case=True)\n"
        "t.texts(['a b'] * 100)\n"
        "def count(_):\n"
        "    return len(t.texts(['a b'] * 100).ids)\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    assert pool.map(count, range(4)) == [200] * 4\n"
        "subprocess.run(['true'], check=True)\n"
        "assert dict(os.environ) == before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")
    if tuple(map(int, tokenizers.__version__.split(".")[:3])) >= (0, 22, 2):
        assert done.stderr == ""
