"""``bertmod pretraining-data``: text to masked pairs of segments."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.cli.invocation import invocation
from bertmod.cli.pretraining_options import (
    CorpusArgument,
    DupeOption,
    FormatOption,
    LengthOption,
    LowerCaseOption,
    MaskingOption,
    NextSentenceOption,
    OutputOption,
    PredictionsOption,
    ProbabilityOption,
    RandomOption,
    ResumeOption,
    SeedOption,
    SegmenterOption,
    ShardOption,
    ShortOption,
    VocabOption,
    WholeWordOption,
    WorkersOption,
)
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import progress
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.pretraining.make import Vocabulary
    from bertmod.pretraining.options import PretrainingOptions


def pretraining_data(
    corpus: CorpusArgument,
    vocab: VocabOption,
    output: OutputOption,
    max_seq_length: LengthOption = 128,
    max_predictions_per_seq: PredictionsOption = 20,
    random_seed: SeedOption = 12345,
    dupe_factor: DupeOption = 10,
    masked_lm_prob: ProbabilityOption = 0.15,
    short_seq_prob: ShortOption = 0.1,
    do_whole_word_mask: WholeWordOption = False,
    do_lower_case: LowerCaseOption = None,
    masking: MaskingOption = "static",
    random: RandomOption = "own",
    next_sentence: NextSentenceOption = "nsp",
    segmenter: SegmenterOption = "",
    form: FormatOption = "bertmod",
    shard_instances: ShardOption = 65_536,
    workers: WorkersOption = 1,
    resume: ResumeOption = False,
) -> None:
    """Make masked pairs of segments of text, to pre-train on."""
    from bertmod.data.unfinished import partial_folder
    from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
    from bertmod.pretraining.options import PretrainingOptions
    from bertmod.pretraining.records import are_records

    show_warnings()
    options = PretrainingOptions(
        max_seq_length=max_seq_length,
        max_predictions_per_seq=max_predictions_per_seq,
        random_seed=random_seed,
        dupe_factor=dupe_factor,
        masked_lm_prob=masked_lm_prob,
        short_seq_prob=short_seq_prob,
        whole_word_mask=do_whole_word_mask,
        masking=masking,
        random=random,
        next_sentence=next_sentence,
        segmenter=segmenter,
        form=form,
        shard_instances=shard_instances,
    )
    vocabulary = open_vocabulary(vocab, invocation().registry, lower_case=do_lower_case)
    if are_records(corpus):
        _take_in(corpus, vocabulary, output, options, resume=resume)
        return
    with _stoppable(partial_folder(output)):
        statistics = make_pretraining_data(
            corpus,
            vocabulary,
            output,
            options,
            num_workers=workers,
            resume=resume,
            progress=progress,
        )
    _tell(output, statistics, options)


def _tell(output: Path, statistics: Mapping[str, Any], options: PretrainingOptions) -> None:
    """Say what was made."""
    from bertmod.pretraining.statistics import statistics_lines
    from bertmod.wording import counted

    for line in statistics_lines(statistics, options):
        print(line, file=sys.stderr)
    print(f"{output}: {counted(statistics['instances'], 'instance')}", file=sys.stderr)


def _take_in(
    corpus: list[str],
    vocabulary: Vocabulary,
    output: Path,
    options: PretrainingOptions,
    *,
    resume: bool,
) -> None:
    """Make memory-mapped instances of Google's records."""
    from bertmod.pretraining.records import take_in_records
    from bertmod.wording import counted

    if resume or options != type(options)(shard_instances=options.shard_instances):
        raise DataError(
            f"{corpus[0]}: records are made already, and are taken as they are\n"
            "  accepted beside them: --vocab, --output, --do-lower-case and --shard-instances"
        )
    size = options.shard_instances
    found = take_in_records(corpus, vocabulary, output, shard_instances=size, progress=progress)
    print(
        f"{output}: {counted(found['instances'], 'instance')}, {found['mean_length']:.1f} tokens "
        f"on the average, {found['masked_share']:.1%} of them masked",
        file=sys.stderr,
    )


@contextmanager
def _stoppable(unfinished: Path) -> Iterator[None]:
    """Say after Ctrl-C how to go on, where there is something to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        if unfinished.is_dir():
            print("stopped; go on with --resume", file=sys.stderr)
        raise
