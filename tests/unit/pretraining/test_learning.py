"""Learned vocabularies: BERT's order, exact sizes, the pieces of plain byte-pair encoding."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from bertmod.errors import DataError
from bertmod.pretraining import learning
from bertmod.pretraining.learning import VocabularyOptions, learn_pieces, marks

TEXT = """
the lowest lower low lows, the newest newer new news; the widest wider wide
low low low new new newest newest lowest widest widest the the the the

slow slower slowest. a slow new world wide web, the newest of the new
"""
OPTIONS = VocabularyOptions(size=60, unused=2, min_frequency=1)


def plainly(counts, options):
    """Byte-pair encoding without an index: count every pair, join the first of the commonest."""
    words = [([word[0], *("##" + c for c in word[1:])], n) for word, n in counts.items()]
    letters = {c for word, _ in counts.items() for c in word}
    inner = {piece for pieces, _ in words for piece in pieces[1:]}
    vocab = [*marks(options.unused), *sorted(letters), *sorted(inner)]
    while len(vocab) < options.size:
        number = {piece: index for index, piece in enumerate(vocab)}
        pairs = Counter()
        for pieces, count in words:
            for pair in pairwise(pieces):
                pairs[pair] += count
        one, two = min(pairs, key=lambda pair: (-pairs[pair], [number[piece] for piece in pair]))
        joined = one + two.removeprefix("##")
        if joined not in number:
            vocab.append(joined)
        for pieces, _ in words:
            place = 0
            while place < len(pieces) - 1:
                if pieces[place : place + 2] == [one, two]:
                    pieces[place : place + 2] = [joined]
                place += 1
    return vocab


def test_marks_stand_as_in_berts_vocabularies(shared):
    lines = (shared / "data/vocab/uncased.txt").read_text().split("\n")
    assert lines[:999] == marks(994)
    for name in ("uncased", "cased", "chinese"):
        lines = (shared / f"data/vocab/{name}.txt").read_text().split("\n")
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        assert [lines.index(mark) for mark in special] == [
            marks(99).index(mark) for mark in special
        ]


@pytest.mark.parametrize("unused", [0, 2, 99, 150])
def test_marks(unused):
    found = marks(unused)
    assert [piece for piece in found if "unused" in piece] == [
        f"[unused{number}]" for number in range(unused)
    ]
    assert found.index("[UNK]") == min(unused, 99) + 1
    assert found[found.index("[UNK]") :][:4] == ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize("size", [50, 60, 67])
def test_as_plain_byte_pair_encoding(counted, size):
    counts = counted(TEXT)
    options = replace(OPTIONS, size=size)
    learned = learn_pieces(counts, options)
    assert learned.pieces == plainly(counts, options)
    assert len(learned.pieces) == size


def test_every_character_is_there(counted):
    learned = learn_pieces(counted(TEXT), OPTIONS)
    assert learned.alphabet == learned.characters == len(set(TEXT) - set(" \n"))
    assert set(TEXT) - set(" \n") <= set(learned.pieces)
    assert "##," not in learned.pieces


def test_the_commonest_characters(counted):
    counts = counted(TEXT + "µ")
    learned = learn_pieces(counts, replace(OPTIONS, size=40, alphabet=12))
    letters = [piece for piece in learned.pieces if len(piece) == 1]
    assert learned.alphabet == len(letters) == 12
    assert {"e", "w", "t", "s"} < set(letters)
    assert "µ" not in letters
    dropped = set(TEXT) - set(letters)
    joined = "".join(learned.pieces[len(marks(OPTIONS.unused)) :])
    assert not dropped & set(joined)


def test_a_word_without_its_characters_teaches_nothing(counted):
    """The trainer would leave q out and join a and b."""
    counts = counted("aqb " * 50 + "a b c ac ac\n")
    learned = learn_pieces(counts, VocabularyOptions(11, unused=0, min_frequency=1, alphabet=3))
    assert "q" in learned.pieces
    counts = counted("xaqb " * 50 + "a b " * 200 + "x x x ac ac\n")
    options = VocabularyOptions(10, unused=0, min_frequency=1, alphabet=3)
    with pytest.raises(DataError):
        learn_pieces(counts, replace(options, size=99))
    assert "ab" not in learn_pieces(counts, replace(options, size=8)).pieces


def test_counts_beyond_what_the_trainer_takes(counted, monkeypatch):
    many = counted("\n".join([TEXT] * 40))
    whole = learn_pieces(many, OPTIONS)
    monkeypatch.setattr(learning, "MOST_OCCURRENCES", many.num_words // 40)
    assert learn_pieces(many, OPTIONS).pieces == whole.pieces


def test_too_small(counted):
    with pytest.raises(DataError) as caught:
        learn_pieces(counted("ab ba c\n"), VocabularyOptions(11, unused=2))
    assert str(caught.value) == (
        "--size 11: too small, 12 places are taken beforehand: 5 special tokens, 2 unused, "
        "3 characters, 2 of them again inside words\n"
        "  give a larger --size, or less --alphabet or --unused"
    )


def test_too_little_text(counted):
    with pytest.raises(DataError) as caught:
        learn_pieces(counted("ab ba ab\n"), VocabularyOptions(100, unused=2))
    assert str(caught.value) == (
        "--size 100: the corpus gives 12 pieces with --min-frequency 2\n"
        "  give --size 12 or less, a lower --min-frequency, or more text"
    )
