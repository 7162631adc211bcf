from __future__ import annotations

import logging

import pytest

from bertmod.data import lines
from bertmod.data.columns import drop_rows, read_columns, report_malformed
from bertmod.errors import DataError


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "x.tsv"
        path.write_bytes(text.encode())
        return path

    return write


def test_columns_by_name_whatever_their_order(file) -> None:
    cells = read_columns(file('index\ttext\tlabel\n0\t"odd\t1\n1\t\t0\n'), ["label", "text"])
    assert cells.columns == {"label": ["1", "0"], "text": ['"odd', ""]}
    assert cells.lines.tolist() == [2, 3]
    assert (cells.first_line, cells.malformed) == (2, ())


def test_columns_by_position(file) -> None:
    cells = read_columns(file("a\tb\tc\nd\te\tf\n"), [2, 0], num_columns=3)
    assert cells.columns == {2: ["c", "f"], 0: ["a", "d"]}
    assert (cells.lines.tolist(), cells.first_line) == ([1, 2], 1)


def test_rows_of_another_width_are_told_apart(file, monkeypatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_LINES", 2)
    cells = read_columns(file("a\tb\n1\t2\n3\n4\t5\t6\n\n7\t8\n"), ["b"])
    assert cells.columns == {"b": ["2", "8"]}
    assert cells.lines.tolist() == [2, 6]
    assert cells.malformed == (
        (3, "1 column, not 2"),
        (4, "3 columns, not 2"),
        (5, "1 column, not 2"),
    )


def test_dropped_rows_join_the_malformed_in_line_order(file) -> None:
    cells = drop_rows(read_columns(file("a\tb\n1\tx\n2\n3\ty\n"), ["b"]), {0: "odd"})
    assert cells.columns == {"b": ["y"]}
    assert cells.lines.tolist() == [4]
    assert cells.malformed == ((2, "odd"), (3, "1 column, not 2"))


@pytest.mark.parametrize("text", ["", "a\tb\n", "\n\n"])
def test_a_file_without_rows(file, text) -> None:
    path = file(text)
    with pytest.raises(DataError) as caught:
        read_columns(path, ["b"])
    assert str(caught.value) == (
        f"{path}: the file has no data rows\n"
        '  expected: tab-separated rows under a header line with the columns "b"'
    )


def test_an_empty_file_without_header(file) -> None:
    path = file("")
    with pytest.raises(DataError) as caught:
        read_columns(path, [3, 1], num_columns=4)
    assert str(caught.value) == (
        f"{path}: the file has no data rows\n"
        "  expected: 4 columns separated by tabs, no header line"
    )


def test_a_header_that_lacks_columns(file) -> None:
    path = file(f"index\t{'long ' * 20}\n0\t1\n")
    with pytest.raises(DataError) as caught:
        read_columns(path, ["index", "sentence", "label"])
    assert str(caught.value) == (
        f'{path}: the first line is not the header expected: no column "sentence", "label"\n'
        '  found: "index", "long long long long long long long lo..."\n'
        "  expected: tab-separated rows under a header line with the columns "
        '"index", "sentence", "label"'
    )


def test_the_report_is_one_warning(file, caplog) -> None:
    path = file("a\tb\n1\t2\n" + "3\n" * 7)
    with caplog.at_level(logging.WARNING, "bertmod"):
        report_malformed(path, read_columns(path, ["b"]), strict=False)
    assert caplog.messages == [
        f"{path}: left out 7 malformed rows of 8\n"
        + "".join(f"  line {line}: 1 column, not 2\n" for line in range(3, 8))
        + "  and 2 more"
    ]


def test_strict_data_makes_it_an_error(file) -> None:
    path = file("a\tb\n1\t2\n3\n")
    with pytest.raises(DataError) as caught:
        report_malformed(path, read_columns(path, ["b"]), strict=True, hint="\n  do this")
    assert str(caught.value) == (
        f"{path}: 1 malformed row of 2\n  line 3: 1 column, not 2\n  do this"
    )


def test_every_row_malformed_is_an_error_anyway(file) -> None:
    path = file("a\tb\n1\n3\n")
    with pytest.raises(DataError) as caught:
        report_malformed(path, read_columns(path, ["b"]), strict=False)
    assert str(caught.value) == (
        f"{path}: every row is malformed (2)\n  line 2: 1 column, not 2\n  line 3: 1 column, not 2"
    )


def test_nothing_malformed_is_silent(file, caplog) -> None:
    path = file("a\tb\n1\t2\n")
    report_malformed(path, read_columns(path, ["b"]), strict=True)
    assert not caplog.messages
