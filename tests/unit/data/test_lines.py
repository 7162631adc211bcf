from __future__ import annotations

import pytest

from bertmod.data import lines
from bertmod.data.lines import read_blocks, read_lines
from bertmod.errors import DataError


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "x.tsv"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n\r\n", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"a\rb\x0bc\x0cd\x1ce\nf\n", ["a\rb\x0bc\x0cd\x1ce", "f"]),
        ("a\x85b\u2028c\u2029d\n".encode(), ["a\x85b\u2028c\u2029d"]),
    ],
)
def test_lines_end_at_newlines_alone(file, content, expected) -> None:
    assert read_lines(file(content)) == expected


def test_blocks_carry_line_numbers_over_empty_lines(file, monkeypatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_LINES", 2)
    path = file(b"1\n2\n3\n\n\n\n7\n8\n9\n\n\n")
    blocks = list(read_blocks(path))
    numbered = {first + i: line for first, block in blocks for i, line in enumerate(block)}
    expected = {number: str(number) for number in (1, 2, 3, 7, 8, 9)}
    assert numbered == expected | {4: "", 5: "", 6: ""}


@pytest.mark.parametrize(("block", "line"), [(2, 5), (16384, 5)])
def test_bad_bytes_are_found(file, monkeypatch, block, line) -> None:
    monkeypatch.setattr(lines, "BLOCK_LINES", block)
    path = file(b"1\n2\n3\n4\nab\xe9c\n6\n")
    with pytest.raises(DataError) as caught:
        read_lines(path)
    assert str(caught.value) == (
        f"{path}, line {line}, byte 3 of the line: not UTF-8 (0xe9)\n  save the file as UTF-8"
    )


def test_utf16_is_named(file) -> None:
    path = file("a\tb\n".encode("utf-16"))
    with pytest.raises(DataError) as caught:
        read_lines(path)
    assert str(caught.value) == (f"{path}: the file is UTF-16, not UTF-8\n  save the file as UTF-8")


def test_a_file_that_cannot_be_opened(tmp_path) -> None:
    with pytest.raises(DataError, match=r"x\.tsv: cannot be read: No such file or directory$"):
        read_lines(tmp_path / "x.tsv")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"):
        read_lines(tmp_path)
