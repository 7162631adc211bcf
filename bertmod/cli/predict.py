"""``bertmod predict``: a trained run's answers, for one line, for a file or for test splits."""

from __future__ import annotations

from functools import partial

from bertmod.cli.predict_line import answer_line, line_fields
from bertmod.cli.predict_options import (
    ChoiceOption,
    ColumnsOption,
    FormatOption,
    InputOption,
    OutputOption,
    TextOption,
    TextPairFileOption,
    TextPairOption,
)
from bertmod.cli.predict_rows import answer_input
from bertmod.cli.predict_splits import answer_splits
from bertmod.cli.recipe_options import DataOption
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained import load_trained
from bertmod.cli.trained_options import (
    DeviceOption,
    ExportOption,
    RunArgument,
    SourceOption,
    TaskOption,
)
from bertmod.errors import DataError


def predict(
    run: RunArgument,
    task: TaskOption = None,
    text: TextOption = None,
    text_pair: TextPairOption = None,
    text_pair_file: TextPairFileOption = None,
    choice: ChoiceOption = None,
    input_: InputOption = None,
    data: DataOption = None,
    output: OutputOption = None,
    format_: FormatOption = "usual",
    columns: ColumnsOption = None,
    source: SourceOption = "mean",
    device: DeviceOption = "auto",
    export: ExportOption = None,
) -> None:
    """Answer one line, every row of a file in its order, or every test split of the run's tasks."""
    show_warnings()
    asked = task or ()
    load = partial(load_trained, run, source=source, device=device, export=export, tasks=asked)
    fields = line_fields(text, text_pair=text_pair, file=text_pair_file, choices=choice or ())
    if fields is not None:
        stated = {"--input": input_, "--data": data, "--output": output, "--columns": columns}
        _refuse_beside_text({**stated, "--format": None if format_ == "usual" else format_})
        answer_line(load(), asked, fields)
    elif input_ is not None:
        if data is not None:
            raise DataError("--data and --input: rows are answered from one of the two, not both")
        answer_input(load, asked, input_, columns=columns, output=output, form=format_)
    elif columns is not None:
        raise DataError("--columns names columns of --input, which is not given")
    else:
        answer_splits(load, asked, data=data, output=output, form=format_)


def _refuse_beside_text(stated: dict[str, object]) -> None:
    for option, value in stated.items():
        if value is not None:
            raise DataError(
                f"{option} does not go with --text, which is answered as JSON on standard output"
            )
