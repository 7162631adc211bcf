"""Which words a vocabulary takes in, and where they go."""

import pytest

from bertmod.errors import DataError
from bertmod.pretraining.extending import place_words
from bertmod.pretraining.fertility import fertility
from bertmod.pretraining.vocabularies import vocabulary_of

LETTERS = [*"abc", *(f"##{letter}" for letter in "abc")]
TEXT = "abc abc ab ab ab cab a b zzz zzz zzz zzz bca\n"


def placed(slot, counted, pieces, **options):
    counts = counted(TEXT)
    tokenizer = slot(pieces).build()
    return place_words(counts, tokenizer, vocabulary_of(tokenizer), **options)


def test_the_most_useful_words_take_unused_places(slot, counted):
    pieces = ["[unused7]", *LETTERS, "[unused0]", "[unused1]"]
    found = placed(slot, counted, pieces, min_frequency=1)
    assert found.words == ["abc", "ab", "bca"]
    assert found.pieces[5:] == ["abc", *LETTERS, "ab", "bca"]
    assert found.made_of == {5: (6, 10, 11), 12: (6, 10), 13: (7, 11, 9)}
    assert found.appended == 0


def test_words_without_a_place_are_appended(slot, counted):
    found = placed(slot, counted, ["[unused0]", *LETTERS], num_words=3, min_frequency=1)
    assert found.pieces[5:] == ["abc", *LETTERS, "ab", "bca"]
    assert (list(found.made_of), found.appended) == ([5, 12, 13], 2)


def test_fewer_words_than_places(slot, counted):
    found = placed(slot, counted, [*LETTERS, "[unused0]", "[unused1]", "[unused2]"])
    assert found.words == ["abc", "ab"]
    assert found.pieces[-1] == "[unused2]"
    assert found.appended == 0


def test_no_place(slot, counted):
    with pytest.raises(DataError) as caught:
        placed(slot, counted, LETTERS, title="vocab.txt")
    assert str(caught.value) == (
        "vocab.txt: no [unusedN] place to put words in\n"
        "  --words N appends N words, so that the word embeddings grow"
    )


def test_no_word(slot, counted):
    with pytest.raises(DataError) as caught:
        placed(slot, counted, ["[unused0]", *LETTERS], min_frequency=9, title="vocab.txt")
    assert str(caught.value) == (
        "vocab.txt: cuts no word of the corpus that occurs 9 times or more\n"
        "  there is nothing to put in"
    )


def test_fertility(slot, counted):
    counts = counted(TEXT + "x" * 201 + "\n")
    told = fertility(counts, slot([*LETTERS, "ab", "[unused0]"]).build())
    assert (told.num_words, told.num_distinct) == (14, 7)
    assert (told.num_whole, told.num_unknown) == (5, 5)
    assert told.num_pieces == 5 + 2 * 2 + 3 + 3 + 5
    assert (told.num_used, told.vocab_size) == (8, 13)
    assert told.unknown == ("zzz",)
    assert told.lines() == [
        "corpus       14 words, 7 different",
        "whole words  35.7% of the words are one piece",
        "fertility    1.429 pieces a word",
        "unknown      35.714% of the words, such as zzz",
        "pieces used  8 of 13",
    ]
