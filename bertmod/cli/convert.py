"""``bertmod convert``: a checkpoint of any format in another."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bertmod.cli.checkpoint_options import HiddenActOption
from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings

ToOption = Annotated[
    str,
    typer.Option(
        "--to", metavar="FORMAT", help="bertmod, huggingface, tensorflow, or a plugin's format."
    ),
]
TaskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="ID",
        help="Which of its tasks, all otherwise; for formats that do not name tasks, the id to "
        "give. May be repeated.",
    ),
]
LoaderOption = Annotated[
    str,
    typer.Option(
        "--loader", metavar="NAME", help="What reads SRC; auto: whichever loader knows it."
    ),
]
HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        metavar="NAME",
        help="Head that SRC's classifier is, where the file does not tell: classification, "
        "regression, multi_label, multiple_choice or token_classification.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="A,B,C",
        help="What the labels of SRC's one head are called, in the order of the file.",
    ),
]
EncoderOnlyOption = Annotated[
    bool, typer.Option("--encoder-only", help="Leave heads and adapters out.")
]
MergeOption = Annotated[
    bool,
    typer.Option("--merge", help="Take the task's adapters into the encoder's weights first."),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-unexpected",
        metavar="PATTERN",
        help="Leave out tensors of SRC whose names match, though nothing is known of them. May be "
        "repeated.",
    ),
]
VocabOption = Annotated[
    Path | None,
    typer.Option("--vocab", metavar="FILE", help="Vocabulary, where SRC has none: its vocab.txt."),
]


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="A checkpoint of any format, a run folder, or hf:NAME."),
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; it is new.")],
    to: ToOption,
    task: TaskOption = None,
    loader: LoaderOption = "auto",
    head: HeadOption = None,
    labels: LabelsOption = None,
    encoder_only: EncoderOnlyOption = False,
    merge: MergeOption = False,
    allow_unexpected: AllowOption = None,
    vocab: VocabOption = None,
    hidden_act: HiddenActOption = None,
) -> None:
    """Write a checkpoint again in another format, every value to the bit."""
    from bertmod.convert import convert as convert_checkpoint
    from bertmod.model.report import render_report
    from bertmod.wording import counted

    show_warnings()
    done = convert_checkpoint(
        source,
        target,
        to=to,
        tasks=task or (),
        loader=loader,
        head=head,
        labels=None if labels is None else labels.split(","),
        encoder_only=encoder_only,
        merge=merge,
        allow_unexpected=allow_unexpected or (),
        options=_options(vocab, hidden_act),
        registry=invocation().registry,
    )
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    print(render_report(done.report), file=sys.stderr)
    tasks = f", {counted(len(done.tasks), 'task')}: {', '.join(done.tasks)}" if done.tasks else ""
    print(f"{target}: {done.format}{tasks}", file=sys.stderr)


def _options(vocab: Path | None, hidden_act: str | None) -> dict[str, dict[str, Any]]:
    """What the command line states of the tokenizer and of the encoder."""
    stated: dict[str, dict[str, Any]] = {}
    if vocab is not None:
        stated["tokenizer"] = {"vocab": os.fspath(vocab.absolute())}
    if hidden_act is not None:
        stated["encoder"] = {"hidden_act": hidden_act}
    return stated
