"""``bertmod features``: hidden states of lines of text, and vectors of whole lines."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from bertmod.cli.checkpoint_options import HiddenActOption
from bertmod.cli.feature_options import (
    USUAL_LENGTH,
    BatchSizeOption,
    CheckpointArgument,
    DtypeOption,
    FormatOption,
    InputArgument,
    LayersOption,
    LowerCaseOption,
    MaxLengthOption,
    MeanOption,
    OutputArgument,
    PooledOption,
    PrecisionOption,
    ResumeOption,
    ShardLinesOption,
    TaskAdaptersOption,
    WordsOption,
    chosen_layers,
)
from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import DeviceOption, progress
from bertmod.errors import DataError
from bertmod.wording import counted

if TYPE_CHECKING:
    from bertmod.data.unfinished import Unfinished
    from bertmod.inference.feature_files import FileOptions
    from bertmod.inference.feature_lines import LineFile
    from bertmod.inference.features import Extractor, FeatureOptions
    from bertmod.recipe.opened import OpenedCheckpoint


def features(
    checkpoint: CheckpointArgument,
    input_: InputArgument,
    output: OutputArgument,
    form: FormatOption = "jsonl",
    layers: LayersOption = "-1,-2,-3,-4",
    pooled: PooledOption = False,
    mean: MeanOption = False,
    words: WordsOption = False,
    dtype: DtypeOption = None,
    shard_lines: ShardLinesOption = None,
    task: TaskAdaptersOption = None,
    max_length: MaxLengthOption = None,
    batch_size: BatchSizeOption = 32,
    resume: ResumeOption = False,
    hidden_act: HiddenActOption = None,
    lower_case: LowerCaseOption = None,
    precision: PrecisionOption = "fp32",
    device: DeviceOption = "auto",
) -> None:
    """Write the hidden states of every line, or vectors of whole lines."""
    from bertmod.data.unfinished import Unfinished
    from bertmod.inference.feature_files import FileOptions
    from bertmod.inference.feature_lines import STANDARD_INPUT, LineFile
    from bertmod.inference.features import FeatureOptions

    show_warnings()
    _require_sense(form, words=words, dtype=dtype, shard_lines=shard_lines)
    files = FileOptions(form, words or form != "jsonl", shard_lines or 1024)
    is_file = input_ != STANDARD_INPUT
    if resume and not is_file:
        raise DataError("--resume: standard input cannot be read again; name a file")
    unfinished = Unfinished(output, resume=resume, keep=is_file)
    source = LineFile.of(input_)
    opened = _opened(checkpoint, hidden_act, lower_case=lower_case)
    options = FeatureOptions(
        layers=chosen_layers(layers, opened.shape.num_hidden_layers),
        pooled=pooled,
        mean=mean,
        max_length=max_length or min(USUAL_LENGTH, opened.shape.max_length),
        batch_size=batch_size,
        precision=precision,
        dtype=dtype or "float32",
    )
    _require_something(options, words=words)
    extractor = _loaded(opened, options, task=task, device=device)
    _write(source, extractor, unfinished, files, checkpoint=opened.path)


def _require_sense(form: str, *, words: bool, dtype: str | None, shard_lines: int | None) -> None:
    """Refuse options that the format would ignore."""
    for option, value in {"--dtype": dtype, "--shard-lines": shard_lines}.items():
        if form == "jsonl" and value is not None:
            raise DataError(f"{option} is for --format safetensors and npz")
    if form != "jsonl" and words:
        raise DataError(f"--words is for --format jsonl; {form} always has them")


def _require_something(options: FeatureOptions, *, words: bool) -> None:
    if options.layers:
        return
    if words:
        raise DataError("--layers none: there are no tokens for --words to go with")
    if not options.pooled and not options.mean:
        raise DataError("--layers none leaves nothing to write: give --pooled or --mean")


def _opened(
    checkpoint: str, hidden_act: str | None, *, lower_case: bool | None
) -> OpenedCheckpoint:
    from bertmod.recipe.opened import open_checkpoint

    stated: dict[str, dict[str, str | bool]] = {
        "encoder": {} if hidden_act is None else {"hidden_act": hidden_act},
        "tokenizer": {} if lower_case is None else {"lower_case": lower_case},
    }
    return open_checkpoint(checkpoint, registry=invocation().registry, tasks=(), options=stated)


def _loaded(
    opened: OpenedCheckpoint, options: FeatureOptions, *, task: str | None, device: str
) -> Extractor:
    """The encoder, ready to take what is wanted."""
    from bertmod.inference.adapter_files import load_adapter
    from bertmod.inference.features import Extractor, require_possible, task_folder
    from bertmod.inference.resident import absent_parts, resident_encoder
    from bertmod.model.report import render_report

    # Before a tensor is read:
    absent = absent_parts(opened) if options.pooled else frozenset()
    require_possible(options, opened.shape, absent=absent)
    folder = None if task is None else task_folder(opened, task)
    for note in opened.notes:
        print(f"note: {note}", file=sys.stderr)
    base, report = resident_encoder(opened, device=device, want=options.want)
    trained = None if folder is None else load_adapter(folder, base)
    # The task's adapters were skipped with the encoder, but are loaded now; what was initialised
    # serves parts of the output that nobody reads.
    skipped = {
        name: why
        for name, why in report.skipped.items()
        if not name.startswith(f"adapters.{task}.")
    }
    print(render_report(replace(report, skipped=skipped, initialised=())), file=sys.stderr)
    return Extractor(base, options, task=trained)


def _write(
    source: LineFile,
    extractor: Extractor,
    unfinished: Unfinished,
    files: FileOptions,
    *,
    checkpoint: str,
) -> None:
    from bertmod.inference.feature_files import write_features

    try:
        with progress(source.num_lines, "features") as advance:
            num_lines = write_features(
                source, extractor, unfinished, files, checkpoint=checkpoint, advance=advance
            )
    except KeyboardInterrupt:
        if unfinished.folder.is_dir():
            print("stopped; go on with --resume", file=sys.stderr)
        raise
    print(f"{unfinished.out}: features of {counted(num_lines, 'line')}", file=sys.stderr)
