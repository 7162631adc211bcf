"""``bertmod verify``: whether two checkpoints compute the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertmod.cli.checkpoint_options import HiddenActOption
from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import DeviceOption, progress
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.convert.sides import Side, Text

NOT_EQUAL = 1
"""Exit status for two that differ."""

TextOption = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="Compare on this text, not the built-in ones."),
]
TextPairOption = Annotated[
    str | None,
    typer.Option("--text-pair", metavar="TEXT", help="The second text beside --text."),
]
InputOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help='Compare on the lines of a UTF-8 file; " ||| " separates the two texts of a pair.',
    ),
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        metavar="N",
        min=2,
        help="Longest row, tokens; 128 otherwise, or what both take.",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="ID",
        help="Compare this task's logits too, with its adapters; any name for a model of one task.",
    ),
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        "--tolerance",
        metavar="X",
        min=0.0,
        help="Largest absolute difference between equal ones: exit status 0, otherwise 1.",
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the table as JSON too."),
]


def verify(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Checkpoint of any format; its tokenizer makes the tokens."
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="The other; A and B may be transformers:PATH, for one that transformers runs.",
        ),
    ],
    text: TextOption = None,
    text_pair: TextPairOption = None,
    input_: InputOption = None,
    max_length: MaxLengthOption = None,
    task: TaskOption = None,
    tolerance: ToleranceOption = 1e-5,
    hidden_act: HiddenActOption = None,
    device: DeviceOption = "auto",
    json_: JsonOption = None,
) -> int:
    """Compare hidden states of every layer, in fp32; exit status 0 if equal, 1 if not."""
    from bertmod.convert.verification import compare_sides
    from bertmod.convert.verification_text import render_verification, verification_json
    from bertmod.data.tables import check_output_file, replace_text

    show_warnings()
    texts = _texts(text, text_pair, input_)
    if json_ is not None:
        check_output_file(json_)
    sides = [_opened(name, each, task, hidden_act, device) for name, each in (("A", a), ("B", b))]
    with progress(len(texts), "verify") as advance:
        found = compare_sides(
            *sides, texts=texts, max_length=max_length, tolerance=tolerance, advance=advance
        )
    print(render_verification(found))
    if json_ is not None:
        text_of_json = json.dumps(verification_json(found), indent=2, ensure_ascii=False)
        replace_text(json_, f"{text_of_json}\n")
    return 0 if found.equal else NOT_EQUAL


def _texts(text: str | None, pair: str | None, file: Path | None) -> Sequence[Text]:
    """The texts that are asked for, else the built-in ones."""
    from bertmod.convert.verification import TEXTS
    from bertmod.data.lines import read_lines
    from bertmod.inference.feature_lines import line_parts

    if text is not None and file is not None:
        raise DataError("--text and --input: texts are given by one of the two, not both")
    if text is None and pair is not None:
        raise DataError("--text-pair goes with --text, which is not given")
    if text is not None:
        return [(text, pair)]
    if file is None:
        return TEXTS
    parts = [line_parts(line) for line in read_lines(file)]
    if not parts:
        raise DataError(f"{file}: has no lines")
    return [(part.first, part.second or None) for part in parts]


def _opened(name: str, path: str, task: str | None, hidden_act: str | None, device: str) -> Side:
    """One of the two, and on standard error how it was read."""
    from bertmod.convert.verification import open_side

    side = open_side(
        path, task=task, hidden_act=hidden_act, device=device, registry=invocation().registry
    )
    print(f"{name}: {side.title}", file=sys.stderr)
    for line in (*(f"note: {note}" for note in side.notes), side.report):
        print(line, file=sys.stderr)
    return side
