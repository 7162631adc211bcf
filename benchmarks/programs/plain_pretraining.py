"""Pre-training data by plain Python: the algorithm of google-research/bert, everything in memory.

Text is cut into words and pieces character by character, instances are lists of pieces, and rows
are padded lists of numbers, as in the original; only its TFRecord writer is left out, in favour of
this program, which writes the same numbers as bytes.

    python plain_pretraining.py CORPUS VOCAB OUTPUT
"""

from __future__ import annotations

import random
import sys
import unicodedata
from array import array
from pathlib import Path

MAX_LENGTH, MAX_PREDICTIONS, DUPE_FACTOR = 128, 20, 10
MASKED_SHARE, SHORT_SHARE, SEED = 0.15, 0.1, 12345
LONGEST_WORD = 200
CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)

Instance = tuple[list[str], int, bool, list[tuple[int, str]]]


def is_punctuation(character: str) -> bool:
    code = ord(character)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(character).startswith("P")


def cleaned(text: str) -> str:
    found = []
    for character in text:
        code, category = ord(character), unicodedata.category(character)
        if code in (0, 0xFFFD):
            continue
        if character in " \t\n\r" or category == "Zs":
            found.append(" ")
        elif category not in ("Cc", "Cf"):
            is_cjk = any(first <= code <= last for first, last in CJK)
            found.append(f" {character} " if is_cjk else character)
    return "".join(found)


def words(text: str) -> list[str]:
    found = []
    for word in cleaned(text).split():
        plain = unicodedata.normalize("NFD", word.lower())
        current = ""
        for character in plain:
            if unicodedata.category(character) == "Mn":
                continue
            if is_punctuation(character):
                if current:
                    found.append(current)
                found.append(character)
                current = ""
            else:
                current += character
        if current:
            found.append(current)
    return found


def pieces(text: str, vocabulary: dict[str, int]) -> list[str]:
    found = []
    for word in words(text):
        if len(word) > LONGEST_WORD:
            found.append("[UNK]")
            continue
        start, parts = 0, []
        while start < len(word):
            end = len(word)
            while end > start:
                piece = word[start:end] if start == 0 else f"##{word[start:end]}"
                if piece in vocabulary:
                    break
                end -= 1
            if end == start:
                parts = ["[UNK]"]
                break
            parts.append(piece)
            start = end
        found += parts
    return found


def read(path: Path, vocabulary: dict[str, int]) -> list[list[list[str]]]:
    documents: list[list[list[str]]] = [[]]
    with path.open(encoding="utf-8") as file:
        for line in file:
            text = line.strip()
            if not text:
                documents.append([])
            elif found := pieces(text, vocabulary):
                documents[-1].append(found)
    return [document for document in documents if document]


def cut(first: list[str], second: list[str], draws: random.Random) -> None:
    while len(first) + len(second) > MAX_LENGTH - 3:
        longer = first if len(first) > len(second) else second
        if draws.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def masked(tokens: list[str], known: list[str], draws: random.Random) -> list[tuple[int, str]]:
    places = [n for n, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]")]
    draws.shuffle(places)
    wanted = min(MAX_PREDICTIONS, max(1, round(len(tokens) * MASKED_SHARE)))
    found = []
    for place in places[:wanted]:
        found.append((place, tokens[place]))
        if draws.random() < 0.8:
            tokens[place] = "[MASK]"
        elif draws.random() >= 0.5:
            tokens[place] = known[draws.randint(0, len(known) - 1)]
    return sorted(found)


def elsewhere(
    documents: list[list[list[str]]], number: int, wanted: int, draws: random.Random
) -> list[str]:
    for _ in range(10):
        other = draws.randint(0, len(documents) - 1)
        if other != number:
            break
    start = draws.randint(0, len(documents[other]) - 1)
    second: list[str] = []
    for sentence in documents[other][start:]:
        second += sentence
        if len(second) >= wanted:
            break
    return second


def instances(
    documents: list[list[list[str]]], number: int, known: list[str], draws: random.Random
) -> list[Instance]:
    document, found = documents[number], []
    target = MAX_LENGTH - 3
    if draws.random() < SHORT_SHARE:
        target = draws.randint(2, target)
    chunk: list[list[str]] = []
    length = place = 0
    while place < len(document):
        chunk.append(document[place])
        length += len(document[place])
        if place == len(document) - 1 or length >= target:
            middle = draws.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
            first = [token for sentence in chunk[:middle] for token in sentence]
            is_random = len(chunk) == 1 or draws.random() < 0.5
            if is_random:
                second = elsewhere(documents, number, target - len(first), draws)
                place -= len(chunk) - middle
            else:
                second = [token for sentence in chunk[middle:] for token in sentence]
            cut(first, second, draws)
            tokens = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
            masks = masked(tokens, known, draws)
            found.append((tokens, len(first) + 2, is_random, masks))
            chunk, length = [], 0
        place += 1
    return found


def row(instance: Instance, vocabulary: dict[str, int]) -> bytes:
    tokens, first, is_random, masks = instance
    empty, unused = [0] * (MAX_LENGTH - len(tokens)), [0] * (MAX_PREDICTIONS - len(masks))
    numbers = [vocabulary[token] for token in tokens] + empty
    numbers += [1] * len(tokens) + empty
    numbers += [0] * first + [1] * (len(tokens) - first) + empty
    numbers += [place for place, _ in masks] + unused
    numbers += [vocabulary[label] for _, label in masks] + unused
    numbers += [1] * len(masks) + unused + [int(is_random)]
    return array("q", numbers).tobytes()


def main(corpus: Path, vocab: Path, output: Path) -> None:
    lines = vocab.read_text(encoding="utf-8").split("\n")
    vocabulary = {line.strip(): number for number, line in enumerate(lines) if line.strip()}
    draws, known = random.Random(SEED), list(vocabulary)
    documents = read(corpus, vocabulary)
    draws.shuffle(documents)
    found = [
        instance
        for _ in range(DUPE_FACTOR)
        for number in range(len(documents))
        for instance in instances(documents, number, known, draws)
    ]
    draws.shuffle(found)
    with output.open("wb") as file:
        for instance in found:
            file.write(row(instance, vocabulary))
    print(len(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
