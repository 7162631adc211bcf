"""Tables with a context and choices in each row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod import DataError, Example, Role
from bertmod.builtin.tasks.by_hand import quoted
from bertmod.builtin.tasks.choices.examples import ChoiceExamples
from bertmod.builtin.tasks.usable_rows import RowReader
from bertmod.data.table_files import as_text


@dataclass(frozen=True)
class ChoiceTables:
    """Columns of a table of choices.

    Attributes:
        rows: Reads the tables.
        context: Column of what every choice follows.
        question: Column of what stands before each choice; None for nothing.
        choices: A column per choice, of which the last may be empty; or one column of lists.
        label: Column of the right choice: its number from 0, or its name.
        names: Names of the choices in the column ``label``; None for numbers.
    """

    rows: RowReader
    context: str
    question: str | None
    choices: Sequence[str]
    label: str
    names: Sequence[str] | None = None

    def read(self, path: Path, role: Role) -> ChoiceExamples:
        """Rows of a table with the right choices, which test rows may lack.

        A row is malformed if it has not two choices, a choice has no text, or the label is none.

        Raises:
            DataError: As ``RowReader.read``; if some test rows have a label and some have none.
        """
        is_test = role == "test"

        def made(row: Mapping[str, Any]) -> dict[str, Any]:
            found = self._example(row)
            if not is_test or row.get(self.label) not in (None, ""):
                found["label"] = self._label(row.get(self.label), len(found["choices"]))
            return found

        columns = [*self._columns, *(() if is_test else (self.label,))]
        found = self.rows.read(path, columns, made, is_test=is_test)
        labels = [each.get("label") for each in found.values]
        return ChoiceExamples(
            ids=found.ids,
            contexts=[each["context"] for each in found.values],
            questions=[each.get("question", "") for each in found.values],
            choices=[each["choices"] for each in found.values],
            labels=found.all_or_none(path, labels),
        )

    def example(self, owner: str, fields: Mapping[str, Any]) -> Example:
        """Context, question and choices, by the names of their columns or by these words.

        The context may be called ``text`` and the question ``text_pair`` too.

        Args:
            owner: Who asks, for messages: ``task "swag"``.
            fields: Named values; those that are not needed are ignored.

        Raises:
            DataError: If one is missing, or no text.
        """
        row: Mapping[Any, Any] = fields
        context = fields.get("context", fields.get("text"))
        if context is not None and "choices" in fields:
            question = fields.get("question", fields.get("text_pair"))
            row = {self.context: context, self.question: question, "choices": fields["choices"]}
        elif any(column not in fields for column in self._columns):
            raise DataError(
                f"{owner}: a context and its choices are needed\n  given: {quoted(fields)}"
                f"\n  accepted: {quoted(self._columns)}; "
                'or "context" or "text" and "choices", a list of text'
            )
        try:
            return self._example(row)
        except ValueError as error:
            raise DataError(f"{owner}: {error}") from error

    @property
    def _columns(self) -> list[str]:
        """Columns that every row has."""
        return [self.context, *([self.question] if self.question else []), *self.choices]

    def _example(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """Context, question if there is one, and choices of a row.

        Raises:
            ValueError: If they cannot be used.
        """
        question = "" if self.question is None else _text(row.get(self.question), self.question)
        found: dict[str, Any] = {"context": _text(row.get(self.context), self.context)}
        found |= {"question": question} if question else {}
        return {**found, "choices": self._choices(row)}

    def _choices(self, row: Mapping[Any, Any]) -> list[str]:
        listed = "choices" if "choices" in row else self.choices[0]
        if listed == "choices" or len(self.choices) == 1:
            cells = [(cell, listed) for cell in _list(row.get(listed))]
        else:
            cells = [(row.get(column), column) for column in self.choices]
        choices = [_text(*cell) for cell in cells]
        while choices and not choices[-1]:
            choices.pop()
        if len(choices) < 2 or not all(choices):
            raise ValueError("two or more choices are needed, each with text")
        return choices

    def _label(self, value: Any, count: int) -> int:
        """Index of the right choice."""
        text = "" if isinstance(value, bool) else str(value)
        names = [str(number) for number in range(count)] if self.names is None else self.names
        if text in names[:count]:
            return list(names).index(text)
        accepted = ", ".join(f'"{name}"' for name in names[:count])
        raise ValueError(f'label "{value}" is none of {accepted}')


def _text(cell: Any, column: str) -> str:
    return as_text(cell, column).strip()


def _list(cell: Any) -> Sequence[Any]:
    """A list, or the list that a cell of text has in JSON."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except json.JSONDecodeError as error:
            raise ValueError(f"the choices are no list in JSON: {error}") from error
    if not isinstance(cell, list | tuple):
        raise ValueError("the choices are no list in JSON")
    return cell
