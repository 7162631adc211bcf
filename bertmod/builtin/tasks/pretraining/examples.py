"""Rows with masks as examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from bertmod import DataError, Example, Feature
from bertmod.builtin.tasks.by_hand import id_of
from bertmod.builtin.tasks.pretraining.rows import InstanceRows, all_of
from bertmod.contracts.tokenizer import PieceTable, Tokenizer
from bertmod.data.features import FeatureTable

MASK = "[MASK]"
ACCEPTED = 'accepted: "text", and "text_pair" behind it; [MASK] stands for a piece to be found'

_BLOCK = 1024


@dataclass(frozen=True)
class RowExamples(Sequence[Example]):
    """The rows of a split, each made into an example when it is asked for.

    An example has ``id``, ``input_ids``, ``token_type_ids``, the masked positions ``words``, the
    ``labels`` there, and ``next_sentence`` where something is told of the second segment.

    Attributes:
        rows: The rows.
    """

    rows: InstanceRows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        places = np.arange(len(self))[index]
        made = [_example(each) for each in self.rows.take(np.atleast_1d(places))]
        return made if isinstance(index, slice) else made[0]

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def table(self) -> FeatureTable:
        """Every row as a feature."""
        return all_of(self.rows)


def _example(feature: Feature) -> Example:
    (row,) = feature.rows
    columns = {**row, **feature.positions, **feature.targets}
    values = {name: np.asarray(value).tolist() for name, value in columns.items()}
    return {"id": str(feature.example), **values}


def table_of(examples: Sequence[Example]) -> FeatureTable:
    """A feature per example; those made from text have no targets."""
    if isinstance(examples, RowExamples):
        return examples.table()
    return FeatureTable.from_features(
        Feature(
            number,
            ({name: np.asarray(each[name], _TOKENS[name]) for name in _TOKENS},),
            {name: np.asarray(each[name], np.int64) for name in _TARGETS if name in each},
            {"words": np.asarray(each["words"], np.int64)},
            {},
        )
        for number, each in enumerate(examples)
    )


_TOKENS: Mapping[str, type[np.integer]] = {"input_ids": np.int32, "token_type_ids": np.uint8}
_TARGETS = ("labels", "next_sentence")


def example_of(
    fields: Mapping[str, Any], tokenizer: Tokenizer, *, max_length: int, owner: str
) -> Example:
    """An example from a text, or two, with masks in it that are to be filled.

    Args:
        fields: ``text``, and if there is one ``text_pair``; ``index`` or ``id``, if known.
        tokenizer: The run's tokenizer.
        max_length: Longest row, tokens.
        owner: Whose it is, for messages.

    Raises:
        DataError: If there is no text.
    """
    texts = [fields[name] for name in ("text", "text_pair") if fields.get(name) is not None]
    if "text" not in fields or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(f"{owner}: there is no text in it\n  {ACCEPTED}")
    tables = [_with_masks(text, tokenizer) for text in texts]
    rows = tokenizer.rows(tables[0], ([*tables, None])[1], max_length=max_length)
    return {
        "id": id_of(fields),
        "input_ids": rows.input_ids.tolist(),
        "token_type_ids": rows.token_type_ids.tolist(),
        "words": np.flatnonzero(rows.input_ids == tokenizer.special[MASK]).tolist(),
    }


def _with_masks(text: str, tokenizer: Tokenizer) -> PieceTable:
    """The pieces of a text, in which [MASK] is one."""
    between = tokenizer.texts(text.split(MASK))
    starts = between.bounds[1:-1]
    ids = np.insert(between.ids, starts, tokenizer.special[MASK])
    nothing = np.zeros(len(ids), between.words.dtype)  # nobody asks where they stood
    return PieceTable(ids, np.zeros((len(ids), 2), between.offsets.dtype), nothing, _whole(ids))


def _whole(ids: np.ndarray) -> np.ndarray:
    return np.array([0, len(ids)], np.int64)
