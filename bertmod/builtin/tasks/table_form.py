"""Options that say how tables of the user's own are written."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from pydantic import Field

from bertmod import ComponentConfig, Problem
from bertmod.data.table_files import TableForm


class TableFormConfig(ComponentConfig):
    """Options of tasks that read tables."""

    delimiter: str | None = Field(
        None,
        min_length=1,
        max_length=1,
        description="The character between the cells of .csv and .tsv files; null: a comma in "
        ".csv, a tab in .tsv, and a file that looks otherwise is an error.",
    )
    encoding: str | None = Field(
        None,
        description="Encoding of .csv, .tsv and .jsonl files, by a name that Python knows; null: "
        "UTF-8, and a file that is not UTF-8 is an error.",
    )
    quoting: bool | None = Field(
        None,
        description="Whether cells of .csv and .tsv files may stand in double quotes, in which a "
        "doubled one is one; null: in .csv, not in .tsv.",
    )


def form_of(config: TableFormConfig) -> TableForm:
    """How the files are written."""
    return TableForm(config.delimiter, config.encoding, config.quoting)


def form_problems(config: TableFormConfig) -> Iterator[Problem]:
    """What is wrong with these options."""
    if config.delimiter is not None and config.delimiter in '"\n\r\0':
        yield Problem("delimiter", "a quotation mark, line end or zero byte cannot part cells")
    if config.encoding is not None and not _is_text_encoding(config.encoding):
        more = ('for example "cp1252", "latin-1", "utf-16", "gb18030"',)
        yield Problem("encoding", f'no encoding is called "{config.encoding}"', more)


def _is_text_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return False
