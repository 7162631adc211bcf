"""Hidden states of lines of text, as Google's extract_features.py gives them; vectors of lines.

Shape letters: T tokens, R rows (a row a line), L longest row, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import EncoderOutput, EncoderShape, Part
from bertmod.contracts.tokenizer import RowTable
from bertmod.data.collate import collate
from bertmod.data.features import FeatureTable
from bertmod.data.known_tokens import require_known_tokens
from bertmod.data.ragged import runs
from bertmod.engine.batches import batches_by_length
from bertmod.engine.precision import autocast, resolve_precision
from bertmod.errors import CheckpointError, DataError
from bertmod.inference.adapter_files import LoadedTask
from bertmod.inference.feature_lines import LineTokens, tokenize_lines, windows
from bertmod.inference.resident import ResidentEncoder
from bertmod.model.loading import OWN_FORMAT
from bertmod.model.record import TASK_FILE
from bertmod.model.sites import TaskSites
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint

GOOGLE_LAYERS = (-1, -2, -3, -4)
WINDOW_BATCHES = 8
"""Batches of lines that are read ahead, and sorted by length."""

Arrays = Mapping[str, np.ndarray]
Dtype = Literal["float32", "float16"]
Advance = Callable[[int], object]


@dataclass(frozen=True)
class FeatureOptions:
    """What is taken of each line.

    Attributes:
        layers: Layers whose states are kept, in this order: -1 is the last one, -2 that before
            it ..., 1 the first one, 0 the embeddings. None at all is fine.
        pooled: Whether to keep the pooled output, a vector a line.
        mean: Whether to keep the mean of the last layer over all of the line's tokens, [CLS] and
            [SEP] among them, as sentence-transformers takes it.
        max_length: Longest row in tokens, special tokens counted, from 2.
        batch_size: Lines of a batch, from 1.
        precision: ``fp32``, ``bf16`` or ``auto``.
        dtype: ``float32`` or ``float16``, of the arrays.
    """

    layers: tuple[int, ...] = GOOGLE_LAYERS
    pooled: bool = False
    mean: bool = False
    max_length: int = 128
    batch_size: int = 32
    precision: str = "fp32"
    dtype: Dtype = "float32"

    @property
    def window(self) -> int:
        """Lines that are read ahead: batches are a function of a line's place in the input."""
        return WINDOW_BATCHES * self.batch_size

    @property
    def want(self) -> frozenset[Part]:
        """Parts of the encoder's output that are read."""
        parts: set[Part] = {"hidden"}
        parts |= {"layers"} if self.layers else set()
        parts |= {"pooled"} if self.pooled else set()
        return frozenset(parts)


@dataclass(frozen=True)
class LineFeatures:
    """What was taken of one line.

    Attributes:
        index: The line's number, from 0.
        tokens: Its tokens, [CLS] and [SEP] among them.
        input_ids: Their ids, (tokens,), int32.
        words: Index of each token's word in ``line.split()``, -1 for [CLS] and [SEP], (tokens,),
            int32.
        word_starts: Character of the line at which that word begins, -1 likewise, (tokens,).
        word_ends: Character behind its last one, -1 likewise, (tokens,).
        layers: Layer to its states, (tokens, hidden), ``options.dtype``.
        pooled: Pooled output, (hidden,), likewise; None if it was not asked for.
        mean: Mean of the last layer, (hidden,), likewise; None if it was not asked for.
    """

    index: int
    tokens: list[str]
    input_ids: np.ndarray
    words: np.ndarray
    word_starts: np.ndarray
    word_ends: np.ndarray
    layers: Mapping[int, np.ndarray]
    pooled: np.ndarray | None = None
    mean: np.ndarray | None = None


@dataclass(frozen=True)
class WindowFeatures:
    """What was taken of neighbouring lines.

    Attributes:
        tokens: Their rows.
        layers: Layer to its states, (tokens, hidden), ``options.dtype``.
        vectors: ``pooled`` and ``mean``, those that were asked for, (lines, hidden), likewise.
    """

    tokens: LineTokens
    layers: Mapping[int, np.ndarray]
    vectors: Arrays = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens.rows)


class Extractor:
    """Takes features of windows of lines.

    Args:
        base: The encoder.
        options: What is taken.
        task: A task whose adapters act, too.

    Raises:
        DataError: If the encoder has no such layer, no pooled output, or takes no row as long.
    """

    def __init__(
        self, base: ResidentEncoder, options: FeatureOptions, *, task: LoadedTask | None = None
    ) -> None:
        require_possible(options, base.encoder.shape, absent=base.absent_parts)
        self.depth = base.encoder.shape.num_hidden_layers
        self.base, self.options, self.task = base, options, task
        self.device = next(cast(nn.Module, base.encoder).parameters()).device
        self.precision = resolve_precision(options.precision, self.device)
        self.adapters: tuple[Adapter, ...] = () if task is None else tuple(task.adapters.values())
        for adapter in self.adapters:
            cast(nn.Module, adapter).to(self.device).eval()

    def __call__(self, lines: Sequence[str], *, advance: Advance | None = None) -> WindowFeatures:
        """The features of a window of lines, at least one.

        Args:
            lines: The lines.
            advance: Called after each batch with the number of its lines.

        Raises:
            DataError: If the encoder does not know a token, or a state is not a finite number, or
                beyond float16.
        """
        tokens = tokenize_lines(self.base.tokenizer, lines, max_length=self.options.max_length)
        rows, options = tokens.rows, self.options
        layers = {layer: self._empty(int(rows.bounds[-1])) for layer in options.layers}
        names = [name for name in ("pooled", "mean") if getattr(options, name)]
        vectors = {name: self._empty(len(rows)) for name in names}
        table = FeatureTable.from_rows(rows)
        require_known_tokens(table, self.base.encoder.shape, owner="a line (A ||| B is a pair)")
        for index_R in batches_by_length(table.lengths, options.batch_size):
            place_T = runs(rows.bounds[index_R], table.lengths[index_R])
            states, pooled = self._batch(table.take(index_R))
            for layer, found in states.items():
                layers[layer][place_T] = self._on_host(found)
            for name, found in pooled.items():
                vectors[name][index_R] = self._on_host(found)
            if advance is not None:
                advance(len(index_R))
        return WindowFeatures(tokens, layers, vectors)

    def _empty(self, length: int) -> np.ndarray:
        return np.empty((length, self.base.encoder.shape.hidden_size), self.options.dtype)

    def _batch(self, table: FeatureTable) -> tuple[dict[int, Tensor], dict[str, Tensor]]:
        """States of a batch's real tokens by layer, and vectors of its rows by name."""
        batch = collate(table, device=self.device)
        first_R = batch.context.first_token_of_row_R.cpu().numpy()
        real_T = torch.from_numpy(runs(first_R, table.lengths)).to(self.device)
        with torch.inference_mode(), autocast(self.precision, self.device):
            sites = TaskSites(self.adapters, batch.context)
            output = self.base.encoder(batch, sites, want=self.options.want)
        vectors = {}
        if self.options.pooled and output.pooled_RH is not None:
            vectors["pooled"] = output.pooled_RH
        if self.options.mean:
            vectors["mean"] = _mean(output.hidden_TH, batch)
        states = {layer: self._layer(output, layer)[real_T] for layer in self.options.layers}
        return states, vectors

    def _on_host(self, value: Tensor) -> np.ndarray:
        found: np.ndarray = value.float().cpu().numpy()
        largest = np.abs(found).max()
        if not np.isfinite(largest):
            raise DataError("the encoder gave states that are not finite numbers")
        if largest > np.finfo(self.options.dtype).max:
            raise DataError(
                f"the encoder gave a state of {largest:.0f}, beyond float16\n  take float32"
            )
        return found

    def _layer(self, output: EncoderOutput, layer: int) -> Tensor:
        assert output.layers is not None
        return output.layers[layer if layer >= 0 else self.depth + 1 + layer]


def extract(
    lines: Iterable[str],
    base: ResidentEncoder,
    options: FeatureOptions | None = None,
    *,
    task: LoadedTask | None = None,
) -> Iterator[LineFeatures]:
    """The features of each line, in order; ``options.window`` lines are in memory at a time.

    Args:
        lines: Lines of text; ``A ||| B`` is a pair.
        base: The encoder, such as ``load_encoder`` gives.
        options: What is taken of each line; None: the last four layers.
        task: A task whose adapters act, too, such as ``load_adapter`` gives.

    Yields:
        The features of a line; the arrays are views of its window's.

    Raises:
        DataError: If the encoder cannot give what is asked for, or a state is not finite.
    """
    extractor = Extractor(base, options or FeatureOptions(), task=task)
    first = 0
    for window in windows(lines, extractor.options.window):
        found = extractor(window)
        for number in range(len(found)):
            yield line_features(found, number, first=first, base=base)
        first += len(window)


def line_features(
    found: WindowFeatures, number: int, *, first: int, base: ResidentEncoder
) -> LineFeatures:
    """What was taken of one line of a window.

    Args:
        found: The window.
        number: The line's number in it, from 0.
        first: Number of the window's first line.
        base: The encoder.
    """
    rows: RowTable = found.tokens.rows
    place = slice(int(rows.bounds[number]), int(rows.bounds[number + 1]))
    ids = rows.input_ids[place]
    return LineFeatures(
        index=first + number,
        tokens=base.tokenizer.pieces(ids.tolist()),
        input_ids=ids,
        words=found.tokens.words[place],
        word_starts=found.tokens.word_starts[place],
        word_ends=found.tokens.word_ends[place],
        layers={layer: states[place] for layer, states in found.layers.items()},
        pooled=found.vectors["pooled"][number] if "pooled" in found.vectors else None,
        mean=found.vectors["mean"][number] if "mean" in found.vectors else None,
    )


def require_possible(
    options: FeatureOptions, shape: EncoderShape, *, absent: frozenset[Part] = frozenset()
) -> None:
    """Refuse what an encoder cannot give.

    Args:
        options: What is wanted.
        shape: The encoder's shape.
        absent: Parts of its output that its checkpoint has no values for.

    Raises:
        DataError: If it has no such layer, no pooled output, or takes no row as long; or a layer
            is named twice.
    """
    _require_layers(options.layers, shape.num_hidden_layers)
    if not 2 <= options.max_length <= shape.max_length:
        raise DataError(
            f"no rows of {options.max_length} tokens\n  the encoder takes 2 to {shape.max_length}"
        )
    if options.batch_size < 1:
        raise DataError(f"no batches of {options.batch_size} lines\n  a batch has 1 or more")
    if lacking := sorted(options.want - shape.provides):
        raise DataError(f"the encoder does not provide: {', '.join(lacking)}")
    if options.pooled and "pooled" in absent:
        raise DataError(
            "the checkpoint has no pooler, so that there is no pooled output\n"
            "  leave it out; the mean needs none"
        )


def task_folder(opened: OpenedCheckpoint, task: str) -> Path:
    """The folder of a task beside the encoder of a run, or of one of its states.

    Args:
        opened: The run or the state.
        task: Id of the task.

    Raises:
        CheckpointError: If there is no such task, or the checkpoint is not bertmod's.
    """
    if opened.description.format != OWN_FORMAT:
        raise CheckpointError(
            f"{opened.path}: --task {task}: adapters are taken from what bertmod wrote: a run "
            "folder, or one of its states"
        )
    beside = open_checkpoint(opened.path, registry=opened.registry, tasks=(task,))
    return next(path.parent for path in beside.description.files if path.name == TASK_FILE)


def _require_layers(layers: Sequence[int], depth: int) -> None:
    accepted = (
        f"  the encoder has {depth} layers; accepted: -1 (the last) to {-depth} (the first), or 0 "
        f"(the embeddings), 1 (the first layer) to {depth} (the last)"
    )
    for place, layer in enumerate(layers):
        if not -depth <= layer <= depth:
            raise DataError(f"no layer {layer}\n{accepted}")
        if layer in layers[:place]:
            raise DataError(f"layer {layer} is named twice\n{accepted}")


def _mean(hidden_TH: Tensor, batch: Batch) -> Tensor:
    """Mean of each row's tokens, (rows, hidden), fp32."""
    # Summed over padded rows: unlike additions by index, that has one order on every device.
    hidden_RLH, real_RL = batch.context.pad(hidden_TH.float())
    return hidden_RLH.sum(1) / real_RL.sum(1, keepdim=True)
