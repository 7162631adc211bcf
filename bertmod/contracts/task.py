"""What a task is: it reads examples, makes features, and turns outputs back into predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from bertmod.contracts.batch import Arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator

    from bertmod.contracts.head import TaskInfo
    from bertmod.contracts.metric import Metric
    from bertmod.contracts.tokenizer import Tokenizer

Role = Literal["train", "dev", "test"]
"""What a split is for."""

Example = Mapping[str, Any]
"""One example as its task reads it: JSON values, ``id`` among them."""

Prediction = Mapping[str, Any]
"""One answer: JSON values, ``id`` among them."""


@dataclass(frozen=True)
class Feature:
    """What the encoder sees of an example; one example may give several, or none.

    Attributes:
        example: Index of the example in its split.
        rows: One or more rows, each with ``input_ids`` and ``token_type_ids``, (tokens,).
        targets: Named targets, empty where the example has none; without an axis for features: a
            class is an int64 of shape (), the index into ``TaskInfo.labels``, a value a float32
            of shape ().
        positions: Named token positions counted from the feature's first token, int64; below 0
            means 0, beyond the feature does not count.
        host: Columns that only the task reads back, such as offsets. ``truncated``, bool of shape
            (), tells ``bertmod plan`` whether ``max_length`` cut pieces from its rows.
    """

    example: int
    rows: tuple[Arrays, ...]
    targets: Arrays
    positions: Arrays
    host: Arrays


Outputs = Sequence[Sequence[tuple[Feature, Arrays]]]
"""For each example, its features with what the head decoded of them, named arrays as the head's
``decode`` gives them: ``probabilities``, (classes,), by ``bertmod/classification``."""


@dataclass(frozen=True)
class TaskContext:
    """What a task's builder gets beside its options.

    Attributes:
        id: Id of the task.
        tokenizer: The run's tokenizer.
        max_length: Longest row, tokens.
        metrics: Every installed metric by name.
        strict_data: Whether a malformed train or dev row is an error.
        trains: Whether the task has a head of its own; false where another task's answers it.
        trained: Whether that head is trained already: ``setup`` then does without files that are
            missing, since labels are known.
    """

    id: str
    tokenizer: Tokenizer
    max_length: int
    metrics: Mapping[str, Metric]
    strict_data: bool = False
    trains: bool = True
    trained: bool = False


class Task(Protocol):
    """Reads splits, makes features, decodes and scores.

    Attributes:
        splits: Named splits and what each is for.
        cacheable: Whether the same examples always give the same features.
    """

    @property
    def splits(self) -> Mapping[str, Role]: ...
    @property
    def cacheable(self) -> bool: ...

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The files that a split is read from, for hashing and for the lock file."""
        ...

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder and fix its label names or value range.

        Raises:
            DataError: If a train or dev file is missing or cannot be read.
        """
        ...

    def read(self, split: str) -> Sequence[Example] | Iterator[Example]:
        """Examples of a split: indexed, or a ``Stateful`` iterator for streams.

        Raises:
            DataError: If the file is missing, empty, or malformed beyond what is tolerated.
        """
        ...

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example from named fields, as a command line, a table or a server gives them.

        Raises:
            DataError: If a text field is missing; the message names those accepted.
        """
        ...

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator]
    ) -> Sequence[Feature]:
        """Features of a batch of examples, ``example`` counting from 0 within it.

        Args:
            examples: Examples of one split.
            info: Label names or value range.
            draws: One random generator per example; empty where the task is ``cacheable``.
        """
        ...

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` with what can be tuned on the dev split of the task's metric."""
        ...

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """One prediction per example, in order; an example without features is answered too."""
        ...

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """Every metric of a split, over the whole of it."""
        ...

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same metrics for the answer that ignores the text: the majority class, the mean."""
        ...

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write predictions in the benchmark's own form; returns the files written."""
        ...


@runtime_checkable
class ResampledTask(Protocol):
    """What a ``Task`` may have beside its other methods: fast scores of many samples of a split.

    Confidence intervals score a split a thousand times, each time on rows drawn with replacement.
    Without this method ``score`` is asked with the drawn examples and predictions; with it a task
    can prepare once what a row contributes, so that a sample costs no more than a sum over rows.
    """

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """A function from rows to the scores of the split that consists of just these rows.

        Args:
            split: A dev split.
            examples: The whole of it.
            predictions: One per example, in order.

        Returns:
            A function of row numbers, (rows,), int64, each any number of times. Of every row once
            it gives what ``score`` gives, up to rounding.
        """
        ...


@runtime_checkable
class FileTask(Protocol):
    """What a ``Task`` may have beside its other methods: it reads files of a form of its own."""

    def examples(self, path: Path) -> Sequence[Example] | None:
        """Examples of a file that is to be answered, in file order; labels are not needed.

        Args:
            path: The file.

        Returns:
            The examples; None for a table that is read as others are: a row of named cells goes
            to ``example``.

        Raises:
            DataError: If the file cannot be read or is malformed; the message names the place.
        """
        ...


@runtime_checkable
class ReportingTask(Protocol):
    """What a ``Task`` may have beside its other methods: it writes a run's last scores itself."""

    def report(self, scores: Mapping[str, float], *, step: int, folder: Path) -> Path:
        """Write the scores in the form that other programs know; the file.

        Args:
            scores: Metric to value, of the split of the task's main metric.
            step: Steps of the run.
            folder: Where to write it; it exists.

        Raises:
            DataError: If it cannot be written.
        """
        ...
