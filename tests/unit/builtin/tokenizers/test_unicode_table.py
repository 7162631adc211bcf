"""The stored character classes."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from bertmod.builtin.tokenizers import unicode_table

CLASSES = (
    unicode_table.CONTROL,
    unicode_table.OTHER,
    unicode_table.SPACE,
    unicode_table.PUNCTUATION,
    unicode_table.NONSPACING_MARK,
    unicode_table.CASE_IGNORABLE,
    unicode_table.CASED,
)


def test_ranges_of_a_class():
    assert unicode_table.ranges("9-D 20\n1F600-1F64F") == (
        (0x9, 0xD),
        (0x20, 0x20),
        (0x1F600, 0x1F64F),
    )


@pytest.mark.parametrize("table", CLASSES)
def test_ranges_ascend_and_leave_surrogates_out(table):
    places = [place for pair in unicode_table.ranges(table) for place in pair]
    assert places == sorted(places)
    assert not any(first < 0xE000 and last >= 0xD800 for first, last in unicode_table.ranges(table))


def test_module_is_what_the_generator_writes():
    if unicodedata.unidata_version != unicode_table.VERSION:
        pytest.skip(f"this Python has Unicode {unicodedata.unidata_version}")
    tool = Path(__file__).parents[4] / "tools" / "unicode_table.py"
    made = subprocess.run([sys.executable, tool], capture_output=True, text=True, check=True)
    assert made.stdout == Path(unicode_table.__file__).read_text(encoding="utf-8")
