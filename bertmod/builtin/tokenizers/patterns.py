"""Text to words: what is deleted, what separates words, what stands alone.

Every class of characters is an explicit pattern of code points (``unicode_table``), never the
library's own idea of punctuation or space, which differs from Google's in a few hundred characters
and moves with each release.
"""

from __future__ import annotations

import re

from tokenizers import Regex, normalizers, pre_tokenizers

from bertmod.builtin.tokenizers import unicode_table

CJK = "3400-4DBF 4E00-9FFF F900-FAFF 20000-2A6DF 2A700-2B73F 2B740-2B81F 2B820-2CEAF 2F800-2FA1F"
"""Chinese characters in the sense of BERT: neither kana nor hangul."""

ASCII_SYMBOLS = "21-2F 3A-40 5B-60 7B-7E"
"""ASCII that is neither letter, digit, space nor control: punctuation to BERT, as ``$`` and ``^``
are."""

ALWAYS_DELETED = "0 FFFD"

SEPARATORS = "9-A D 20 2028-2029"
"""With the space separators, what ends a word; the two line separators are spaces to Python's
``split`` alone."""

CAPITAL_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}"
FINAL_SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}"


def normalizer(*, lower_case: bool, drop_unassigned: bool) -> normalizers.Normalizer:
    """Deletes control characters; with ``lower_case`` also capitals and accents.

    Args:
        lower_case: Whether to lower-case, decompose, and delete nonspacing marks. Final sigmas
            must have been replaced before (``SigmaRule``).
        drop_unassigned: Whether every C category is deleted, not Cc and Cf alone.
    """
    steps = [_deleting(_class(_deleted(drop_unassigned)))]
    if lower_case:
        steps += [normalizers.Lowercase(), normalizers.NFD()]
        steps.append(_deleting(_class(unicode_table.NONSPACING_MARK)))
    return normalizers.Sequence(steps)


def final_sigma(*, drop_unassigned: bool) -> normalizers.Normalizer:
    """What ``SigmaRule`` does, as a step of the library's own.

    Args:
        drop_unassigned: As for ``normalizer``.
    """
    skipped = _class(f"{unicode_table.CASE_IGNORABLE} {_deleted(drop_unassigned)}")
    cased = _class(unicode_table.CASED)
    # \K keeps what stands before it out of the match, which is replaced
    pattern = rf"{cased}{skipped}*\K{CAPITAL_SIGMA}(?!{skipped}*{cased})"
    return normalizers.Replace(Regex(pattern), FINAL_SIGMA)


def pre_tokenizer(*, split_cjk: bool) -> pre_tokenizers.PreTokenizer:
    """Cuts a text into words: one alone-standing character each, or all between two separators.

    Args:
        split_cjk: Whether Chinese characters stand alone, as punctuation does.
    """
    alone = f"{ASCII_SYMBOLS} {unicode_table.PUNCTUATION}" + (f" {CJK}" if split_cjk else "")
    separators = f"{SEPARATORS} {unicode_table.SPACE}"
    word = f"{_class(alone)}|{_class(f'{alone} {separators}', but=True)}+"
    # inverted: what matches is kept and what lies between is removed, in one pass
    return pre_tokenizers.Split(Regex(word), behavior="removed", invert=True)


class SigmaRule:
    """Capital sigma at the end of a word to final sigma, as ``str.lower`` does.

    The library lower-cases character by character. Positions stay, so that offsets do.

    Args:
        drop_unassigned: As for ``normalizer``: deleted characters do not end a word.
    """

    def __init__(self, *, drop_unassigned: bool) -> None:
        skipped = _python_class(f"{unicode_table.CASE_IGNORABLE} {_deleted(drop_unassigned)}")
        cased = _python_class(unicode_table.CASED)
        self._pattern = re.compile(f"({cased}{skipped}*){CAPITAL_SIGMA}(?!{skipped}*{cased})")

    def __call__(self, text: str) -> str:
        """The text with its final sigmas in small letters."""
        return self._pattern.sub(rf"\1{FINAL_SIGMA}", text)


def _deleted(drop_unassigned: bool) -> str:
    category = unicode_table.OTHER if drop_unassigned else unicode_table.CONTROL
    return f"{ALWAYS_DELETED} {category}"


def _deleting(pattern: str) -> normalizers.Normalizer:
    return normalizers.Replace(Regex(pattern), "")


def _class(table: str, *, but: bool = False) -> str:
    """A character class in the library's notation; ``but`` for everything outside it."""
    parts = "".join(f"\\x{{{a:X}}}-\\x{{{b:X}}}" for a, b in sorted(unicode_table.ranges(table)))
    return f"[{'^' if but else ''}{parts}]"


def _python_class(table: str) -> str:
    """A character class in the notation of ``re``."""
    return "[" + "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in unicode_table.ranges(table)) + "]"
