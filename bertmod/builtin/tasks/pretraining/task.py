"""Pre-training: what is masked, and whether a second segment follows the first."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertmod import DataError, Example, Feature, Prediction, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.pretraining import config as facts
from bertmod.builtin.tasks.pretraining import scores as scoring
from bertmod.builtin.tasks.pretraining.config import (
    LABELS,
    CorpusConfig,
    PhaseConfig,
    PretrainingConfig,
)
from bertmod.builtin.tasks.pretraining.corpora import Part, Wanted, file_of, is_folder, open_rows
from bertmod.builtin.tasks.pretraining.examples import RowExamples, example_of, table_of
from bertmod.builtin.tasks.pretraining.rows import (
    ChooseMasks,
    InstanceRows,
    Masker,
    instance_rows,
)
from bertmod.builtin.tasks.split_files import require_complete, with_outputs
from bertmod.data.cache import file_hash
from bertmod.data.masking import Masking, choose_masks, mask_pieces
from bertmod.data.pretraining_files import HEADER_FILE
from bertmod.data.tables import write_text
from bertmod.data.training_rows import Phase
from bertmod.pretraining.statistics import vocabulary_fit

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_log = logging.getLogger("bertmod")

_VERSION = 1
_TRAIN, _TEXT, _DEV = "train", "corpus.txt", "dev"
"""What is looked for in a data folder where no data is stated."""


class PretrainingTask:
    """Masked pieces and pairs of segments, from folders of instances or from text.

    Examples are rows as ``RowExamples`` has them, predictions what ``scores.answer`` makes.

    Args:
        config: Options.
        context: Tokenizer and longest row.
        choose: Chooses masks. A task of another package may bring a way of its own: it builds this
            class with that and has a spec of its own.
    """

    cacheable = True

    def __init__(
        self,
        config: PretrainingConfig,
        context: TaskContext,
        *,
        choose: ChooseMasks = choose_masks,
    ) -> None:
        self._config, self._context, self._choose = config, context, choose
        self._owner = f'task "{context.id}"'
        self._pairs = config.next_sentence != "none"
        self._data: Path | None = None
        self._opened: list[InstanceRows] | None = None

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return facts.splits(self._config)

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The text files of a split, and the headers of its folders, which have their hashes.

        Raises:
            DataError: If the task has no such split, or nothing to be evaluated on.
        """
        self._require_split(split)
        paths = [path for path, _ in self._sources(data, split)]
        return tuple(dict.fromkeys(map(file_of, paths)))

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder; rows of text files are made unless the cache has them.

        Raises:
            DataError: If data is missing, damaged, or made for another vocabulary or other rows.
        """
        self._data, self._opened = data, None
        labels = LABELS.get(self._config.next_sentence)
        if self._context.trained:
            return TaskInfo(labels=labels)
        self._require_mask()
        self.read(_DEV)
        if not self._context.trains:
            return TaskInfo(labels=labels)
        self._tell_cut(self._phases())
        options = self._config.model_dump(mode="json", exclude={"dev"})
        hashes = [file_hash(path) for path in self.files(data, _TRAIN)]
        made_from = json.dumps([_VERSION, options, hashes], sort_keys=True)
        return TaskInfo(labels=labels, fingerprint=hashlib.sha256(made_from.encode()).hexdigest())

    def phases(self, seed: int) -> list[Phase]:
        """What it trains on, with masks drawn by the run's seed.

        Raises:
            DataError: If the data cannot be read.
        """
        masker = self._masker(seed, fresh=self._config.masking.kind == "dynamic")
        return [
            Phase(
                instance_rows(rows.corpora, masker, pairs=self._pairs),
                phase.share,
                self._about(phase, rows),
            )
            for rows, phase in zip(self._phases(), self._stated(self._folder), strict=True)
        ]

    def read(self, split: str) -> RowExamples:
        """Rows of a split: of ``train`` those of the first phase, as its first pass has them.

        Raises:
            DataError: If the data is missing or damaged.
            ValueError: If ``setup`` was not called.
        """
        self._require_split(split)
        if split == _TRAIN:
            return RowExamples(self._phases()[0])
        wanted = self._wanted(self._dev_length, dupe_factor=1)
        sources = self._sources(self._folder, split)
        opened = [(open_rows(path, wanted, part=part), 1.0) for path, part in sources]
        return RowExamples(instance_rows(opened, self._fixed, pairs=self._pairs))

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without labels from ``text`` and ``text_pair``, with [MASK] in them.

        Raises:
            DataError: If there is no text; the message names what is accepted.
        """
        length = self._context.max_length
        return example_of(fields, self._context.tokenizer, max_length=length, owner=self._owner)

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """A feature per example."""
        del info, draws
        return table_of(examples)

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` unchanged: there is nothing to tune."""
        del examples, outputs
        return info

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """How many masked pieces were found, or which pieces they may be; and of the segments."""
        tokenizer = self._context.tokenizer
        return [
            scoring.answer(example, decoded, info, tokenizer)
            for example, decoded in with_outputs(examples, outputs)
        ]

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """Loss, accuracy and perplexity over all masked pieces, and of pairs of segments."""
        del split
        sums = scoring.counts(examples, predictions, self._labels).sum(axis=0)
        return scoring.scores(sums, pairs=self._pairs)

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """The same scores over any choice of rows, given by their indices."""
        del split
        counts = scoring.counts(examples, predictions, self._labels)
        return lambda rows: scoring.scores(counts[rows].sum(axis=0), pairs=self._pairs)

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same metrics where frequencies in these very rows answer, whatever the text."""
        return scoring.baseline(examples, pairs=self._pairs)

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write ``TASK.SPLIT.jsonl``, a prediction a line.

        Raises:
            DataError: If the predictions are not those of the whole split, or the file cannot be
                written.
        """
        require_complete(self._owner, split, [each["id"] for each in examples], predictions)
        lines = (json.dumps(each, ensure_ascii=False) for each in predictions)
        return [write_text(folder / f"{self._context.id}.{split}.jsonl", _joined(lines))]

    def report(self, scores: Mapping[str, float], *, step: int, folder: Path) -> Path:
        """Write ``eval_results.txt`` as the original program does.

        Args:
            scores: Metric of the dev split to its value.
            step: Steps of the run.
            folder: Where to write it; for a task with an id of its own the id is part of its name.

        Source: google-research/bert run_pretraining.py.
        """
        own = self._context.id != "pretraining"
        name = f"{self._context.id}.eval_results.txt" if own else "eval_results.txt"
        shown = {"global_step": step, **scores}
        del shown["perplexity"]
        return write_text(folder / name, _joined(f"{key} = {shown[key]}" for key in sorted(shown)))

    @property
    def _labels(self) -> Sequence[str]:
        return LABELS.get(self._config.next_sentence, ())

    @property
    def _folder(self) -> Path:
        if self._data is None:
            raise ValueError("call setup(data) before reading a split")
        return self._data

    @cached_property
    def _fixed(self) -> Masker:
        """Puts the same masks into the same rows in every run: scores can be compared."""
        return self._masker(0, fresh=False)

    def _masker(self, seed: int, *, fresh: bool) -> Masker:
        options = self._config.masking
        most = options.max_predictions or self._context.max_length
        unit = options.unit
        masking = Masking(options.probability, most, unit == "word", spans=unit == "span")
        pieces = mask_pieces(self._context.tokenizer)
        return Masker(masking, pieces, self._choose, seed=seed, fresh=fresh)

    def _tell_cut(self, opened: Sequence[InstanceRows]) -> None:
        """Warn of masks that the run would draw if ``max_predictions`` did not cut them."""
        options, masking = self._config.masking, self._fixed.masking
        if options.max_predictions is None or options.kind == "static":
            return
        lengths = [rows.lengths for rows in opened]
        wanted = sum(int(masking.wanted(each).sum()) for each in lengths)
        cut = wanted - sum(int(masking.num_masked(each).sum()) for each in lengths)
        if cut:
            longest = max(int(each.max()) for each in lengths)
            _log.warning(
                "%s: max_predictions %d cuts %s of %s masks; %g of %d tokens are %d",
                *(self._owner, options.max_predictions, f"{cut:,}", f"{wanted:,}"),
                *(options.probability, longest, masking.wanted(np.array([longest]))[0]),
            )

    def _wanted(self, max_length: int, *, dupe_factor: int, masked: bool = False) -> Wanted:
        return Wanted(
            owner=self._owner,
            tokenizer=self._context.tokenizer,
            max_length=max_length,
            next_sentence=self._config.next_sentence,
            dupe_factor=dupe_factor,
            held_out=self._config.held_out,
            masked=masked,
        )

    def _stated(self, data: Path) -> tuple[PhaseConfig, ...]:
        """The phases of a run on a data folder."""
        stated = facts.phases_of(self._config)
        if stated:
            return stated
        if (data / HEADER_FILE).is_file():
            usual = "."
        else:
            usual = _TRAIN if (data / _TRAIN / HEADER_FILE).is_file() else _TEXT
        return (PhaseConfig(share=1.0, train=(CorpusConfig(path=usual),)),)

    def _length(self, phase: PhaseConfig) -> int:
        """Longest row of a phase, tokens."""
        longest = self._context.max_length
        if phase.max_length is not None and phase.max_length > longest:
            raise DataError(
                f"{self._owner}: a phase has rows of {phase.max_length} tokens, the task's longest "
                f"is {longest}\n  set data.max_length to that of the longest phase"
            )
        return phase.max_length or longest

    @property
    def _dev_length(self) -> int:
        """Longest row to evaluate on: that of the last phase."""
        return self._length(self._stated(self._folder)[-1])

    def _sources(self, data: Path, split: str) -> list[tuple[Path, Part]]:
        """What a split is read from: paths, and which documents of text files."""
        held = self._dev(data) is None
        stated = self._stated(data)
        if split == _TRAIN:
            paths = [data / each.path for phase in stated for each in facts.corpora_of(phase)]
            return [(path, "train" if held else "all") for path in paths]
        own = self._dev(data)
        if own is not None:
            return [(own, "all")]
        last = [data / each.path for each in facts.corpora_of(stated[-1])]
        texts: list[tuple[Path, Part]] = [(path, "dev") for path in last if not is_folder(path)]
        if not texts:
            raise DataError(
                f"{self._owner}: nothing to evaluate on: documents can be held out of text files, "
                f"not of {last[0]}\n"
                '  name other data with "dev": a text file, or a folder that bertmod '
                "pretraining-data wrote\n"
                "  to evaluate on the training data, as the original program does, name that"
            )
        return texts

    def _dev(self, data: Path) -> Path | None:
        """Data to evaluate on alone, if there is any."""
        if self._config.dev is not None:
            return data / self._config.dev
        usual = data / _DEV
        return usual if (usual / HEADER_FILE).is_file() else None

    def _phases(self) -> list[InstanceRows]:
        """The rows of each phase, with the masks that every run gives them."""
        if self._opened is None:
            data = self._folder
            part: Part = "train" if self._dev(data) is None else "all"
            self._opened = [self._rows(phase, data, part) for phase in self._stated(data)]
        return self._opened

    def _rows(self, phase: PhaseConfig, data: Path, part: Part) -> InstanceRows:
        static = self._config.masking.kind == "static"
        corpora = []
        for corpus in facts.corpora_of(phase):
            path = data / corpus.path
            # A folder says itself how long its rows are.
            length = self._context.max_length if is_folder(path) else self._length(phase)
            factor = self._config.dupe_factor
            wanted = self._wanted(length, dupe_factor=factor, masked=static)
            corpora.append((open_rows(path, wanted, part=part), corpus.weight))
        return instance_rows(corpora, self._fixed, pairs=self._pairs)

    def _about(self, phase: PhaseConfig, rows: InstanceRows) -> list[str]:
        """How the vocabulary cuts the corpora of a phase, a line for each that tells."""
        paths = [self._folder / corpus.path for corpus in facts.corpora_of(phase)]
        told = [data.header["statistics"] for data, _ in rows.corpora]
        return [
            f"{path}: {vocabulary_fit(statistics)}"
            for path, statistics in zip(paths, told, strict=True)
            if "fertility" in statistics
        ]

    def _require_split(self, split: str) -> None:
        if split not in self.splits:
            known = ", ".join(self.splits)
            raise DataError(f'{self._owner} has no split "{split}"; it has: {known}')

    def _require_mask(self) -> None:
        if "[MASK]" not in self._context.tokenizer.special:
            raise DataError(
                f"{self._owner}: the vocabulary lacks [MASK], which stands for masked pieces"
            )


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
