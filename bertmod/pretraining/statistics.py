"""What pre-training data turned out to be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bertmod.pretraining.options import PretrainingOptions
from bertmod.wording import counted, table

_MANY_UNKNOWN = 0.05


def statistics_of(corpus: Mapping[str, Any], counts: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """What is known of the corpus and of its instances, by name.

    Args:
        corpus: Counts of documents, sentences, words and pieces.
        counts: Those of each shard.
    """
    total = {name: sum(each[name] for each in counts) for name in counts[0]}
    masked = total.get("masked")
    return {
        **corpus,
        **total,
        "mean_length": total["tokens"] / total["instances"],
        "masked_share": None if masked is None else masked / total["tokens"],
        "random_next_share": total["random_next"] / total["instances"],
        "unknown_share": corpus["unknown_pieces"] / corpus["pieces"],
        "fertility": corpus["pieces"] / corpus["words"],
        # A word that the vocabulary cannot cut is one piece, [UNK].
        "unknown_words_share": corpus["unknown_pieces"] / corpus["words"],
    }


def vocabulary_fit(statistics: Mapping[str, Any]) -> str:
    """How the vocabulary cuts the corpus, in words."""
    return (
        f"{statistics['fertility']:.3f} pieces a word, "
        f"{statistics['unknown_words_share']:.3%} of the words are [UNK]"
    )


def statistics_lines(statistics: Mapping[str, Any], options: PretrainingOptions) -> list[str]:
    """The statistics as lines for a reader."""
    rows = [
        ("corpus", _corpus(statistics)),
        ("vocabulary", vocabulary_fit(statistics)),
        ("instances", f"{statistics['instances']:,}"),
        ("mean length", f"{statistics['mean_length']:.1f} tokens"),
    ]
    if options.pairs:
        what = "random next sentences" if options.next_sentence == "nsp" else "changed places"
        rows.append((what, f"{statistics['random_next_share']:.1%}"))
    if statistics["masked_share"] is None:
        rows.append(("masked tokens", "none yet: dynamic"))
    else:
        rows.append(("masked tokens", f"{statistics['masked_share']:.1%}"))
        rows.append(("masks cut", f"{statistics['cut_masks']:,} of {statistics['wanted_masks']:,}"))
    return table(rows)


def warnings_of(statistics: Mapping[str, Any], options: PretrainingOptions) -> Iterator[str]:
    """What a reader may not have meant."""
    if statistics["cut_masks"] and options.masking == "static":
        most = options.max_predictions_per_seq
        yield (
            f"--max-predictions-per-seq {most} cut {statistics['cut_masks']:,} of "
            f"{statistics['wanted_masks']:,} masks; {options.masked_lm_prob:g} of "
            f"{options.max_seq_length} tokens are "
            f"{round(options.masked_lm_prob * options.max_seq_length)}"
        )
    if statistics["sentences_too_long"]:
        pieces, path, line = statistics["longest_sentence"]
        yield (
            f"{counted(statistics['sentences_too_long'], 'line')} of more pieces than a row has "
            f"place for, {options.max_pieces}: what is too much is cut off "
            f"({path}, line {line}: {pieces:,} pieces); one sentence a line is expected"
        )
    if statistics["unknown_share"] > _MANY_UNKNOWN:
        yield (
            f"{statistics['unknown_share']:.0%} of the pieces are [UNK]: "
            "is it the right vocabulary for this text?"
        )


def _corpus(statistics: Mapping[str, Any]) -> str:
    nouns = {name: name.removesuffix("s") for name in ("documents", "sentences", "words", "pieces")}
    return ", ".join(counted(statistics[name], noun) for name, noun in nouns.items())
