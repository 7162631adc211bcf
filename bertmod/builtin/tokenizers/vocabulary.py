"""Vocabulary files: one piece a line, its index the line's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from bertmod.errors import DataError, Problem

NEEDED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
SPECIAL = (*NEEDED, "[MASK]")

CASED_SHARE = 0.01
"""Share of pieces with an upper-case letter from which a vocabulary counts as cased: real cased
ones have 0.16 and more, uncased ones a few markers at most."""

ALPHABETIC_SHARE = 0.5
"""Share of pieces with a lower-case letter from which casing matters to a vocabulary: a Chinese one
serves with either."""


def read_vocabulary(path: str) -> list[str]:
    r"""Pieces of a vocabulary file in the order of their indices.

    Lines end at ``\n`` alone: other line separators of Unicode are pieces in the Chinese
    vocabulary. A final newline makes no piece; blanks and carriage returns around a piece are
    not part of it.

    Args:
        path: The file, UTF-8.

    Raises:
        DataError: If the file is missing, cannot be read, or is not UTF-8.

    Source: google-research/bert tokenization.py, for one index a line.
    """
    try:
        text = Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not a vocabulary in UTF-8 (byte {error.start} cannot be decoded)"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: the vocabulary cannot be read: {error.strerror}") from None
    lines = text.removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.strip(" \t\r") for line in lines]


def find_lower_case(pieces: Iterable[str]) -> bool | None:
    """Whether texts must be lower-cased for a vocabulary, judged by its letters.

    Args:
        pieces: The vocabulary; pieces in square or angle brackets are not judged.

    Returns:
        True if no piece has an upper-case letter, False if enough have one, None if so few have
        one that it cannot be told.
    """
    share = _share_upper(_words(pieces))
    if share == 0:
        return True
    return False if share >= CASED_SHARE else None


def vocabulary_problems(pieces: Sequence[str], *, lower_case: bool | None) -> list[Problem]:
    """Everything wrong with a vocabulary, with paths relative to the tokenizer's options.

    Args:
        pieces: The vocabulary, in the order of the indices.
        lower_case: What the recipe or the checkpoint states; None if nothing.
    """
    if not any(pieces):
        return [Problem("vocab", "the vocabulary is empty", ("it needs one piece a line",))]
    return [
        *_duplicates(pieces),
        *_missing(pieces),
        *_casing(pieces, lower_case),
    ]


def _duplicates(pieces: Sequence[str]) -> list[Problem]:
    repeated = [piece for piece, times in Counter(pieces).items() if times > 1]
    if not repeated:
        return []
    first = repeated[0]
    lines = [str(number) for number, piece in enumerate(pieces, 1) if piece == first]
    more = [f"the first: {first!r} on lines {', '.join(lines[:4])}"]
    more.append("a piece has one index: remove the repetitions, keeping the model's line count")
    many = f"{len(repeated):,} pieces stand" if len(repeated) > 1 else "1 piece stands"
    return [Problem("vocab", f"{many} on more than one line", tuple(more))]


def _missing(pieces: Sequence[str]) -> list[Problem]:
    known = set(pieces)
    missing = [name for name in NEEDED if name not in known]
    if not missing:
        return []
    what = f"the vocabulary lacks {', '.join(missing)}"
    more = (
        f"a BERT vocabulary has {', '.join(NEEDED)}, each on a line of its own",
        "is this the vocab.txt that came with the model?",
    )
    return [Problem("vocab", what, more)]


def _casing(pieces: Sequence[str], lower_case: bool | None) -> list[Problem]:
    words = _words(pieces)
    upper = _share_upper(words)
    counted = f"{sum(map(_has_upper, words))} of {len(pieces)} pieces have an upper-case letter"
    if lower_case is None and 0 < upper < CASED_SHARE:
        what = "the vocabulary does not tell whether it is cased"
        return [Problem("lower_case", what, (counted, "state lower_case: true or false"))]
    if lower_case is True and upper >= CASED_SHARE:
        what = "true, but the vocabulary is cased"
        more = (counted, "lower-cased texts would never reach them: use false, or leave it out")
        return [Problem("lower_case", what, more)]
    if lower_case is False and upper == 0 and _share_lower(words) >= ALPHABETIC_SHARE:
        what = "false, but the vocabulary is lower-case"
        more = (counted, "words with capitals would become [UNK]: use true, or leave it out")
        return [Problem("lower_case", what, more)]
    return []


def _words(pieces: Iterable[str]) -> list[str]:
    """Pieces without markers such as ``[CLS]``, ``[unused1]`` and ``<S>``."""
    markers = {("[", "]"), ("<", ">")}
    return [piece for piece in pieces if (piece[:1], piece[-1:]) not in markers]


def _share_upper(words: Sequence[str]) -> float:
    return sum(map(_has_upper, words)) / max(len(words), 1)


def _share_lower(words: Sequence[str]) -> float:
    return sum(word != word.upper() for word in words) / max(len(words), 1)


def _has_upper(word: str) -> bool:
    return word != word.lower()
