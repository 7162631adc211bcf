"""Tables with a sentence's words and tags in each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bertmod import Role
from bertmod.builtin.tasks.tags.examples import TagExamples, listed_words
from bertmod.builtin.tasks.usable_rows import RowReader


class _Made(NamedTuple):
    """What a row says."""

    words: list[str]
    tags: list[str] | None


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
        """Sentences of a table, with the tags as they stand there if ``tagged`` and there are any.

        A row is malformed without words, or with tags that are not as many; one that is no test
        row also without tags.

        Raises:
            DataError: As ``RowReader.read``; if some test rows have tags and some have none.
        """
        is_test = role == "test"

        def made(row: Mapping[str, Any]) -> _Made:
            words = self._cell(row, self.words)
            if not tagged or (is_test and row.get(self.tags) in (None, "", [])):
                return _Made(words, None)
            tags = self._cell(row, self.tags)
            if len(words) != len(tags):
                raise ValueError(f"{len(tags)} tags for {len(words)} words")
            return _Made(words, tags)

        columns = [self.words, *([self.tags] if tagged and not is_test else [])]
        found = self.rows.read(path, columns, made, is_test=is_test)
        words = [row.words for row in found.values]
        tags = found.all_or_none(path, [row.tags for row in found.values], of="tags")
        return TagExamples(found.ids, words, tags, path, found.lines, unit=found.unit)

    def text(self, examples: TagExamples, tags: Sequence[Sequence[str]]) -> str:
        """A JSON object per row: ``index``, ``words`` and ``tags``."""
        rows = [
            {"index": example["id"], "words": example["words"], "tags": given}
            for example, given in zip(examples, tags, strict=True)
        ]
        return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)

    def _cell(self, row: Mapping[str, Any], column: str) -> list[str]:
        found = listed_words(row.get(column))
        if found is None:
            raise ValueError(f'"{column}" is neither a list of words nor text with words in it')
        return found
