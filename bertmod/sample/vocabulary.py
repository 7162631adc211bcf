"""The sample's WordPiece vocabulary, in the order of BERT's own files."""

import re
import string
from collections.abc import Iterable

NUM_UNUSED = 10
SUFFIXES = (
    "s",
    "es",
    "ed",
    "d",
    "ing",
    "er",
    "est",
    "ly",
    "ness",
    "ment",
    "tion",
    "al",
    "en",
    "y",
    "r",
    "less",
    "ful",
)

_WORD = re.compile(r"[a-z0-9]+")


def vocabulary(texts: Iterable[str]) -> list[str]:
    """Give the pieces that cover every text: whole words of its own, characters for the rest.

    Args:
        texts: All texts of the sample; letters are lower-cased.

    Returns:
        Pieces in file order, no two equal; ``[PAD]`` is first.
    """
    letters = string.ascii_lowercase + string.digits
    pieces = ["[PAD]", *(f"[unused{number}]" for number in range(NUM_UNUSED))]
    pieces += ["[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *letters]
    pieces += [f"##{letter}" for letter in letters]
    pieces += [f"##{suffix}" for suffix in SUFFIXES]
    pieces += sorted({word for text in texts for word in _WORD.findall(text.lower())})
    return list(dict.fromkeys(pieces))
