"""What tasks that read files have in common: where a split lies, and what answers must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod import DataError, Prediction, Role
from bertmod.data.cache import file_hash
from bertmod.data.folder import find_file, require_files

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

    def found(self, data: Path, splits: Sequence[str]) -> list[Path]:
        """The files of some splits, all of which exist.

        Raises:
            DataError: If one is missing; the message says what is there instead.
        """
        files = [self.path(data, split) for split in splits]
        require_files(data, list(dict.fromkeys(files)), owner=self.owner)
        return files

    def needed(self, *, trains: bool = True) -> list[str]:
        """The splits that a run needs: all but those of the role ``test``.

        Args:
            trains: Whether the task is trained; one that is answered by another task's head needs
                no training data.
        """
        unneeded = ("test",) if trains else ("test", "train")
        return [split for split, role in self.roles.items() if role not in unneeded]


def fingerprint(version: int, options: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Hash of what a task's labels and training data come from.

    Args:
        version: Version of the code that reads them.
        options: JSON values.
        files: Files whose content counts.
    """
    made_from = [version, dict(options), [file_hash(path) for path in files]]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


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
