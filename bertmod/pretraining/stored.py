"""What is kept on disk between the stages: pieces of the corpus, and what is to be in each row."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertmod.data.durable import WRITING
from bertmod.data.ragged import bounds_of

ROWS_FILE, ORDER_FILE, POSITIONS_FILE, SHOWN_FILE = "rows", "order", "positions", "shown"
ROW = np.dtype(
    [
        ("key", "<u8"),
        ("first", "<i8"),
        ("second", "<i8"),
        ("first_length", "<i4"),
        ("second_length", "<i4"),
        ("label", "<i4"),
        ("num_masks", "<i4"),
    ]
)
"""A planned row: what its masks are drawn from, where its segments begin in the corpus and how many
pieces they have, its next-sentence label, and how many masks were drawn for it already."""


@dataclass(frozen=True)
class Corpus:
    """Pieces of a corpus.

    Attributes:
        tokens: Pieces of all sentences, one behind another, (pieces,), uint16 or int32.
        sentences: Where each sentence begins, counted in pieces, (sentences + 1,), int64.
        documents: Where each document begins, counted in sentences, (documents + 1,), int64.
        continues: Whether a piece goes on with a word, (pieces,), bool; None: as ``##`` says.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    continues: np.ndarray | None

    @property
    def num_documents(self) -> int:
        return len(self.documents) - 1

    @classmethod
    def open(cls, folder: Path, dtype: np.dtype[np.integer]) -> Corpus:
        """The corpus of a folder, its parts joined."""
        continues = folder / "continues"
        return cls(
            tokens=mapped(folder / "tokens", dtype),
            sentences=mapped(folder / "sentences", np.int64),
            documents=mapped(folder / "documents", np.int64),
            continues=mapped(continues, np.bool_) if continues.exists() else None,
        )


@dataclass(frozen=True)
class Plan:
    """The planned rows of all documents.

    Attributes:
        rows: As ``ROW`` says, in the order of the documents.
        order: Places of the rows in the output, (rows,), int64; None: a random one by the seed.
        mask_bounds: Where the masks of each row begin, (rows + 1,), int64, where they are planned.
        positions: Masked positions, (masked,), int32, likewise.
        shown: What stands there, (masked,), likewise.
    """

    rows: np.ndarray
    order: np.ndarray | None = None
    mask_bounds: np.ndarray | None = None
    positions: np.ndarray | None = None
    shown: np.ndarray | None = None

    @classmethod
    def open(cls, folder: Path, dtype: np.dtype[np.integer]) -> Plan:
        """The plan of a folder, its parts joined."""
        rows = mapped(folder / ROWS_FILE, ROW)
        if not (folder / ORDER_FILE).exists():
            return cls(rows)
        return cls(
            rows,
            order=mapped(folder / ORDER_FILE, np.int64),
            mask_bounds=bounds_of(rows["num_masks"]),
            positions=mapped(folder / POSITIONS_FILE, np.int32),
            shown=mapped(folder / SHOWN_FILE, dtype),
        )


def piece_dtype(vocab_size: int) -> np.dtype[np.integer]:
    """Of stored pieces: the smallest that has room for a vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


def write_raw(path: Path, array: np.ndarray) -> None:
    """Write an array's bytes, aside at first, so that the file is whole or not there.

    Raises:
        OSError: If it cannot be written.
    """
    aside = path.with_name(f"{WRITING}{path.name}")
    with aside.open("wb") as file:
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def mapped(path: Path, dtype: np.dtype[np.generic] | type[np.generic]) -> np.ndarray:
    """A file of an array's bytes, memory-mapped; in memory where it is empty."""
    if not path.stat().st_size:
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))
