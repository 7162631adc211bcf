"""Features of lines in files: Google's JSON lines, or shards of arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

import bertmod
from bertmod.data.durable import WRITING, write_file
from bertmod.data.unfinished import Unfinished
from bertmod.errors import DataError
from bertmod.inference.adapter_files import LoadedTask
from bertmod.inference.decimals import decimal_rows
from bertmod.inference.feature_lines import LineFile, windows
from bertmod.inference.features import (
    Advance,
    Extractor,
    LineFeatures,
    WindowFeatures,
    line_features,
)
from bertmod.model.canonical import encoder_hash
from bertmod.model.tensor_file import save_tensors

Form = Literal["jsonl", "safetensors", "npz"]

FORMAT_VERSION = 1
MANIFEST_FILE = "features.json"
LINES_FILE = "features.jsonl"
WORD_COLUMNS = ("words", "word_starts", "word_ends")
FREE = frozenset({"checkpoint", "input"})
"""What may have moved when output is gone on with: its content is known by its hash."""


@dataclass(frozen=True)
class FileOptions:
    """What the files look like.

    Attributes:
        form: ``jsonl``, a file; or ``safetensors`` or ``npz``, a folder of shards.
        words: Whether JSON lines say which word each token came from; shards always do.
        shard_lines: Lines of a shard, from 1.
    """

    form: Form = "jsonl"
    words: bool = False
    shard_lines: int = 1024


def write_features(
    source: LineFile,
    extractor: Extractor,
    unfinished: Unfinished,
    options: FileOptions,
    *,
    checkpoint: str,
    advance: Advance,
) -> int:
    """Write the features of every line.

    Args:
        source: The lines.
        extractor: Takes their features.
        unfinished: Where they are written.
        options: What the files look like.
        checkpoint: Where the encoder comes from, for the manifest.
        advance: Called with numbers of lines as they are done.

    Returns:
        The number of lines.

    Raises:
        DataError: If a line is not UTF-8, a state is not finite or beyond float16, or the output
            was begun for something else.
        TrainingError: If the disk is full, or the output cannot be written.
    """
    asked = _asked(source, extractor, options, checkpoint)
    with unfinished.opened(asked, free=FREE) as folder:
        if options.form == "jsonl":
            num_lines = _write_lines(source, extractor, folder, options, advance)
            unfinished.finish(LINES_FILE)
        else:
            num_lines = _write_shards(source, extractor, folder, options, advance)
            manifest = {**asked, "rows": num_lines, "shards": _shards(num_lines, options)}
            write_file(folder / MANIFEST_FILE, json.dumps(manifest, indent=2) + "\n")
            unfinished.finish()
    return num_lines


def json_line(line: LineFeatures, *, words: bool = False) -> str:
    """A line's features as Google's extract_features.py writes them, its spelling kept.

    Without layers there are no ``features``, and beside them stand ``pooled`` and ``mean``, if
    they were taken, and if asked the columns that say which word each token came from.
    """
    parts = [f'"linex_index": {line.index}']
    if line.layers:
        parts.append(f'"features": [{", ".join(_token_texts(line))}]')
    for name in ("pooled", "mean"):
        vector = getattr(line, name)
        if vector is not None:
            parts.append(f'"{name}": [{decimal_rows(vector[None])[0]}]')
    if words:
        for name in WORD_COLUMNS:
            parts.append(f'"{name}": {json.dumps(getattr(line, name).tolist())}')
    return f"{{{', '.join(parts)}}}"


def _token_texts(line: LineFeatures) -> Iterator[str]:
    """Each token of a line with its states, as JSON."""
    rows = {layer: decimal_rows(states) for layer, states in line.layers.items()}
    for place, token in enumerate(line.tokens):
        layers = (f'{{"index": {layer}, "values": [{rows[layer][place]}]}}' for layer in rows)
        yield f'{{"token": {json.dumps(token)}, "layers": [{", ".join(layers)}]}}'


def shard_name(number: int, form: Form) -> str:
    """File of a shard."""
    return f"features-{number:05d}.{form}"


def _asked(
    source: LineFile, extractor: Extractor, options: FileOptions, checkpoint: str
) -> dict[str, Any]:
    """What the output is a function of, and where that came from."""
    base, task = extractor.base, extractor.task
    chosen = {**asdict(extractor.options), **asdict(options)}
    return {
        "format_version": FORMAT_VERSION,
        "bertmod_version": bertmod.__version__,
        "torch_version": torch.__version__,
        "checkpoint": checkpoint,
        "encoder_hash": base.hash,
        "encoder": base.slots["encoder"],
        "tokenizer": base.tokenizer.fingerprint,
        "task": None if task is None else task.id,
        "adapters_hash": "" if task is None else _adapters_hash(task),
        "input": source.title,
        "input_sha256": source.sha256,
        **chosen,
        "precision": extractor.precision,
        "device": str(extractor.device),
    }


def _adapters_hash(task: LoadedTask) -> str:
    return encoder_hash(
        {
            f"{id_}.{name}": tensor
            for id_, adapter in task.adapters.items()
            for name, tensor in cast(nn.Module, adapter).state_dict().items()
        }
    )


def _write_lines(
    source: LineFile,
    extractor: Extractor,
    folder: Path,
    options: FileOptions,
    advance: Advance,
) -> int:
    path = folder / LINES_FILE
    done = _whole_lines(path)
    first = 0
    with path.open("a", encoding="ascii") as file:
        for window in windows(source, extractor.options.window):
            behind = first + len(window)
            if behind <= done:
                advance(len(window))
            else:
                found = extractor(window, advance=advance)
                for number in range(max(done - first, 0), len(window)):
                    line = line_features(found, number, first=first, base=extractor.base)
                    file.write(json_line(line, words=options.words) + "\n")
                file.flush()
            first = behind
        _require_lines(first, source)
        os.fsync(file.fileno())
    return first


def _whole_lines(path: Path) -> int:
    """Lines of an unfinished file that are whole; what follows them is cut off."""
    if not path.exists():
        return 0
    with path.open("r+b") as file:
        count = length = 0
        for line in file:
            if not (line.startswith(b'{"linex_index": %d,' % count) and line.endswith(b"}\n")):
                break
            count, length = count + 1, length + len(line)
        file.truncate(length)
    return count


def _write_shards(
    source: LineFile,
    extractor: Extractor,
    folder: Path,
    options: FileOptions,
    advance: Advance,
) -> int:
    count = 0
    for number, lines in enumerate(windows(source, options.shard_lines)):
        path = folder / shard_name(number, options.form)
        if path.exists():
            advance(len(lines))
        else:
            _write_shard(path, _arrays(extractor(lines, advance=advance)))
        count += len(lines)
    _require_lines(count, source)
    return count


def _arrays(found: WindowFeatures) -> dict[str, np.ndarray]:
    """The arrays of a shard."""
    arrays = {f"layer_{layer}": states for layer, states in found.layers.items()}
    if arrays:
        tokens = found.tokens
        arrays |= {"input_ids": tokens.rows.input_ids, "row_bounds": tokens.rows.bounds}
        arrays |= {name: getattr(tokens, name) for name in WORD_COLUMNS}
    return {**arrays, **found.vectors}


def _write_shard(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a shard so that under its name it is whole or not there."""
    aside = path.with_name(f"{WRITING}{path.name}")
    if path.suffix == ".npz":
        with aside.open("wb") as file:
            np.savez(file, **cast(Any, arrays))
    else:
        save_tensors(aside, {name: torch.from_numpy(array) for name, array in arrays.items()})
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.rename(path)


def _shards(num_lines: int, options: FileOptions) -> list[dict[str, Any]]:
    size = options.shard_lines
    return [
        {
            "file": shard_name(number, options.form),
            "first_row": first,
            "rows": min(size, num_lines - first),
        }
        for number, first in enumerate(range(0, num_lines, size))
    ]


def _require_lines(count: int, source: LineFile) -> None:
    if not count:
        raise DataError(f"{source.title}: has no lines")
