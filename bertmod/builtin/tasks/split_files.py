"""What tasks that read files have in common: where a split lies, and what answers must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bertmod import DataError, Feature, Prediction, Role, TaskContext
from bertmod.data.cache import file_hash
from bertmod.data.folder import find_file, require_files

if TYPE_CHECKING:
    from bertmod.contracts.task import Outputs

T = TypeVar("T")

Decoded = Sequence[tuple[Feature, Mapping[str, np.ndarray]]]
"""The features of one example with what a head decoded of them."""

STRICT_HINT = "\n  such rows are left out with a warning unless --strict-data is set"
"""What to say of malformed train and dev rows where they are an error."""

TEST_HINT = "\n  every row of a test file gets a prediction, so none can be left out"
"""What to say of malformed test rows."""


@dataclass(frozen=True)
class SplitFiles:
    """The file of each split.

    Attributes:
        owner: Who reads them, for messages: ``task "squad"``.
        roles: What each split is for.
        paths: For each split the paths that are tried inside the data folder, the usual one
            first; a path that a recipe states is absolute and stands alone.
    """

    owner: str
    roles: Mapping[str, Role]
    paths: Mapping[str, tuple[str, ...]]

    def path(self, data: Path, split: str) -> Path:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If there is no such split.
        """
        if split not in self.paths:
            known = ", ".join(self.paths)
            raise DataError(f'{self.owner} has no split "{split}"; it has: {known}')
        return find_file(data, self.paths[split])

    def needed(self, data: Path, context: TaskContext) -> dict[str, Path]:
        """By split, the files that a run needs: those of all splits but test splits.

        Args:
            data: The data folder.
            context: Whether the task trains: one that is answered by another task's head needs no
                training data; and whether it is trained: then it takes what is there.

        Raises:
            DataError: If one is missing; the message says what is there instead.
        """
        unneeded = ("test",) if context.trains else ("test", "train")
        splits = [split for split, role in self.roles.items() if role not in unneeded]
        files = {split: self.path(data, split) for split in splits}
        if context.trained:
            return {split: path for split, path in files.items() if path.is_file()}
        require_files(data, list(dict.fromkeys(files.values())), owner=self.owner)
        return files

    def existing(self, data: Path | None, split: str) -> Path:
        """The file of a split that is to be read.

        Args:
            data: The data folder; None where the task was not bound to one.
            split: The split.

        Raises:
            DataError: If it is missing; the message says what is there instead.
            ValueError: If there is no data folder.
        """
        if data is None:
            raise ValueError("call setup(data) before reading a split")
        path = self.path(data, split)
        require_files(data, [path], owner=self.owner)
        return path


def fingerprint(version: int, options: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """Hash of what a task's labels and training data come from.

    Args:
        version: Version of the code that reads them.
        options: JSON values.
        files: File of each split, of which the content of ``train`` counts, if it is there.
    """
    training = [file_hash(path) for split, path in files.items() if split == "train"]
    made_from = [version, dict(options), training]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def with_outputs(examples: Sequence[T], outputs: Outputs) -> Iterator[tuple[T, Decoded]]:
    """Each example, or its id, with its features and what the head decoded of them.

    Raises:
        ValueError: If there are not as many outputs as examples.
    """
    if len(examples) != len(outputs):
        raise ValueError(f"{len(outputs)} outputs for {len(examples)} examples")
    return zip(examples, outputs, strict=True)


def require_complete(
    owner: str, split: str, expected: Sequence[str], predictions: Sequence[Prediction]
) -> None:
    """Check that predictions are those of a whole split, in its order.

    Args:
        owner: Whose they are, for the message.
        split: The split.
        expected: Its ids, in file order.
        predictions: One per example.

    Raises:
        DataError: If they are not; nothing may be written then.
    """
    given = [prediction["id"] for prediction in predictions]
    if given == list(expected):
        return
    what = f"{len(given)} predictions for {len(expected)} rows"
    if len(given) == len(expected):
        row = next(i for i, id in enumerate(expected) if given[i] != id)
        what = f'prediction {row} is for "{given[row]}", row {row} is "{expected[row]}"'
    raise DataError(f'{owner}, split "{split}": {what}\n  nothing was written')
