"""A task on a folder of labelled text files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertmod import (
    DataError,
    Example,
    Feature,
    Outputs,
    Prediction,
    Role,
    TaskContext,
    TaskInfo,
)
from bertmod_textfile import plugin
from bertmod_textfile.folders import (
    listed,
    read_bytes,
    read_texts,
    report_malformed,
    require_folders,
    subfolders,
    text_files,
)

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod_textfile.plugin import TextfileConfig

_CHUNK = 4096  # texts handed to the tokenizer at once: bounds its memory
_STRICT_HINT = "such files are left out with a warning unless --strict-data is set"
_TEST_HINT = "every file of a test folder gets a prediction, so none can be left out"


class TextfileTask:
    """Which label a text has, one text per file.

    ``train/LABEL/*.txt`` and ``dev/LABEL/*.txt`` have labels, ``test/*.txt`` have none. Examples
    are ``{"id", "text", "label"}``: the id is the file's path inside the split's folder.
    Predictions are ``{"id", "label", "probabilities"}``.

    Args:
        config: Options.
        context: Tokenizer, longest row and metrics.
    """

    cacheable = True

    def __init__(self, config: TextfileConfig, context: TaskContext) -> None:
        self._config, self._context = config, context
        self._data: Path | None = None

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return plugin.splits(self._config)

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The text files of a split, by label and name.

        Raises:
            DataError: If the task has no such split.
        """
        folder = self._folder(data, split)
        if self.splits[split] == "test":
            return tuple(text_files(folder))
        return tuple(path for name in self._labels(data) for path in text_files(folder / name))

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder and take its label names from the training folder.

        Raises:
            DataError: If a folder or its texts are missing, or there are fewer than two labels.
        """
        train, dev = (self._folder(data, split) for split in ("train", "dev"))
        require_folders([train, dev], owner=self._owner)
        labels = self._labels(data)
        if len(labels) < 2:
            found = listed(subfolders(train))
            raise DataError(
                f"{train}: {self._owner} needs at least two folders here, one for each label"
                f"\n  found: {found}"
            )
        require_folders([train / label for label in labels], owner=self._owner)
        self._check_labels(train, dev, labels)
        self._data = data
        return TaskInfo(labels=labels, fingerprint=self._fingerprint(data))

    def read(self, split: str) -> list[Example]:
        """Examples of a split, malformed train and dev files left out.

        Raises:
            DataError: If the folder is missing or has no texts, or files are malformed beyond
                what is tolerated.
            ValueError: If ``setup`` was not called.
        """
        if self._data is None:
            raise ValueError("call setup(data) before reading a split")
        folder, is_test = self._folder(self._data, split), self.splits[split] == "test"
        require_folders([folder], owner=self._owner)
        paths = self.files(self._data, split)
        if not paths:
            where = "here" if is_test else "in the folders of its labels"
            raise DataError(f"{folder}: {self._owner} needs .txt files {where}, there are none")
        texts, malformed = read_texts(paths, self._config.encoding)
        report_malformed(
            folder,
            malformed,
            usable=len(texts),
            strict=is_test or self._context.strict_data,
            hint=_TEST_HINT if is_test else _STRICT_HINT,
        )
        return [self._example(folder, path, text, is_test) for path, text in texts.items()]

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from the field ``text`` and, if known, ``id`` or ``index``.

        Raises:
            DataError: If the text is missing or is no text.
        """
        text = fields.get("text")
        if text is None:
            given = ", ".join(f'"{name}"' for name in fields) or "nothing"
            raise DataError(
                f'{self._owner}: the text is missing\n  given: {given}\n  accepted: "text"'
            )
        if not isinstance(text, str):
            raise DataError(f'{self._owner}: "text" must be text, not {type(text).__name__}')
        return {"id": str(fields.get("index", fields.get("id", ""))), "text": text}

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """One feature per example, with the target ``labels`` where it has a label.

        Raises:
            DataError: If a label is not among ``info.labels``.
        """
        del draws
        return [
            feature
            for start in range(0, len(examples), _CHUNK)
            for feature in self._features(examples[start : start + _CHUNK], info, start)
        ]

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` unchanged: there is nothing to tune."""
        del examples, outputs
        return info

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """The most probable label, and the probability of each."""
        labels = info.labels or ()
        predictions: list[Prediction] = []
        for example, ((_, arrays),) in zip(examples, outputs, strict=True):
            row = arrays["probabilities"]
            probabilities = dict(zip(labels, row.tolist(), strict=True))
            best = labels[int(row.argmax())]
            predictions.append({"id": example["id"], "label": best, "probabilities": probabilities})
        return predictions

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """Accuracy over a whole split.

        Raises:
            DataError: If the examples have no labels.
        """
        if any("label" not in example for example in examples):
            raise DataError(f'{self._owner}: split "{split}" has no labels to score against')
        return self._scores(examples, [prediction["label"] for prediction in predictions])

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """Accuracy of the most frequent label; on a tie of the one that comes first."""
        counts = Counter(example["label"] for example in examples)
        return self._scores(examples, [counts.most_common(1)[0][0]] * len(examples))

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write ``TASK.SPLIT.tsv``: a header, then each file's path and its label.

        Raises:
            DataError: If it cannot be written, or a file's name has a tab or a line end in it or is
                not UTF-8.
        """
        del examples
        path = folder / f"{self._context.id}.{split}.tsv"
        rows = [("file", "prediction"), *((each["id"], each["label"]) for each in predictions)]
        for row in rows:
            if any(mark in cell for cell in row for mark in "\t\r\n"):
                raise DataError(f"{path}: {row!r} has a tab or a line end in it")
            if not all(map(_is_utf8, row)):
                raise DataError(f"{path}: the file name {row[0]!r} is not UTF-8: rename the file")
        text = "".join(f"{id}\t{label}\n" for id, label in rows)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
        return [path]

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    def _folder(self, data: Path, split: str) -> Path:
        names = {"train": self._config.train, "dev": self._config.dev, "test": self._config.test}
        name = names.get(split)
        if name is None:
            known = ", ".join(self.splits)
            raise DataError(f'{self._owner} has no split "{split}"; it has: {known}')
        return data / self._config.folder / name

    def _labels(self, data: Path) -> tuple[str, ...]:
        return self._config.labels or tuple(subfolders(self._folder(data, "train")))

    def _check_labels(self, train: Path, dev: Path, labels: Sequence[str]) -> None:
        """Every label has training texts, and the dev folder has no other label."""
        bare = [label for label in labels if not text_files(train / label)]
        if bare:
            raise DataError(f"{train}: no .txt files for the label {listed(bare)}")
        new = [name for name in subfolders(dev) if name not in labels]
        if new and self._config.labels is None:
            raise DataError(
                f"{dev}: no training texts for the label {listed(new)}"
                f"\n  {train} has: {listed(labels)}"
            )

    def _fingerprint(self, data: Path) -> str:
        found = hashlib.sha256(self._config.model_dump_json().encode())
        for path in self.files(data, "train"):
            content = hashlib.sha256(read_bytes(path)).hexdigest()
            name = path.relative_to(data).as_posix()
            found.update(json.dumps([name, content]).encode())
        return found.hexdigest()

    def _example(self, folder: Path, path: Path, text: str, is_test: bool) -> Example:
        example = {"id": path.relative_to(folder).as_posix(), "text": text}
        return example if is_test else {**example, "label": path.parent.name}

    def _features(
        self, examples: Sequence[Example], info: TaskInfo, start: int
    ) -> Iterator[Feature]:
        tokenizer = self._context.tokenizer
        pieces = tokenizer.texts([example["text"] for example in examples])
        rows = tokenizer.rows(pieces, None, max_length=self._context.max_length)
        for place, example in enumerate(examples):
            tokens = slice(int(rows.bounds[place]), int(rows.bounds[place + 1]))
            row = {
                "input_ids": rows.input_ids[tokens],
                "token_type_ids": rows.token_type_ids[tokens],
            }
            targets = {"labels": self._code(example, info)} if "label" in example else {}
            host = {"truncated": rows.truncated[place]}
            yield Feature(start + place, (row,), targets, positions={}, host=host)

    def _code(self, example: Example, info: TaskInfo) -> np.ndarray:
        labels = info.labels or ()
        if example["label"] not in labels:
            accepted = ", ".join(f'"{label}"' for label in labels)
            raise DataError(
                f'{self._owner}: unknown label "{example["label"]}"; accepted: {accepted}'
            )
        return np.array(labels.index(example["label"]), dtype=np.int64)

    def _scores(self, examples: Sequence[Example], answers: Sequence[str]) -> dict[str, float]:
        right = [example["label"] for example in examples]
        return {"accuracy": self._context.metrics["accuracy"](right, answers)}


def _is_utf8(text: str) -> bool:
    """Whether a name from the file system stands for characters, not for foreign bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
