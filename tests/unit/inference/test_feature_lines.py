"""Lines to rows, and tokens back to the words of their lines."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pytest

from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.data.lines import every_line
from bertmod.errors import DataError
from bertmod.inference.feature_lines import LineFile, line_parts, tokenize_lines, windows

PIECES = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "the",
    "cat",
    "sat",
    "##s",
    "un",
    "##sat",
    ",",
    "cafe",
)


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer(PIECES, lower_case=True)


@pytest.mark.parametrize(
    ("line", "first", "second"),
    [
        ("a", "a", ""),
        ("a ||| b", "a", "b"),
        ("  a ||| b ", "a", "b"),
        ("a ||| b ||| c", "a ||| b", "c"),
        ("a ||| ||| b", "a |||", "b"),
        ("a|||b", "a|||b", ""),
        ("a ||| ", "a |||", ""),
        (" ||| b", "||| b", ""),
        ("", "", ""),
        ("  ", "", ""),
    ],
)
def test_the_last_mark_with_blanks_on_both_sides_separates(line, first, second) -> None:
    """As the expression in Google's code does, applied to the stripped line."""
    parts = line_parts(line)
    assert (parts.first, parts.second) == (first, second)
    found = re.match(r"^(.*) \|\|\| (.*)$", line.strip())
    assert found is None or found.groups() == (first, second)
    for text, start in (parts[:2], parts[2:]):
        assert line[start : start + len(text)] == text


def words_of(line: str, tokenizer: WordPieceTokenizer, max_length: int = 32) -> list[str | None]:
    """The word of each token, found by its number and by its place."""
    found = tokenize_lines(tokenizer, [line], max_length=max_length)
    split, words = line.split(), []
    for number, start, end in zip(found.words, found.word_starts, found.word_ends, strict=True):
        if number < 0:
            assert (start, end) == (-1, -1)
            words.append(None)
        else:
            assert line[start:end] == split[number]
            words.append(split[number])
    return words


def test_tokens_know_their_words(tokenizer) -> None:
    assert words_of("The cats,  unsat", tokenizer) == [
        None, "The", "cats,", "cats,", "cats,", "unsat", "unsat", None,
    ]  # fmt: skip
    assert words_of("\tcafé ||| 我们 cat ", tokenizer) == [
        None, "café", None, "我们", "我们", "cat", None,
    ]  # fmt: skip


def test_words_that_blanks_of_other_kinds_separate(tokenizer) -> None:
    assert words_of("cat\u00a0sat\u2003the", tokenizer) == [None, "cat", "sat", "the", None]


def test_truncation_takes_the_longer_text_and_on_a_tie_the_second(tokenizer) -> None:
    line = "the cats ||| cat sat the"
    assert words_of(line, tokenizer, 8) == [None, "the", "cats", "cats", None, "cat", "sat", None]
    assert words_of(line, tokenizer, 7) == [None, "the", "cats", None, "cat", "sat", None]


def test_rows_are_those_of_the_tokenizer(tokenizer) -> None:
    lines = ["the cat", "", "cat ||| sat the", "unsat, " * 9, "cat ||| \u200b"]
    found = tokenize_lines(tokenizer, lines, max_length=9).rows
    parts = [line_parts(line) for line in lines]
    texts = [tokenizer.texts([part[place] for part in parts]) for place in (0, 2)]
    wanted = tokenizer.rows(*texts, max_length=9)
    for name in ("input_ids", "token_type_ids", "bounds", "truncated"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert found.input_ids.dtype == wanted.input_ids.dtype
    assert np.diff(found.bounds).tolist() == [4, 2, 6, 9, 3]
    assert found.truncated.tolist() == [False, False, False, True, False]


def test_lines_without_any_token(tokenizer) -> None:
    found = tokenize_lines(tokenizer, ["", " "], max_length=8)
    assert found.rows.input_ids.tolist() == [2, 3, 2, 3]
    assert found.words.tolist() == [-1] * 4


def test_windows_read_no_further() -> None:
    read: list[str] = []

    def lines():
        for number in range(10):
            read.append(str(number))
            yield str(number)

    groups = windows(lines(), 4)
    assert next(groups) == ["0", "1", "2", "3"]
    assert len(read) == 4
    assert [len(group) for group in groups] == [4, 2]


def test_every_line_counts(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    content = b"\xef\xbb\xbfone\r\n\r\nt\xc3\xa9n\n\n\n"
    path.write_bytes(content)
    source = LineFile.of(str(path))
    assert list(source) == ["one", "", "tén", "", ""]
    assert source.num_lines == 5
    assert source.sha256 == hashlib.sha256(content).hexdigest()
    path.write_bytes(b"no end")
    assert list(LineFile.of(str(path))) == ["no end"]
    path.write_bytes(b"\n")
    assert list(LineFile.of(str(path))) == [""]


def test_pipes_are_read_as_standard_input(tmp_path: Path) -> None:
    """A file is read twice, first to count its lines; of a pipe nothing would be left."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(DataError) as error:
        LineFile.of(str(path))
    assert str(error.value) == (
        f"{path}: no ordinary file, so that it can be read only once\n"
        f"  give it as standard input: - < {path}"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    with pytest.raises(DataError, match=r"lines\.txt: cannot be read: No such file"):
        LineFile.of(str(path))
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"lines\.txt: has no lines"):
        LineFile.of(str(path))
    path.write_bytes(b"fine\n" * 2000 + b"caf\xe9\n")
    with pytest.raises(DataError) as error:
        LineFile.of(str(path))
    assert str(error.value) == (
        f"{path}, line 2001, byte 4 of the line: not UTF-8 (0xe9)\n  save the file as UTF-8"
    )


def test_blocks_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("a\nb\n\nc\n\n")
    with path.open("rb") as file:
        assert list(every_line(file, path, num_lines=2)) == [["a", "b"], ["", "c"], [""]]
