"""Tables with a sentence's words and tags in each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod import Role
from bertmod.builtin.tasks.tags.examples import TagExamples, listed_words
from bertmod.builtin.tasks.usable_rows import RowReader


@dataclass(frozen=True)
class TagTableFiles:
    """Tables of words and tags.

    Attributes:
        rows: Reads the tables.
        words: Column of the words: a list, or text with spaces between them.
        tags: Column of the tags, likewise.
    """

    rows: RowReader
    words: str
    tags: str
    suffix = ".jsonl"

    def read(self, path: Path, role: Role, *, tagged: bool) -> TagExamples:
        """Sentences of a table, with the tags as they stand there if it is ``tagged``.

        A row is malformed without words, or with tags that are not as many.

        Raises:
            DataError: As ``RowReader.read``.
        """
        columns = [self.words, *([self.tags] if tagged else [])]
        found = self.rows.read(
            path, columns, self._tagged if tagged else self._bare, is_test=role == "test"
        )
        words, tags = ([row[place] for row in found.values] for place in (0, 1))
        return TagExamples(
            found.ids, words, tags if tagged else None, path, found.lines, unit=found.unit
        )

    def text(self, examples: TagExamples, tags: Sequence[Sequence[str]]) -> str:
        """A JSON object per row: ``index``, ``words`` and ``tags``."""
        rows = [
            {"index": example["id"], "words": example["words"], "tags": given}
            for example, given in zip(examples, tags, strict=True)
        ]
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)

    def _bare(self, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        return self._cell(row, self.words), []

    def _tagged(self, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        words, tags = self._cell(row, self.words), self._cell(row, self.tags)
        if len(words) != len(tags):
            raise ValueError(f"{len(tags)} tags for {len(words)} words")
        return words, tags

    def _cell(self, row: Mapping[str, Any], column: str) -> list[str]:
        found = listed_words(row.get(column))
        if found is None:
            raise ValueError(f'"{column}" is neither a list of words nor text with words in it')
        return found
