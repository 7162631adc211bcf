"""Vocabularies learned from text, looked at over text, and extended by its words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.durable import write_file
from bertmod.data.new_folder import new_folder, require_new
from bertmod.data.tables import check_output_file
from bertmod.errors import DataError
from bertmod.model.tokenizer_files import tokenizer_files
from bertmod.pretraining.extending import Placed, place_words
from bertmod.pretraining.fertility import Fertility, fertility
from bertmod.pretraining.learning import Learned, VocabularyOptions, learn_pieces, marks
from bertmod.pretraining.progress import Progress, no_progress
from bertmod.pretraining.tokenizer_slot import Installed, TokenizerSlot, wordpiece
from bertmod.pretraining.word_counts import count_words, no_room, temporary_folder

MAX_LENGTH = 512
"""Longest row that the tokenizer's files tell of, tokens: that of every model of Google's."""

VOCABULARY = "vocab.txt"


@dataclass(frozen=True)
class Extended:
    """A vocabulary that took words in.

    Attributes:
        placed: The new vocabulary.
        before: How the old one cut the corpus.
        after: How the new one does.
    """

    placed: Placed
    before: Fertility
    after: Fertility


def learn_vocabulary(
    corpus: Sequence[str],
    out: Path,
    options: VocabularyOptions,
    *,
    registry: Installed,
    progress: Progress = no_progress,
) -> tuple[Learned, Fertility]:
    """Learn a WordPiece vocabulary from text and write it.

    The file is a function of the text and the options alone: neither machine nor number of
    threads changes a byte.

    Args:
        corpus: UTF-8 text files and glob patterns.
        out: A file whose name ends in ``.txt``, or a folder that transformers' ``AutoTokenizer``
            loads; new.
        options: What it is to be like.
        registry: What is installed.
        progress: Shows how far it is.

    Returns:
        The vocabulary, and how it cuts the corpus.

    Raises:
        DataError: If input, options or output cannot serve.
        TrainingError: If the disk is full.
    """
    require_new_output(out)
    with temporary_folder() as name, vocabulary_file(marks(0)) as small:
        slot = wordpiece(registry, small, lower_case=options.lower_case)
        counts = count_words(corpus, slot.splitter(), Path(name), progress=progress)
        learned = learn_pieces(counts, options, progress=progress)
        with vocabulary_file(learned.pieces) as path:
            slot = slot.with_vocab(path)
            told = fertility(counts, slot.build())
            write_vocabulary(out, slot)
    return learned, told


def check_vocabulary(
    corpus: Sequence[str], slot: TokenizerSlot, *, progress: Progress = no_progress
) -> Fertility:
    """How a tokenizer's vocabulary cuts the words of text.

    Args:
        corpus: UTF-8 text files and glob patterns.
        slot: The tokenizer.
        progress: Shows how far it is.

    Raises:
        DataError: If the input cannot serve.
        TrainingError: If the disk is full.
    """
    with temporary_folder() as name:
        counts = count_words(corpus, slot.splitter(), Path(name), progress=progress)
        return fertility(counts, slot.build())


def extend_vocabulary(
    corpus: Sequence[str],
    slot: TokenizerSlot,
    *,
    num_words: int | None = None,
    min_frequency: int = 2,
    progress: Progress = no_progress,
) -> Extended:
    """Words of text put into the unused places of a vocabulary, as ``place_words`` says.

    Args:
        corpus: UTF-8 text files and glob patterns.
        slot: The tokenizer with the vocabulary.
        num_words: Words to put in, at most; None: as many as there are unused places.
        min_frequency: How often a word must occur.
        progress: Shows how far it is.

    Raises:
        DataError: If the input cannot serve, or there is no place or no word.
        TrainingError: If the disk is full.
    """
    tokenizer = slot.build()
    pieces = vocabulary_of(tokenizer)
    with temporary_folder() as name:
        counts = count_words(corpus, slot.splitter(), Path(name), progress=progress)
        placed = place_words(
            counts,
            tokenizer,
            pieces,
            num_words=num_words,
            min_frequency=min_frequency,
            title=slot.path,
        )
        with vocabulary_file(placed.pieces) as path:
            after = fertility(counts, slot.with_vocab(path).build())
        return Extended(placed, fertility(counts, tokenizer), after)


def write_vocabulary(out: Path, slot: TokenizerSlot) -> None:
    """Write a vocabulary in one instant, as a file or with what transformers wants beside it.

    Args:
        out: A file whose name ends in ``.txt``, or a folder; new.
        slot: The tokenizer with the vocabulary.

    Raises:
        DataError: If there is something, or it cannot be written.
    """
    require_new_output(out)
    text = "".join(f"{piece}\n" for piece in vocabulary_of(slot.build())).encode()
    if _is_file(out):
        try:
            write_file(out, text)
        except OSError as error:
            raise DataError(f"{out}: cannot be written: {error.strerror or error}") from error
        return
    own = {"name": slot.name, **slot.config.model_dump(mode="json"), "vocab": VOCABULARY}
    files = tokenizer_files(
        own, {VOCABULARY: text}, pipeline=slot.pipeline(), max_length=MAX_LENGTH
    )
    with new_folder(out) as writing:
        for name, content in files.items():
            (writing / name).write_bytes(content)


def require_new_output(out: Path) -> None:
    """Refuse a place where no vocabulary can be written.

    Raises:
        DataError: If there is something already, or no folder to write it in.
    """
    if not _is_file(out):
        require_new(out)
        return
    check_output_file(out)
    if os.path.lexists(out):
        raise DataError(f"{out}: exists already; name another, or remove it")


def vocabulary_of(tokenizer: Tokenizer) -> list[str]:
    """The pieces of a tokenizer, in the order of their indices."""
    return tokenizer.pieces(range(tokenizer.vocab_size))


@contextmanager
def vocabulary_file(pieces: Sequence[str]) -> Iterator[Path]:
    """A vocabulary as a file, which tokenizers are built from, while the block lasts.

    Raises:
        TrainingError: If the disk is full.
    """
    with temporary_folder() as folder:
        path = Path(folder) / VOCABULARY
        try:
            path.write_bytes("".join(f"{piece}\n" for piece in pieces).encode())
        except OSError as error:
            raise no_room(path, error) from error
        yield path


def _is_file(out: Path) -> bool:
    return out.suffix == ".txt"
