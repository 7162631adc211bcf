"""Features in columns: compact, sliceable, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

from bertmod.contracts.task import Feature
from bertmod.contracts.tokenizer import RowTable
from bertmod.data.ragged import bounds_of, take_ragged
from bertmod.errors import DataError

Arrays = Mapping[str, np.ndarray]
_GROUPS = ("targets", "positions", "host")


@dataclass(frozen=True)
class Column:
    """One named value per feature: all of one shape, or ragged vectors.

    Attributes:
        values: (features, ...) if ``bounds`` is None, else all vectors one behind another.
        bounds: Where each feature's vector begins, (features + 1,), int64, or None.
    """

    values: np.ndarray
    bounds: np.ndarray | None = None

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> Column:
        """A column of one array per feature."""
        arrays = [np.asarray(value) for value in values]
        if len({array.shape for array in arrays}) <= 1:
            return cls(np.stack(arrays) if arrays else np.empty((0,)))
        return cls(np.concatenate(arrays), bounds_of([len(array) for array in arrays]))

    def __getitem__(self, index: int) -> np.ndarray:
        if self.bounds is None:
            return np.asarray(self.values[index])
        return np.asarray(self.values[self.bounds[index] : self.bounds[index + 1]])

    def take(self, indices: np.ndarray) -> Column:
        """The column of these features, in memory."""
        if self.bounds is None:
            return Column(np.asarray(self.values[indices]))
        return Column(*take_ragged(self.values, self.bounds, indices))


@dataclass(frozen=True)
class FeatureTable(Sequence[Feature]):
    """Features of a split, stored in columns.

    Attributes:
        example: Index of each feature's example, (features,), int64.
        row_bounds: Where each feature's rows begin, (features + 1,), int64.
        token_bounds: Where each row's tokens begin, (rows + 1,), int64.
        tokens: Columns per token, such as ``input_ids`` (int32) and ``token_type_ids`` (uint8),
            (tokens,).
        targets: Columns per feature that heads read.
        positions: Token positions per feature, counted from its first token.
        host: Columns per feature that only the task reads back.
    """

    example: np.ndarray
    row_bounds: np.ndarray
    token_bounds: np.ndarray
    tokens: Arrays
    targets: Mapping[str, Column] = field(default_factory=dict)
    positions: Mapping[str, Column] = field(default_factory=dict)
    host: Mapping[str, Column] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls,
        rows: RowTable,
        targets: Mapping[str, np.ndarray] | None = None,
        example: np.ndarray | None = None,
    ) -> FeatureTable:
        """One feature per row, with the host column ``truncated``.

        Args:
            rows: What a tokenizer made.
            targets: Name to one value per row, (rows, ...).
            example: Index of each row's example, (rows,); None means 0, 1, 2 ...
        """
        count = len(rows)
        return cls(
            example=np.arange(count) if example is None else np.asarray(example, np.int64),
            row_bounds=np.arange(count + 1),
            token_bounds=rows.bounds,
            tokens={"input_ids": rows.input_ids, "token_type_ids": rows.token_type_ids},
            targets={name: Column(np.asarray(value)) for name, value in (targets or {}).items()},
            host={"truncated": Column(rows.truncated)},
        )

    @classmethod
    def from_features(cls, features: Iterable[Feature]) -> FeatureTable:
        """Features given one by one; every feature has the same columns.

        Raises:
            ValueError: If a column is there for some features only.
        """
        kept = list(features)
        rows = [row for feature in kept for row in feature.rows]
        lengths = [len(row["input_ids"]) for row in rows]
        names = rows[0].keys() if rows else ("input_ids", "token_type_ids")
        groups = {
            group: _columns([getattr(feature, group) for feature in kept]) for group in _GROUPS
        }
        return cls(
            example=np.array([feature.example for feature in kept], dtype=np.int64),
            row_bounds=bounds_of([len(feature.rows) for feature in kept]),
            token_bounds=bounds_of(lengths),
            tokens={
                name: np.concatenate([row[name] for row in rows]) if rows else np.empty(0, np.int32)
                for name in names
            },
            **groups,
        )

    @classmethod
    def concatenate(cls, tables: Sequence[FeatureTable]) -> FeatureTable:
        """Tables one behind another; examples keep the indices that each table gives them.

        Raises:
            ValueError: If a column is there for some tables only; empty tables need none.
        """
        tables = [table for table in tables if len(table)] or tables[:1]
        if len(tables) == 1:
            return tables[0]
        _require_same([table.tokens for table in tables])
        for group in _GROUPS:
            _require_same([getattr(table, group) for table in tables])
        groups = {
            group: {
                name: _stack_columns([getattr(table, group)[name] for table in tables])
                for name in getattr(tables[0], group)
            }
            for group in _GROUPS
        }
        return cls(
            example=np.concatenate([table.example for table in tables]),
            row_bounds=_stack_bounds([table.row_bounds for table in tables]),
            token_bounds=_stack_bounds([table.token_bounds for table in tables]),
            tokens={
                name: np.concatenate([table.tokens[name] for table in tables])
                for name in tables[0].tokens
            },
            **groups,
        )

    def __len__(self) -> int:
        return len(self.example)

    @overload
    def __getitem__(self, index: int) -> Feature: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Feature]: ...
    def __getitem__(self, index: int | slice) -> Feature | Sequence[Feature]:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        rows = range(int(self.row_bounds[index]), int(self.row_bounds[index + 1]))
        return Feature(
            example=int(self.example[index]),
            rows=tuple(
                {
                    name: column[self.token_bounds[row] : self.token_bounds[row + 1]]
                    for name, column in self.tokens.items()
                }
                for row in rows
            ),
            targets={name: column[index] for name, column in self.targets.items()},
            positions={name: column[index] for name, column in self.positions.items()},
            host={name: column[index] for name, column in self.host.items()},
        )

    def __iter__(self) -> Iterator[Feature]:
        return (self[index] for index in range(len(self)))

    @property
    def row_lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,), int64."""
        return np.diff(self.token_bounds)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each feature over all its rows, (features,), int64."""
        return np.diff(self.token_bounds[self.row_bounds])

    @property
    def num_truncated(self) -> int | None:
        """Features from whose rows pieces were cut; None if unknown."""
        truncated = self.host.get("truncated")
        return None if truncated is None else int(np.count_nonzero(truncated.values))

    def in_pass(self, number: int) -> FeatureTable:
        """The table itself: its features are the same in every pass."""
        del number
        return self

    def take(self, indices: np.ndarray) -> FeatureTable:
        """These features, in this order, in memory."""
        indices = np.asarray(indices, dtype=np.int64)
        rows, row_bounds = take_ragged(
            np.arange(int(self.row_bounds[-1])), self.row_bounds, indices
        )
        taken = {
            name: take_ragged(column, self.token_bounds, rows)
            for name, column in self.tokens.items()
        }
        return FeatureTable(
            example=np.asarray(self.example[indices]),
            row_bounds=row_bounds,
            token_bounds=next(iter(taken.values()))[1],
            tokens={name: values for name, (values, _) in taken.items()},
            targets={name: column.take(indices) for name, column in self.targets.items()},
            positions={name: column.take(indices) for name, column in self.positions.items()},
            host={name: column.take(indices) for name, column in self.host.items()},
        )

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file per column into an existing folder."""
        arrays = {"example": self.example, "rows": self.row_bounds, "bounds": self.token_bounds}
        arrays |= {f"tokens.{name}": column for name, column in self.tokens.items()}
        for group in _GROUPS:
            for name, column in getattr(self, group).items():
                arrays[f"{group}.{name}"] = column.values
                if column.bounds is not None:
                    arrays[f"{group}.{name}.bounds"] = column.bounds
        files = {}
        for number, (name, array) in enumerate(arrays.items()):
            files[name] = f"{number:03d}.npy"
            np.save(folder / files[name], array, allow_pickle=False)
        (folder / "columns.json").write_text(json.dumps(files, indent=1), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> FeatureTable:
        """Read a saved table, memory-mapped.

        Raises:
            DataError: If a file is missing or damaged.
        """
        try:
            files = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
            arrays = {name: _map(folder / file) for name, file in files.items()}
            groups = {group: _read_group(arrays, group) for group in _GROUPS}
            tokens = {
                name.removeprefix("tokens."): array
                for name, array in arrays.items()
                if name.startswith("tokens.")
            }
            return cls(arrays["example"], arrays["rows"], arrays["bounds"], tokens, **groups)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{folder}: damaged feature table ({error})") from error


def _map(path: Path) -> np.ndarray:
    try:
        mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        mapped = np.load(path, allow_pickle=False)
    return mapped


def _read_group(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, Column]:
    return {
        name.removeprefix(f"{group}."): Column(array, arrays.get(f"{name}.bounds"))
        for name, array in arrays.items()
        if name.startswith(f"{group}.") and not name.endswith(".bounds")
    }


def _require_same(named: Sequence[Mapping[str, object]]) -> None:
    if any(each.keys() != named[0].keys() for each in named):
        raise ValueError("a column must be there for all features of a split or for none")


def _columns(rows: Sequence[Arrays]) -> dict[str, Column]:
    _require_same(rows)
    names = rows[0].keys() if rows else ()
    return {name: Column.of([row[name] for row in rows]) for name in names}


def _stack_bounds(bounds: Sequence[np.ndarray]) -> np.ndarray:
    return bounds_of(np.concatenate([np.diff(each) for each in bounds]))


def _stack_columns(columns: Sequence[Column]) -> Column:
    shapes = {column.values.shape[1:] for column in columns}
    if all(column.bounds is None for column in columns) and len(shapes) == 1:
        return Column(np.concatenate([column.values for column in columns]))
    return Column.of([column[i] for column in columns for i in range(_length(column))])


def _length(column: Column) -> int:
    return len(column.values) if column.bounds is None else len(column.bounds) - 1
