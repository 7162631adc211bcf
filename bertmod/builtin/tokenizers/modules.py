"""Google's WordPiece on the Rust library ``tokenizers``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
from tokenizers import Encoding, models, normalizers
from tokenizers import Tokenizer as Pipeline

from bertmod.builtin.tokenizers import patterns, unicode_table
from bertmod.builtin.tokenizers.layout import lay_rows
from bertmod.builtin.tokenizers.vocabulary import SPECIAL
from bertmod.contracts.tokenizer import PieceTable, RowTable
from bertmod.data.ragged import bounds_of

CHUNK = 256
"""Texts given to the library at once: its own records take a few kB a text."""

SURROGATE = re.compile("[\ud800-\udfff]")
NONCHARACTER = "\U0010ffff"
"""Stands for a lone surrogate, which the library cannot take: as unknown, as unassigned."""


class WordPieceTokenizer:
    """Text to the pieces that BERT was trained on, special tokens inside a text being plain text.

    A text loses control characters, is lower-cased and stripped of accents if asked, is cut into
    words at spaces and around punctuation and Chinese characters, and each word into the longest
    pieces from the left; a word that cannot be cut is [UNK]. The object has no state and may be
    used by several threads at once.

    Args:
        pieces: The vocabulary, in the order of the indices; has [UNK], [CLS] and [SEP].
        lower_case: Whether texts are lower-cased and stripped of accents.
        split_cjk: Whether each Chinese character is a word of its own.
        drop_unassigned: Whether unassigned and private-use characters are dropped.
        max_word_length: Longest word that is cut into pieces, in characters; longer ones are [UNK].

    Raises:
        ValueError: If a piece stands twice, or a special token that rows need is missing.

    Source: google-research/bert tokenization.py (eedf571).
    """

    def __init__(
        self,
        pieces: Sequence[str],
        *,
        lower_case: bool,
        split_cjk: bool = True,
        drop_unassigned: bool = False,
        max_word_length: int = 200,
    ) -> None:
        self._pieces = tuple(pieces)
        self._options = {
            "lower_case": lower_case,
            "split_cjk": split_cjk,
            "drop_unassigned": drop_unassigned,
            "max_word_length": max_word_length,
        }
        index = _index(self._pieces)
        self.special: Mapping[str, int] = MappingProxyType(
            {name: index[name] for name in SPECIAL if name in index}
        )
        self._sigma = patterns.SigmaRule(drop_unassigned=drop_unassigned) if lower_case else None
        self._pipeline = Pipeline(
            models.WordPiece(index, unk_token="[UNK]", max_input_chars_per_word=max_word_length)
        )
        self._pipeline.normalizer = patterns.normalizer(
            lower_case=lower_case, drop_unassigned=drop_unassigned
        )
        self._pipeline.pre_tokenizer = patterns.pre_tokenizer(split_cjk=split_cjk)
        self._begins_word_V = np.array([not piece.startswith("##") for piece in self._pieces])

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self._pieces, self._options)

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over options, vocabulary and Unicode version, hexadecimal."""
        options = json.dumps({**self._options, "unicode": unicode_table.VERSION}, sort_keys=True)
        return hashlib.sha256(f"wordpiece {options}\n{self._text()}".encode()).hexdigest()

    def texts(self, texts: Sequence[str]) -> PieceTable:
        """Pieces of whole texts; special tokens inside a text are plain text.

        Offsets count characters of the texts as they were given.
        """
        return self._whole(texts, self._pipeline.encode_batch, _offsets)

    def unplaced(self, texts: Sequence[str]) -> PieceTable:
        """What ``texts`` gives, but offsets that are all 0, which the library makes faster."""
        return self._whole(texts, self._pipeline.encode_batch_fast, None)

    def _whole(
        self,
        texts: Sequence[str],
        encode: Callable[..., list[Encoding]],
        offsets_of: Callable[[Sequence[Encoding]], np.ndarray] | None,
    ) -> PieceTable:
        ids, offsets, lengths = [], [], []
        for encodings in self._encoded(texts, encode):
            ids.append(_ids(encodings))
            if offsets_of is not None:
                offsets.append(offsets_of(encodings))
            lengths += [len(encoding) for encoding in encodings]
        bounds = bounds_of(lengths)
        all_ids = _joined(ids, (0,))
        nowhere = (len(all_ids), 2) if offsets_of is None else (0, 2)
        return PieceTable(
            ids=all_ids,
            offsets=_joined(offsets, nowhere),
            words=_counted_words(self._begins_word_V[all_ids], bounds),
            bounds=bounds,
        )

    def _encoded(
        self, texts: Sequence[str], encode: Callable[..., list[Encoding]]
    ) -> Iterator[list[Encoding]]:
        """Records of a chunk after the other; the next ones are made while some are read."""
        chunks = (
            [self._prepared(text) for text in texts[start : start + CHUNK]]
            for start in range(0, len(texts), CHUNK)
        )
        if len(texts) <= CHUNK:
            yield from (encode(chunk, add_special_tokens=False) for chunk in chunks)
            return
        with ThreadPoolExecutor(1) as beside:
            coming = beside.submit(encode, next(chunks), add_special_tokens=False)
            for chunk in chunks:
                ready, coming = coming, beside.submit(encode, chunk, add_special_tokens=False)
                yield ready.result()
            yield coming.result()

    def words(self, sentences: Sequence[Sequence[str]]) -> PieceTable:
        """Pieces of texts already split into words; ``words`` counts the given words.

        Offsets count characters of the given word. A word of which nothing is left has no piece.
        """
        ids, offsets, words, lengths = [], [], [], []
        for start in range(0, len(sentences), CHUNK):
            given = [[self._prepared(word) for word in s] for s in sentences[start : start + CHUNK]]
            encodings = self._pipeline.encode_batch(
                given, is_pretokenized=True, add_special_tokens=False
            )
            ids.append(_ids(encodings))
            offsets.append(_offsets(encodings))
            words.append(_flat(encoding.word_ids for encoding in encodings))
            lengths += [len(encoding) for encoding in encodings]
        return PieceTable(
            ids=_joined(ids, (0,)),
            offsets=_joined(offsets, (0, 2)),
            words=_joined(words, (0,)),
            bounds=bounds_of(lengths),
        )

    def rows(self, first: PieceTable, second: PieceTable | None, *, max_length: int) -> RowTable:
        """Rows of single texts or pairs: ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.

        Args:
            first: First texts.
            second: Second texts, as many, or None; one without pieces is dropped with its [SEP].
            max_length: Longest row in tokens, special tokens counted, at least 2. The longer text
                of a pair loses pieces from its end, on a tie the second.

        Raises:
            ValueError: If ``max_length`` is below 2, or the numbers of texts differ.
        """
        return lay_rows(
            first,
            second,
            max_length=max_length,
            cls=self.special["[CLS]"],
            sep=self.special["[SEP]"],
        )

    def basic(self, text: str) -> list[str]:
        """Words of a text before they are cut into pieces, lower-cased if texts are."""
        normal = self._pipeline.normalizer.normalize_str(self._prepared(text))
        return [word for word, _ in self._pipeline.pre_tokenizer.pre_tokenize_str(normal)]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Vocabulary entries of ids.

        Raises:
            ValueError: If an id is outside the vocabulary.
        """
        wrong = [i for i in ids if not 0 <= i < len(self._pieces)]
        if wrong:
            raise ValueError(
                f"id {wrong[0]} is outside the vocabulary (0 to {self.vocab_size - 1})"
            )
        return [self._pieces[i] for i in ids]

    def files(self) -> Mapping[str, bytes]:
        """``vocab.txt``: the pieces, one a line, UTF-8."""
        return {"vocab.txt": self._text().encode()}

    def pipeline(self) -> str:
        """The same tokenizer as the JSON text of a pipeline of the library, nothing beside it.

        It has no special tokens and lays no rows; lone surrogates it cannot take.
        """
        alone = Pipeline.from_str(self._pipeline.to_str())
        if self._sigma is not None:
            first = patterns.final_sigma(drop_unassigned=bool(self._options["drop_unassigned"]))
            alone.normalizer = normalizers.Sequence([first, self._pipeline.normalizer])
        return alone.to_str()

    def _text(self) -> str:
        return "".join(f"{piece}\n" for piece in self._pieces)

    def _prepared(self, text: str) -> str:
        """The text with what the library cannot do itself done, character for character."""
        if text.isascii():
            return text
        if self._sigma is not None and patterns.CAPITAL_SIGMA in text:
            text = self._sigma(text)
        return SURROGATE.sub(NONCHARACTER, text)


def _rebuilt(pieces: tuple[str, ...], options: Mapping[str, Any]) -> WordPieceTokenizer:
    return WordPieceTokenizer(pieces, **options)


def _index(pieces: tuple[str, ...]) -> dict[str, int]:
    index = {piece: number for number, piece in enumerate(pieces)}
    if len(index) != len(pieces):
        raise ValueError(f"{len(pieces) - len(index)} pieces of the vocabulary are repetitions")
    missing = [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in index]
    if missing:
        raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
    return index


def _ids(encodings: Sequence[Encoding]) -> np.ndarray:
    return _flat(encoding.ids for encoding in encodings)


def _offsets(encodings: Sequence[Encoding]) -> np.ndarray:
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    return np.fromiter(chain.from_iterable(pairs), np.int32).reshape(-1, 2)


def _flat(lists: Any) -> np.ndarray:
    return np.fromiter(chain.from_iterable(lists), np.int32)


def _joined(parts: Sequence[np.ndarray], empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(empty, np.int32)


def _counted_words(begins_T: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Index of each piece's word within its text, int32.

    Only a piece behind the first of its word is written with ``##``: the sign itself is
    punctuation, so that no word begins with it and goes on.
    """
    before_T: np.ndarray = np.concatenate([[0], np.cumsum(begins_T)])
    earlier_T: np.ndarray = np.repeat(before_T[bounds[:-1]], np.diff(bounds))
    words_T: np.ndarray = before_T[1:] - 1 - earlier_T
    return words_T.astype(np.int32)
