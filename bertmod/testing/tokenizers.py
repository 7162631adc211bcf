"""What a tokenizer promises."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.contracts.tokenizer import PieceTable, RowTable
from bertmod.testing.subject import Subject, require
from bertmod.wording import listed, shown

TEXTS = (
    "The students said that the river was cold.",
    "",
    "It's a test, isn't it?  Yes!",
    "unaffable naïve café ΣΊΣΥΦΟΣ 東京 \U0001f600",
    "[CLS] [SEP] [MASK] are words here",
    "\t \n",
    "a" * 300,
)
"""Texts of all sorts: empty, accents, characters beyond 16 bits, special tokens, a long word."""


def build(subject: Subject) -> Any:
    """The tokenizer."""
    return subject.spec.build(subject.config)


def vocabulary(subject: Subject) -> None:
    """vocab_size is what its spec says; special ids and the ids of all pieces lie below it; pieces
    gives an entry for every id.
    """
    tokenizer, told = build(subject), subject.spec.vocab_size(subject.config)
    size = tokenizer.vocab_size
    require(size == told, f"vocab_size is {size}, its spec says {told}")
    odd = [name for name, id_ in tokenizer.special.items() if not 0 <= id_ < size]
    require(not odd, f"special ids of {listed(odd)} are outside the vocabulary")
    lost = [name for name in ("[CLS]", "[SEP]") if name not in tokenizer.special]
    require(not lost, f"special lacks {listed(lost)}, which rows need")
    ids = tokenizer.texts(TEXTS).ids
    require(((ids >= 0) & (ids < size)).all(), "a piece's id is outside the vocabulary")
    entries = tokenizer.pieces(ids.tolist())
    require(len(entries) == len(ids), f"{len(entries)} pieces for {len(ids)} ids")


def piece_tables(subject: Subject) -> None:
    """texts gives bounds that begin at 0, never fall and end at the number of pieces; offsets lie
    inside the text, in order; words count from 0, without gaps; an empty text has no pieces.
    """
    tokenizer = build(subject)
    table = tokenizer.texts(TEXTS)
    _require_table(table, len(TEXTS))
    for index, text in enumerate(TEXTS):
        part = slice(table.bounds[index], table.bounds[index + 1])
        told = f"text {shown(text)}"
        starts, ends = table.offsets[part, 0], table.offsets[part, 1]
        inside = ((starts >= 0) & (starts <= ends) & (ends <= len(text))).all()
        require(inside, f"{told}: an offset lies outside of it")
        require((np.diff(starts) >= 0).all(), f"{told}: offsets are not in order")
        words = table.words[part]
        rising = not len(words) or (words[0] == 0 and set(np.diff(words)) <= {0, 1})
        require(rising, f"{told}: words are {words.tolist()}, not 0, 1, 2 ... in order")
    require(table.bounds[1] == table.bounds[2], "an empty text has pieces")
    require(len(tokenizer.texts([])) == 0, "no texts give a table that is not empty")


def given_words(subject: Subject) -> None:
    """words takes texts already split: each piece names the given word that it belongs to, with
    offsets inside that word.
    """
    tokenizer = build(subject)
    sentences = [["The", "students", "didn't", "speak", "."], [], ["東京", "", "café"]]
    table = tokenizer.words(sentences)
    _require_table(table, len(sentences))
    for index, sentence in enumerate(sentences):
        part = slice(table.bounds[index], table.bounds[index + 1])
        for word, (start, end) in zip(table.words[part], table.offsets[part], strict=True):
            require(0 <= word < len(sentence), f"a piece names word {word} of {len(sentence)}")
            inside = 0 <= start <= end <= len(sentence[word])
            require(inside, f'a piece lies at {start} to {end} of "{sentence[word]}"')


def texts_independent(subject: Subject) -> None:
    """A text's pieces do not depend on the texts beside it, and are the same every time; special
    tokens inside a text are plain text.
    """
    tokenizer = build(subject)
    together = tokenizer.texts(TEXTS)
    for index, text in enumerate(TEXTS):
        own = together.ids[together.bounds[index] : together.bounds[index + 1]]
        alone = tokenizer.texts([text]).ids
        require(np.array_equal(own, alone), f"{shown(text)} has other pieces when it is alone")
    special = {tokenizer.special[name] for name in ("[CLS]", "[SEP]")}
    inside = special & set(tokenizer.texts([TEXTS[4]]).ids.tolist())
    require(not inside, '"[SEP]" inside a text becomes the special token')


def row_layout(subject: Subject) -> None:
    """rows are [CLS] A [SEP] or [CLS] A [SEP] B [SEP], segment 0 up to the first [SEP] and 1
    behind it; a second text without pieces is dropped with its [SEP].
    """
    tokenizer = build(subject)
    first, second = tokenizer.texts(TEXTS), tokenizer.texts(TEXTS[::-1])
    cls, sep = tokenizer.special["[CLS]"], tokenizer.special["[SEP]"]
    for other in (None, second):
        rows = tokenizer.rows(first, other, max_length=1000)
        require(len(rows) == len(TEXTS), f"{len(rows)} rows for {len(TEXTS)} texts")
        require(not rows.truncated.any(), "a row with room enough says that it was truncated")
        for index in range(len(TEXTS)):
            head = [cls, *_ids(first, index), sep]
            tail = [] if other is None else _ids(other, index)
            tail = [*tail, sep] if tail else []
            ids, types = _row(rows, index)
            require(ids == [*head, *tail], f"row {index} is {ids}, not {[*head, *tail]}")
            wanted = [0] * len(head) + [1] * len(tail)
            require(types == wanted, f"row {index} has segments {types}, not {wanted}")


def truncation(subject: Subject) -> None:
    """No row is longer than max_length, special tokens counted; the longer text of a pair loses
    pieces from its end, on a tie the second; truncated says whether any were cut.
    """
    tokenizer = build(subject)
    first, second = tokenizer.texts(TEXTS), tokenizer.texts(TEXTS[::-1])
    for max_length in (3, 5, 8):
        for other in (None, second):
            rows = tokenizer.rows(first, other, max_length=max_length)
            for index in range(len(TEXTS)):
                ids, _ = _row(rows, index)
                told = f"row {index} with max_length {max_length}"
                require(len(ids) <= max_length, f"{told} has {len(ids)} tokens")
                a, b = _ids(first, index), _ids(other, index) if other is not None else []
                kept = _kept(len(a), len(b), max_length)
                wanted = (len(a), len(b)) != kept
                require(bool(rows.truncated[index]) == wanted, f"{told}: truncated is wrong")
                length = 2 + kept[0] + (kept[1] + 1 if kept[1] else 0)
                require(len(ids) == length, f"{told} has {len(ids)} tokens, not {length}")
                require(ids[1 : 1 + kept[0]] == a[: kept[0]], f"{told} lost the wrong pieces")


def same_again(subject: Subject) -> None:
    """Built again from the same options it has the same fingerprint and gives the same pieces."""
    one, other = build(subject), build(subject)
    mark = one.fingerprint
    require(isinstance(mark, str) and mark, f"fingerprint is {mark!r}")
    require(mark == other.fingerprint, "two builds have different fingerprints")
    same = np.array_equal(one.texts(TEXTS).ids, other.texts(TEXTS).ids)
    require(same, "two builds give different pieces")
    require(one.fingerprint == mark, "using it changes its fingerprint")


def files_round_trip(subject: Subject) -> None:
    """files gives what makes the same tokenizer again: written beside an encoder, with the option
    vocab naming the first of them, it has the same fingerprint; files of the spec exist.
    """
    tokenizer, config = build(subject), subject.config
    lost = [path for path in subject.spec.files(config) if not Path(path).is_file()]
    require(not lost, f"files of the spec names {listed(lost)}, which is not there")
    contents = tokenizer.files()
    odd = [name for name in contents if Path(name).name != name]
    require(not odd, f"files names {listed(odd)}, which is no plain file name")
    if "vocab" not in type(config).model_fields or not contents:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            (Path(folder) / name).write_bytes(content)
        path = str(Path(folder) / next(iter(contents)))
        again = subject.spec.build(config.model_copy(update={"vocab": path}))
        same = again.fingerprint == tokenizer.fingerprint
        require(same, "made again from its files it has another fingerprint")


def pipeline(subject: Subject) -> None:
    """The pipeline of the spec, if it has one, gives the same pieces in the library tokenizers."""
    if subject.spec.pipeline is None:
        return
    from tokenizers import Tokenizer

    library = Tokenizer.from_str(subject.spec.pipeline(subject.config))
    table = build(subject).texts(TEXTS)
    for index, text in enumerate(TEXTS):
        found = library.encode(text, add_special_tokens=False).ids
        same = found == _ids(table, index)
        require(same, f"the pipeline cuts text {shown(text)} into other pieces")


CHECKS = (
    vocabulary,
    piece_tables,
    given_words,
    texts_independent,
    row_layout,
    truncation,
    same_again,
    files_round_trip,
    pipeline,
)


def _require_table(table: PieceTable, count: int) -> None:
    bounds, pieces = table.bounds, len(table.ids)
    require(len(bounds) == count + 1, f"{len(bounds)} bounds for {count} texts")
    right = bounds[0] == 0 and bounds[-1] == pieces and (np.diff(bounds) >= 0).all()
    require(right, f"bounds {bounds.tolist()} do not divide {pieces} pieces")
    require(table.offsets.shape == (pieces, 2), f"offsets have shape {table.offsets.shape}")
    require(table.words.shape == (pieces,), f"words have shape {table.words.shape}")


def _ids(table: PieceTable, index: int) -> list[int]:
    ids: list[int] = table.ids[table.bounds[index] : table.bounds[index + 1]].tolist()
    return ids


def _row(rows: RowTable, index: int) -> tuple[list[int], list[int]]:
    part = slice(rows.bounds[index], rows.bounds[index + 1])
    return rows.input_ids[part].tolist(), rows.token_type_ids[part].tolist()


def _kept(first: int, second: int, max_length: int) -> tuple[int, int]:
    """Pieces that a pair keeps, one taken away at a time."""
    budget: int = max_length - 2 - (1 if second else 0)
    lengths: Sequence[int] = [first, second]
    a, b = lengths
    while a + b > budget:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    return a, b
