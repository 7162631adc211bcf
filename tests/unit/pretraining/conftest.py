from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bertmod.pretraining.tokenizer_slot import TokenizerSlot, wordpiece
from bertmod.pretraining.word_counts import WordCounts, count_words
from bertmod.registry import Registry, load_registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What is installed."""
    return load_registry()


@pytest.fixture
def slot(registry, tmp_path) -> Callable[..., TokenizerSlot]:
    """Makes the tokenizer of some pieces."""

    def make(pieces: Sequence[str] = (), *, lower_case: bool = True) -> TokenizerSlot:
        path = tmp_path / "vocab.txt"
        path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]) + "\n")
        return wordpiece(registry, path, lower_case=lower_case)

    return make


@pytest.fixture
def counted(slot, tmp_path) -> Callable[..., WordCounts]:
    """Counts the words of a text."""

    def make(text: str, *, lower_case: bool = True, held_words: int = 1 << 20) -> WordCounts:
        path = tmp_path / "corpus.txt"
        path.write_bytes(text.encode())
        folder = Path(tmp_path / "words")
        folder.mkdir(exist_ok=True)
        splitter = slot(lower_case=lower_case).splitter()
        return count_words([str(path)], splitter, folder, held_words=held_words)

    return make
