"""Words of a corpus are those of the tokenizer, however they are counted."""

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertmod.errors import DataError
from bertmod.pretraining import word_counts
from bertmod.pretraining.word_counts import WordCounts

ODD = (
    "ΣΟΦΟΣ ΟΔΟΣ. ὈΔΥΣΣΕΎΣ İstanbul Straße naïve 日本語 kana\u200bzero a\u00a0b c\u2028d ǅ \u0301x ﬁ"
)


def words_of(tokenizer, text, *, longest=200):
    found = Counter(word for line in text.split("\n") for word in tokenizer.basic(line))
    return {word: count for word, count in sorted(found.items()) if len(word) <= longest}


@pytest.mark.parametrize("lower_case", [True, False])
def test_words_are_the_tokenizers(slot, counted, lower_case):
    text = f"{ODD}\n\n  two  blanks \t{ODD}\r\nThe cat, the CAT\n"
    counts = counted(text, lower_case=lower_case)
    assert dict(counts.items()) == words_of(slot(lower_case=lower_case).build(), text)
    assert counts.num_words == sum(count for _, count in counts.items())
    assert counts.num_too_long == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(lines=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))))
def test_any_text(slot, lines):
    text = "\n".join(lines)
    made = slot()
    found = made.splitter().counts(Counter(text.replace("\n", " ").split(" ")).items())
    assert dict(found) == dict(Counter(made.build().basic(text.replace("\n", " "))))
    again = made.splitter().counts(found.items())
    assert again == found, "words are cut again into other words"


def test_words_that_lie_in_files(counted, monkeypatch, tmp_path):
    draws = random.Random(0)
    words = ["".join(draws.choices("abcé日", k=draws.randint(1, 4))) for _ in range(4000)]
    text = "\n".join(" ".join(words[start : start + 10]) for start in range(0, 4000, 10))
    whole = counted(text)
    monkeypatch.setattr(word_counts, "HELD_TEXT", 200)
    monkeypatch.setattr(word_counts, "MOST_FILES", 3)
    monkeypatch.setattr("bertmod.pretraining.corpus.BLOCK_BYTES", 300)
    spilled = counted(text, held_words=40)
    files = list((tmp_path / "words").iterdir())
    assert files
    assert len(files) < 4
    assert list(spilled.items()) == list(whole.items())
    assert spilled.commonest(50) == whole.commonest(50)
    assert (spilled.num_words, spilled.num_too_long) == (whole.num_words, 0)


def test_words_too_long_for_pieces(counted):
    counts = counted(f"a {'b' * 200} {'c' * 201} {'c' * 201}\n")
    assert [word for word, _ in counts.items()] == ["a", "b" * 200]
    assert (counts.num_words, counts.num_too_long) == (4, 2)


def test_the_commonest_first(counted):
    assert counted("b a b c a d\n").commonest(3) == [("a", 2), ("b", 2), ("c", 1)]


@pytest.mark.parametrize("text", ["", "\n \n", "\u200b\n", "x" * 300])
def test_no_words(counted, text):
    with pytest.raises(DataError, match=r"corpus\.txt: no words there"):
        counted(text)


def test_a_full_disk(slot, tmp_path):
    counts = WordCounts(slot().splitter(), tmp_path / "missing", held_words=1)
    counts.add(["two words"])
    with pytest.raises(Exception, match="cannot be written: No such file") as caught:
        counts.settle()
    assert str(caught.value).endswith("\n  TMPDIR says where there is room")
    assert caught.value.exit_status == 1
