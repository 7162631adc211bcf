"""Words and how often they occur to the pieces of a WordPiece vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer as Pipeline
from tokenizers import models, pre_tokenizers, trainers

from bertmod.errors import DataError
from bertmod.pretraining.progress import Progress, no_progress
from bertmod.pretraining.word_counts import WordCounts
from bertmod.wording import counted

BEFORE_SPECIAL = 99
"""Unused places before [UNK] in every vocabulary of Google's; more of them follow [MASK]."""

CONTINUES = "##"

MOST_WORDS = 500_000
"""Different words that pieces are learned from, the commonest: the trainer takes a kB for each."""

MOST_OCCURRENCES = 1 << 25
"""Words in all that the trainer is given: it counts one by one, and pairs of pieces in 32 bits."""

AT_ONCE = 1024
"""Words given to the trainer at once."""


@dataclass(frozen=True)
class VocabularyOptions:
    """What a vocabulary is to be like.

    Attributes:
        size: Pieces in all.
        lower_case: Whether text is lower-cased and stripped of accents.
        unused: Places ``[unusedN]`` that are kept free.
        min_frequency: How often two pieces must stand side by side to become one.
        alphabet: Characters that pieces are made of, at most.
    """

    size: int
    lower_case: bool = True
    unused: int = BEFORE_SPECIAL
    min_frequency: int = 2
    alphabet: int = 1000


@dataclass(frozen=True)
class Learned:
    """A vocabulary that was learned.

    Attributes:
        pieces: Its pieces, in the order of their indices.
        alphabet: Characters that its pieces are made of.
        characters: Different characters in the text.
    """

    pieces: list[str]
    alphabet: int
    characters: int


def marks(unused: int) -> list[str]:
    """Special tokens and unused places in BERT's order.

    Args:
        unused: How many unused places.

    Source: the ``vocab.txt`` of bert-base-uncased.
    """
    places = [f"[unused{number}]" for number in range(unused)]
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return ["[PAD]", *places[:BEFORE_SPECIAL], *special, *places[BEFORE_SPECIAL:]]


def learn_pieces(
    counts: WordCounts, options: VocabularyOptions, *, progress: Progress = no_progress
) -> Learned:
    """The pieces of a vocabulary: marks, characters by code point, and then what they join to.

    Two pieces that stand side by side most often become one, over and over. The result is a
    function of the counts and the options alone.

    Args:
        counts: The words.
        options: What the vocabulary is to be like.
        progress: Shows how far it is.

    Raises:
        DataError: If the size has no room for every character, or the words do not give so many
            pieces.

    Source: Schuster and Nakajima 2012; the ``WordPieceTrainer`` of the library ``tokenizers``,
        which joins the commonest pair, as byte-pair encoding does (Sennrich et al. 2016,
        arXiv:1508.07909).
    """
    known, characters = _alphabet(counts, options)
    words = _words(counts, known)
    inner = {character for word, _ in words for character in word[1:]}
    # The trainer numbers inner characters in the order in which it meets them, which differs from
    # run to run, and breaks ties by number: so every character has its number beforehand.
    given = [*marks(options.unused), *sorted(known), *sorted(CONTINUES + each for each in inner)]
    if len(given) > options.size:
        raise DataError(_too_small(options, known, inner))
    pieces = _joined(words, given, options, progress)
    if len(pieces) < options.size:
        raise DataError(
            f"--size {options.size}: the corpus gives {counted(len(pieces), 'piece')} with "
            f"--min-frequency {options.min_frequency}\n"
            f"  give --size {len(pieces)} or less, a lower --min-frequency, or more text"
        )
    return Learned(pieces, len(known), characters)


def _alphabet(counts: WordCounts, options: VocabularyOptions) -> tuple[set[str], int]:
    """The commonest characters, and how many there are in all."""
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            found[character] += count
    kept = sorted(found, key=lambda each: (-found[each], each))[: options.alphabet]
    return set(kept), len(found)


def _words(counts: WordCounts, known: set[str]) -> list[tuple[str, int]]:
    """The commonest words, but those that will be [UNK] for a character's sake.

    The trainer would leave such a character out and join what stands around it.
    """
    return [item for item in counts.commonest(MOST_WORDS) if known.issuperset(item[0])]


def _joined(
    words: Sequence[tuple[str, int]],
    given: list[str],
    options: VocabularyOptions,
    progress: Progress,
) -> list[str]:
    """The given pieces and those that the trainer makes, in the order in which it does."""
    total = sum(count for _, count in words)
    share = min(1.0, MOST_OCCURRENCES / total) if total else 1.0
    scaled = [(word, max(1, round(count * share))) for word, count in words]
    alphabet = [each for each in given if len(each) == 1]
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.size,
        min_frequency=max(1, round(options.min_frequency * share)),
        special_tokens=given,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    pipeline = Pipeline(models.WordPiece(unk_token="[UNK]"))
    pipeline.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    with progress(sum(count for _, count in scaled), "learn", unit="word") as advance:
        pipeline.train_from_iterator(_repeated(scaled, advance), trainer)
    vocab = pipeline.get_vocab(with_added_tokens=False)
    return sorted(vocab, key=vocab.__getitem__)


def _repeated(words: Sequence[tuple[str, int]], advance: Callable[[int], object]) -> Iterator[str]:
    """Texts in which each word stands as often as it counts."""
    held: list[str] = []
    for word, count in words:
        while count:
            some = min(count, AT_ONCE - len(held))
            held += [word] * some
            count -= some
            if len(held) == AT_ONCE:
                yield " ".join(held)
                advance(AT_ONCE)
                held.clear()
    yield " ".join(held)
    advance(len(held))


def _too_small(options: VocabularyOptions, known: set[str], inner: set[str]) -> str:
    special = len(marks(0))
    needed = special + options.unused + len(known) + len(inner)
    return (
        f"--size {options.size}: too small, {needed} places are taken beforehand: {special} special"
        f" tokens, {options.unused} unused, {counted(len(known), 'character')}, "
        f"{len(inner)} of them again inside words\n"
        "  give a larger --size, or less --alphabet or --unused"
    )
