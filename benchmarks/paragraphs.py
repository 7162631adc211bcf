"""The paragraphs of SQuAD as a corpus to pre-train on: a sentence a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FILES = ("train-v1.1.json", "train-v2.0.json", "dev-v1.1.json", "dev-v2.0.json")
"""The versions share most of their articles."""

HELD_OUT = 10
"""One article in so many, in the order of their titles, is kept to evaluate on."""

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_SHORT = re.compile(r"(?:^|[\s(])(?:[A-Z]|[Dd]r|[Mm]rs?|[Ss]t|[Nn]o|[Cc]a?|[Vv]s|Jr|Sr|U\.S)\.$")
"""Ends of a text whose full stop marks an abbreviation."""


@dataclass(frozen=True)
class Corpus:
    """Files of the corpus.

    Attributes:
        train: Text to train on.
        dev: Text of other articles.
        articles: How many articles each has.
        words: How many words, by white space.
    """

    train: Path
    dev: Path
    articles: tuple[int, int]
    words: tuple[int, int]


def write_corpus(data: Path, folder: Path) -> Corpus:
    """Write the paragraphs of all articles, each once; a paragraph is a document.

    Args:
        data: Folder that has SQuAD/.
        folder: Where the two files go.

    Raises:
        OSError: If a file cannot be read or written.
    """
    articles: dict[str, dict[str, None]] = {}
    for name in FILES:
        for article in json.loads((data / "SQuAD" / name).read_text("utf-8"))["data"]:
            texts = (paragraph["context"] for paragraph in article["paragraphs"])
            articles.setdefault(article["title"], {}).update(dict.fromkeys(texts))
    titles = sorted(articles)
    dev = titles[::HELD_OUT]
    train = [title for title in titles if title not in dev]
    folder.mkdir(parents=True, exist_ok=True)
    paths, words = [], []
    for name, part in (("train", train), ("dev", dev)):
        texts = [text for title in part for text in articles[title]]
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text(_documents(texts), "utf-8")
        words.append(sum(len(text.split()) for text in texts))
    return Corpus(*paths, (len(train), len(dev)), (words[0], words[1]))


def _documents(texts: Iterable[str]) -> str:
    return "\n".join("".join(f"{line}\n" for line in sentences(text)) for text in texts)


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph, by their full stops."""
    found: list[str] = []
    open_, start = "", 0
    for end in (*(match.end() for match in _END.finditer(text)), len(text)):
        open_ += text[start:end]
        start = end
        if end == len(text) or not _SHORT.search(open_.rstrip()):
            found.append(" ".join(open_.split()))
            open_ = ""
    return [line for line in found if line]
