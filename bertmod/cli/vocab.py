"""``bertmod vocab``: text to a vocabulary, or a vocabulary looked at or extended over text."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import progress
from bertmod.cli.vocab_options import (
    AlphabetOption,
    CheckOption,
    CheckpointOption,
    CorpusArgument,
    ExtendOption,
    FrequencyOption,
    LowerCaseOption,
    OutputOption,
    SizeOption,
    ToOption,
    UnusedOption,
    WordsOption,
)
from bertmod.errors import DataError
from bertmod.wording import counted, listed, table

if TYPE_CHECKING:
    from bertmod.pretraining.tokenizer_slot import TokenizerSlot
    from bertmod.pretraining.vocabularies import Extended

MODES = {
    "--size": (("--size", "--output"), ("--unused", "--alphabet")),
    "--check": ((), ()),
    "--checkpoint": (("--output",), ("--extend", "--words", "--to")),
    "--extend": (("--output",), ("--words",)),
}
"""Option that says what is asked for, to the options that it needs and those that it takes."""

OTHERS = "--check VOCAB looks at a vocabulary; --extend VOCAB and --checkpoint CKPT add to one"

SHOWN_WORDS = 10
"""New words that are shown."""


def vocab(
    corpus: CorpusArgument,
    size: SizeOption = None,
    output: OutputOption = None,
    do_lower_case: LowerCaseOption = None,
    unused: UnusedOption = None,
    min_frequency: FrequencyOption = 2,
    alphabet: AlphabetOption = None,
    check: CheckOption = None,
    extend: ExtendOption = None,
    words: WordsOption = None,
    checkpoint: CheckpointOption = None,
    to: ToOption = None,
) -> None:
    """Learn a WordPiece vocabulary from text, or look at one, or extend it."""
    show_warnings()
    given: dict[str, Any] = {
        **{"--size": size, "--output": output, "--unused": unused, "--alphabet": alphabet},
        **{"--check": check, "--extend": extend, "--words": words},
        **{"--checkpoint": checkpoint, "--to": to},
    }
    stated = {option: value for option, value in given.items() if value is not None}
    mode = next((option for option in [*MODES][1:] if option in stated), "--size")
    _refuse(mode, stated)
    wanted = {"num_words": words, "min_frequency": min_frequency}
    if check is not None:
        _check(corpus, _slot(check, do_lower_case))
    elif checkpoint is not None:
        options = {"vocab": extend and str(extend.absolute()), "lower_case": do_lower_case}
        _extend_checkpoint(corpus, options, stated, wanted)
    elif extend is not None:
        _extend(corpus, _slot(extend, do_lower_case), stated["--output"], wanted)
    else:
        optional = {"unused": unused, "alphabet": alphabet, "lower_case": do_lower_case}
        chosen = {name: value for name, value in optional.items() if value is not None}
        _learn(corpus, stated["--output"], stated["--size"], min_frequency, chosen)


def _refuse(mode: str, stated: Mapping[str, Any]) -> None:
    """Refuse options that are not of what is asked for, and miss those that it needs."""
    needs, takes = MODES[mode]
    what = "a new vocabulary" if mode == "--size" else mode
    if missing := [option for option in needs if option not in stated]:
        other = f"\n  {OTHERS}" if mode == "--size" else ""
        raise DataError(f"{listed(missing)}: wanted for {what}{other}")
    if foreign := [option for option in stated if option not in (mode, *needs, *takes)]:
        raise DataError(f"{listed(foreign)}: not for {what}; leave it out")


def _slot(path: Path, lower_case: bool | None) -> TokenizerSlot:
    from bertmod.pretraining.tokenizer_slot import wordpiece

    return wordpiece(invocation().registry, path, lower_case=lower_case)


def _learn(
    corpus: list[str], output: Path, size: int, min_frequency: int, chosen: Mapping[str, Any]
) -> None:
    from bertmod.pretraining.learning import VocabularyOptions
    from bertmod.pretraining.vocabularies import learn_vocabulary

    learned, told = learn_vocabulary(
        corpus,
        output,
        VocabularyOptions(size=size, min_frequency=min_frequency, **chosen),
        registry=invocation().registry,
        progress=progress,
    )
    for line in told.lines():
        print(line, file=sys.stderr)
    if learned.alphabet < learned.characters:
        left = learned.characters - learned.alphabet
        print(
            f"warning: --alphabet left {counted(left, 'character')} of {learned.characters:,} out; "
            "words with one of them are [UNK]",
            file=sys.stderr,
        )
    print(f"{output}: {counted(len(learned.pieces), 'piece')}", file=sys.stderr)


def _check(corpus: list[str], slot: TokenizerSlot) -> None:
    from bertmod.pretraining.vocabularies import check_vocabulary

    for line in check_vocabulary(corpus, slot, progress=progress).lines():
        print(line)


def _extend(
    corpus: list[str], slot: TokenizerSlot, output: Path, wanted: Mapping[str, Any]
) -> None:
    from bertmod.pretraining.vocabularies import (
        extend_vocabulary,
        require_new_output,
        vocabulary_file,
        write_vocabulary,
    )

    require_new_output(output)
    done = extend_vocabulary(corpus, slot, **wanted, progress=progress)
    with vocabulary_file(done.placed.pieces) as path:
        write_vocabulary(output, slot.with_vocab(path))
    _tell(done, output)


def _extend_checkpoint(
    corpus: list[str],
    tokenizer: Mapping[str, Any],
    stated: Mapping[str, Any],
    wanted: Mapping[str, Any],
) -> None:
    """Write a checkpoint whose vocabulary has taken words in."""
    from bertmod.convert.conversion import convert, writable
    from bertmod.convert.extended import Extension
    from bertmod.data.new_folder import require_new
    from bertmod.pretraining.tokenizer_slot import TokenizerSlot
    from bertmod.pretraining.vocabularies import extend_vocabulary, vocabulary_file
    from bertmod.recipe.opened import open_checkpoint

    registry, output = invocation().registry, stated["--output"]
    path, to = stated["--checkpoint"], stated.get("--to", "huggingface")
    writable(registry, to)
    require_new(output)
    options = {"tokenizer": {key: each for key, each in tokenizer.items() if each is not None}}
    own = open_checkpoint(path, registry=registry, options=options).tokenizer
    slot = TokenizerSlot(own.full_name, own.spec, own.config)
    done = extend_vocabulary(corpus, slot, **wanted, progress=progress)
    with vocabulary_file(done.placed.pieces) as file:
        extension = Extension(file, len(done.placed.pieces), done.placed.made_of)
        copy = convert(path, output, to=to, options=options, extension=extension, registry=registry)
    for note in copy.notes:
        print(f"note: {note}", file=sys.stderr)
    _tell(done, output)


def _tell(done: Extended, output: Path) -> None:
    """Say what an extended vocabulary is like."""
    words, before, after = done.placed.words, done.before, done.after
    more = " ..." if len(words) > SHOWN_WORDS else ""
    rows = [
        ("", "before", "after"),
        ("pieces a word", f"{before.fertility:.3f}", f"{after.fertility:.3f}"),
        ("whole words", f"{before.whole_share:.1%}", f"{after.whole_share:.1%}"),
        ("unknown words", f"{before.unknown_rate:.3%}", f"{after.unknown_rate:.3%}"),
    ]
    for line in table(rows, right={1, 2}):
        print(line, file=sys.stderr)
    print(f"new: {' '.join(words[:SHOWN_WORDS])}{more}", file=sys.stderr)
    placed = counted(len(words), "word")
    appended = f", {done.placed.appended:,} of them appended" if done.placed.appended else ""
    print(f"{output}: {placed} put in{appended}", file=sys.stderr)
