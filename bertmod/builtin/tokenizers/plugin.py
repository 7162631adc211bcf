"""The built-in tokenizer ``wordpiece``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from bertmod import ComponentConfig, DataError, Problem, TokenizerSpec, hookimpl
from bertmod.builtin.tokenizers.vocabulary import (
    find_lower_case,
    read_vocabulary,
    vocabulary_problems,
)

if TYPE_CHECKING:
    from bertmod.builtin.tokenizers.modules import WordPieceTokenizer

BERTMOD_CONTRACT = 1


class WordPieceConfig(ComponentConfig):
    """Options of Google's WordPiece tokenizer."""

    vocab: str | None = Field(
        None,
        description="Path of vocab.txt, one piece a line, UTF-8; null: the checkpoint's, or the "
        "built-in sample's where there is no checkpoint.",
    )
    lower_case: bool | None = Field(
        None,
        description="Whether texts are lower-cased and stripped of accents; null: as the "
        "checkpoint says, else as the vocabulary's letters tell.",
    )
    split_cjk: bool = Field(
        True,
        description="Whether each Chinese character is a word of its own; false as in Bert-n-Pals.",
    )
    drop_unassigned: bool = Field(
        False,
        description="Whether unassigned and private-use characters are dropped like control "
        "characters; true as in Bert-n-Pals.",
    )
    max_word_length: int = Field(
        200,
        ge=1,
        description="Longest word that is cut into pieces, in characters, at least 1; a longer one "
        "becomes [UNK]. 100 in Bert-n-Pals.",
    )


def build(config: WordPieceConfig) -> WordPieceTokenizer:
    """A tokenizer; the vocabulary's path must be filled in.

    Args:
        config: Options; a null ``lower_case`` is found from the vocabulary, lower-casing where
            that does not tell.

    Raises:
        DataError: If the vocabulary cannot be read.
        ValueError: If no vocabulary is named, or it cannot serve.
    """
    from bertmod.builtin.tokenizers.modules import WordPieceTokenizer

    return WordPieceTokenizer(
        read_vocabulary(_path(config)),
        lower_case=complete(config).lower_case is not False,
        split_cjk=config.split_cjk,
        drop_unassigned=config.drop_unassigned,
        max_word_length=config.max_word_length,
    )


def pipeline(config: WordPieceConfig) -> str:
    """The tokenizer as the JSON text of a pipeline of the ``tokenizers`` library.

    Raises:
        DataError: If the vocabulary cannot be read.
        ValueError: If no vocabulary is named, or it cannot serve.
    """
    return build(config).pipeline()


def vocab_size(config: WordPieceConfig) -> int:
    """Entries of the vocabulary.

    Raises:
        DataError: If the vocabulary cannot be read.
        ValueError: If no vocabulary is named.
    """
    return len(read_vocabulary(_path(config)))


def files(config: WordPieceConfig) -> Sequence[str]:
    """The vocabulary's path, if the options name one."""
    return () if config.vocab is None else (config.vocab,)


def check(config: WordPieceConfig) -> Sequence[Problem]:
    """Problems of the vocabulary; none while its path is not filled in."""
    if config.vocab is None:
        return ()
    try:
        pieces = read_vocabulary(config.vocab)
    except DataError as error:
        return (Problem("vocab", str(error), ("it must be the model's vocab.txt",)),)
    return vocabulary_problems(pieces, lower_case=config.lower_case)


def complete(config: WordPieceConfig) -> WordPieceConfig:
    """The options with ``lower_case`` as the vocabulary's letters tell, true where they do not.

    Raises:
        DataError: If the vocabulary cannot be read.
        ValueError: If no vocabulary is named.
    """
    if config.lower_case is not None:
        return config
    lower_case = find_lower_case(read_vocabulary(_path(config))) is not False
    return config.model_copy(update={"lower_case": lower_case})


def _path(config: WordPieceConfig) -> str:
    if config.vocab is None:
        raise ValueError("tokenizer.vocab is null: the recipe is not resolved")
    return config.vocab


@hookimpl
def bertmod_tokenizers() -> Iterator[TokenizerSpec]:
    """The tokenizer that BERT's checkpoints use."""
    yield TokenizerSpec(
        name="wordpiece",
        config=WordPieceConfig,
        build=build,
        vocab_size=vocab_size,
        files=files,
        complete=complete,
        check=check,
        pipeline=pipeline,
        summary="Google's WordPiece: splits off punctuation, then longest match first.",
        source="google-research/bert tokenization.py; Wu et al. 2016, arXiv:1609.08144",
    )
