"""SQuAD's paragraphs as a corpus."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.paragraphs import FILES, sentences, write_corpus


def test_sentences_end_at_full_stops_and_not_at_abbreviations() -> None:
    text = 'Dr. J. Smith left. "Why?" he asked. It grew by 3.5 km. No. 4 stayed'
    assert sentences(text) == [
        "Dr. J. Smith left.",
        '"Why?" he asked.',
        "It grew by 3.5 km.",
        "No. 4 stayed",
    ]


def test_each_paragraph_is_there_once_and_articles_are_held_out(tmp_path: Path) -> None:
    data = tmp_path / "SQuAD"
    data.mkdir()
    articles = [
        {"title": f"t{number:02}", "paragraphs": [{"context": f"Text {number}. More."}]}
        for number in range(20)
    ]
    for name in FILES:
        (data / name).write_text(json.dumps({"data": articles}), encoding="utf-8")
    corpus = write_corpus(tmp_path, tmp_path / "corpus")
    assert corpus.articles == (18, 2)
    assert corpus.dev.read_text() == "Text 0.\nMore.\n\nText 10.\nMore.\n"
    assert corpus.train.read_text().count("Text") == 18
