"""Tables that people bring: what is read, and what is said of what cannot be."""

from __future__ import annotations

import builtins
import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from bertmod.data.table_files import TableForm, read_table, read_whole_table, require_columns
from bertmod.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(name: str, content: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode(encoding))
        return path

    return write


def told(path: Path, **form: object) -> str:
    """The message for a file, its folder left out."""
    with pytest.raises(DataError) as caught:
        read_table(path, form=TableForm(**form))  # type: ignore[arg-type]
    return str(caught.value).replace(f"{path.parent}/", "")


def test_tsv_knows_no_quoting(file: Write) -> None:
    path = file("x.tsv", '\ufeffid\tsentence\r\n0\t"half\r\n1\tsaid "so"\r\n')
    assert read_table(path) == [
        {"id": "0", "sentence": '"half'},
        {"id": "1", "sentence": 'said "so"'},
    ]


def test_a_header_in_quotation_marks_is_told(file: Write) -> None:
    path = file("x.tsv", '"id"\t"text"\n0\ta\n')
    with pytest.raises(DataError) as caught:
        require_columns(path, read_whole_table(path), ["text", "label"])
    assert str(caught.value) == (
        f'{path}: no column "text", "label"; it has: "id", "text"'
        '\n  the cells stand in quotation marks: state "quoting": true'
    )


def test_csv_knows_quoting(file: Write) -> None:
    path = file("x.CSV", 'id,sentence\n0,"one, ""two""\nthree"\n\n1,\n')
    assert read_table(path) == [
        {"id": "0", "sentence": 'one, "two"\nthree'},
        {"id": "1", "sentence": ""},
    ]


def test_jsonl_keeps_json_values(file: Write) -> None:
    path = file("x.jsonl", '{"id": 3, "sentence": "a\u2028b"}\n{"sentence": ""}\n')
    assert read_table(path) == [{"id": 3, "sentence": "a\u2028b"}, {"sentence": ""}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tsv", "", "x.tsv: the table has no rows"),
        ("x.tsv", "a\tb\n", "x.tsv: the table has no rows"),
        ("x.tsv", "a\ta\n1\t2\n", 'x.tsv, line 1: two columns are called "a"'),
        ("x.tsv", "a\tb\n1\t2\n3\n", "x.tsv, line 3: 1 column, the header has 2"),
        ("x.txt", "a\n1\n", "x.txt: input files end in .tsv, .csv, .jsonl, .parquet"),
    ],
)
def test_malformed_tables(file: Write, name: str, content: str, message: str) -> None:
    assert told(file(name, content)) == message


@pytest.mark.parametrize(
    ("name", "content", "found", "stated"),
    [
        (
            "x.csv",
            "text;label\na, b;1\nc;0\n",
            'semicolons, not by commas\n  state "delimiter": ";"',
            ",",
        ),
        ("x.csv", "text\tlabel\na\t1\n", 'tabs, not by commas\n  state "delimiter": "\\t"', ","),
        ("x.csv", "a|b|c\n1|2|3\n", 'vertical bars, not by commas\n  state "delimiter": "|"', ","),
        ("x.tsv", "text,label\na,1\n", 'commas, not by tabs\n  state "delimiter": ","', "\\t"),
        ("x.csv", "text;label\n", 'semicolons, not by commas\n  state "delimiter": ";"', ","),
        ("x.csv", 'a;"b;c"\n"1;2";3\n', 'semicolons, not by commas\n  state "delimiter": ";"', ","),
    ],
)
def test_another_delimiter_is_told(file: Write, name, content, found, stated) -> None:
    assert told(file(name, content)) == (
        f'{name}: the cells are separated by {found} (or "{stated}", if it is so after all)'
        f", or save the file with {found.split('by ')[1].split()[0]}"
    )


def test_a_stated_delimiter_is_taken(file: Write) -> None:
    path = file("x.csv", 'text;label\n"a; b";1\n')
    assert read_table(path, form=TableForm(";")) == [{"text": "a; b", "label": "1"}]
    path = file("x.csv", "text;label\na;1\n")
    assert read_table(path, form=TableForm(",")) == [{"text;label": "a;1"}]
    path = file("y.tsv", "a,b\n1,2\n")
    assert read_table(path, form=TableForm(",")) == [{"a": "1", "b": "2"}]


def test_delimiters_within_texts_are_none(file: Write) -> None:
    path = file("x.csv", "text,label\na;b;c;d,1\nx|y,0\n")
    assert [row["text"] for row in read_table(path)] == ["a;b;c;d", "x|y"]
    path = file("y.csv", "text\nwell; yes\nno\n")
    assert [row["text"] for row in read_table(path)] == ["well; yes", "no"]


@pytest.mark.parametrize(
    ("encoding", "text", "message"),
    [
        (
            "cp1252",
            "text\nplain\nder Bär \u2013 gut\n",
            'x.csv, line 3: not UTF-8 (0xe4); it looks like cp1252\n  state "encoding": "cp1252", '
            "or save the file as UTF-8",
        ),
        (
            "latin-1",
            "text\ncaf\xe9\x81\n a\x8f\nb\xe9 c\xe8\n",
            'x.csv, line 2: not UTF-8 (0xe9); it looks like latin-1\n  state "encoding": '
            '"latin-1", or save the file as UTF-8',
        ),
        (
            "gb18030",
            "text\n中文文本\n",
            "x.csv, line 2: not UTF-8 (0xd6); which encoding it has cannot be told\n  state "
            '"encoding": "...", or save the file as UTF-8',
        ),
        (
            "utf-16",
            "text\na\n",
            'x.csv: the file is UTF-16, not UTF-8\n  state "encoding": "utf-16", or save the file '
            "as UTF-8",
        ),
        (
            "utf-16-be",
            "text\nabc\n",
            'x.csv: the file is UTF-16, not UTF-8\n  state "encoding": "utf-16-be", or save the '
            "file as UTF-8",
        ),
    ],
)
def test_another_encoding_is_told_and_can_be_stated(file: Write, encoding, text, message) -> None:
    path = file("x.csv", text, encoding)
    assert told(path) == message
    rows = read_table(path, form=TableForm(encoding=encoding))
    assert [row["text"] for row in rows] == text.split("\n")[1:-1]


def test_a_wrong_stated_encoding(file: Write) -> None:
    path = file("x.csv", "text\na\nä\n")
    assert told(path, encoding="ascii") == (
        "x.csv, line 3: not ascii (0xc3)\n  state its true encoding"
    )


def test_byte_order_marks_and_line_ends(file: Write) -> None:
    path = file("x.csv", '\ufefftext,label\r\n"two\r\nlines",1\r\n')
    assert read_table(path) == [{"text": "two\nlines", "label": "1"}]
    path = file("y.tsv", "text\tlabel\r\na\x85b\u2028c\t1\r\n", "utf-8-sig")
    assert read_table(path) == [{"text": "a\x85b\u2028c", "label": "1"}]


HINT = (
    '\n  a quotation mark inside a quoted cell is written twice (""); where quotation marks are '
    'plain characters, state "quoting": false'
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'a,b\n1,2\n3,"4\n5,6\n',
            "x.csv, line 3: a quotation mark that opens here does not close" + HINT,
        ),
        (
            'a,b\n1,"2" 3\n',
            'x.csv, line 2: a cell goes on after its closing quotation mark\n  1,"2" 3' + HINT,
        ),
        (
            'a,b\n1,"2\n3" 4,5\n',
            "x.csv, line 3: a cell that begins in line 2 goes on after its closing quotation mark"
            '\n  3" 4,5' + HINT,
        ),
        (
            "a,b\n1,2\r3,4\n",
            "x.csv, line 2: a carriage return without a line feed\n  save the file with line ends "
            "\\n or \\r\\n",
        ),
        ("a,b,a\n1,2,3\n", 'x.csv, line 1: two columns are called "a"'),
        ("a,,\n1,2,3\n", "x.csv, line 1: two columns have no name"),
        ("a,b\n1,2\n3\n", "x.csv, line 3: 1 column, the header has 2"),
        ("a,b\n1,2\n\n3,4,5\n", "x.csv, line 4: 3 columns, the header has 2"),
        ("a,b\n1,x\0y\n", "x.csv, line 2: a zero byte: the file is damaged, or no text"),
        ("", "x.csv: the table has no rows"),
        ("a,b\n\n\n", "x.csv: the table has no rows"),
    ],
)
def test_malformed_csv(file: Write, content: str, message: str) -> None:
    assert told(file("x.csv", content)) == message


def test_quoting_can_be_switched(file: Write) -> None:
    path = file("x.csv", 'a,b\n"1,2\n')
    assert read_table(path, form=TableForm(quoting=False)) == [{"a": '"1', "b": "2"}]
    path = file("x.tsv", 'a\tb\n"1\t2"\t"3"\n')
    assert read_table(path, form=TableForm(quoting=True)) == [{"a": "1\t2", "b": "3"}]


def test_cells_may_be_huge(file: Write) -> None:
    before = csv.field_size_limit()
    huge = "word " * 100_000
    assert read_table(file("x.csv", f'a,b\n"{huge}",1\n'))[0]["a"] == huge
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "a": 2}\n', 'x.jsonl, line 1: not usable: "a" stands twice'),
        (
            '{"a": 1}\n\n{"a": 2}\n',
            "x.jsonl, line 2: not JSON: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            '{"a": "\\ud800"}\n',
            "x.jsonl, line 1: half of a surrogate pair (\\ud800 to \\udfff) stands alone",
        ),
        ('"a"\n', "x.jsonl, line 1: not a JSON object"),
        ("\n\n", "x.jsonl: the table has no rows"),
    ],
)
def test_malformed_jsonl(file: Write, content: str, message: str) -> None:
    assert told(file("x.jsonl", content)) == message


def test_deep_json_is_told(file: Write) -> None:
    assert told(file("x.jsonl", "[" * 100_000)).startswith("x.jsonl, line 1: not usable: ")


def test_malformed_rows_are_told_apart(file: Write) -> None:
    table = read_whole_table(file("x.csv", 'a,b\n1,"2\n3"\n4\n5,6\n'))
    assert table.columns == ("a", "b")
    assert list(table.rows) == [{"a": "1", "b": "2\n3"}, {"a": "5", "b": "6"}]
    assert list(table.lines) == [2, 5]
    assert table.malformed == ((4, "1 column, the header has 2"),)
    table = read_whole_table(file("x.jsonl", '{"a": 1}\n{\n{"b": [2]}\n'))
    assert (table.columns, list(table.lines)) == (("a", "b"), [1, 3])
    assert [line for line, _ in table.malformed] == [2]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {"text": ["a", None], "label": [1, 0], "flag": [True, False], "tags": [["x"], []]}
    parquet.write_table(pyarrow.table(columns), path)
    assert read_table(path) == [
        {"text": "a", "label": 1, "flag": True, "tags": ["x"]},
        {"text": None, "label": 0, "flag": False, "tags": []},
    ]
    assert read_whole_table(path).unit == "row"
    path.write_bytes(b"PAR1 no more")
    assert told(path).startswith("x.parquet: cannot be read as Parquet: ")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return real(name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert told(tmp_path / "x.parquet") == (
        'x.parquet: reading .parquet needs pyarrow\n  pip install "bertmod[tables]"'
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert told(tmp_path / "x.csv") == "x.csv: cannot be read: No such file or directory"
    assert told(tmp_path / "x.txt") == "x.txt: input files end in .tsv, .csv, .jsonl, .parquet"
