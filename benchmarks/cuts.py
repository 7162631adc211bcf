"""The beginnings of data files, to try a benchmark out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertmod.data.folder import require_files


@dataclass(frozen=True)
class Cut:
    """How the files of a task are shortened.

    Attributes:
        files: Split to its file inside the data folder.
        first: A file's text and a number of rows, to the text of a file of that many.
    """

    files: Mapping[str, str]
    first: Callable[[str, int], str]

    def folder(self, data: Path, target: Path, *, num_rows: Mapping[str, int | None]) -> Path:
        """The data folder, or one made anew that has the beginnings of its files.

        Args:
            data: The data folder.
            target: The folder to make.
            num_rows: Rows of each split; None for all.

        Raises:
            DataError: If a file is missing.
        """
        require_files(data, [data / name for name in self.files.values()], owner="the benchmark")
        if not any(num_rows.values()):
            return data
        for split, name in self.files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            count = num_rows.get(split)
            if count is None:
                shutil.copyfile(data / name, target / name)
            else:
                text = self.first((data / name).read_text(encoding="utf-8"), count)
                (target / name).write_text(text, encoding="utf-8")
        return target
