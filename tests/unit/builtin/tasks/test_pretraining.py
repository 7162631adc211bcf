"""Pre-training: rows, passes, weights, phases, held-out documents, scores, bad input."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertmod import DataError, TaskContext, TaskInfo
from bertmod.builtin.tasks.pretraining.config import PRETRAINING, PretrainingConfig
from bertmod.builtin.tasks.pretraining.task import PretrainingTask
from bertmod.contracts.metric import higher_is_better
from bertmod.data.collate import host_targets
from bertmod.data.features import FeatureTable
from bertmod.data.masking import choose_masks
from bertmod.data.pretraining_files import PretrainingData
from bertmod.engine.evaluate import outputs_by_example
from bertmod.library import installed
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions

LETTERS = "abcdefgh"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASK = SPECIAL.index("[MASK]")


def text(documents: int, *, seed: int = 0) -> str:
    draws = random.Random(seed)
    return "\n".join(
        "".join(
            " ".join(draws.choice(LETTERS) * draws.randint(1, 2) for _ in range(7)) + "\n"
            for _ in range(draws.randint(3, 8))
        )
        for _ in range(documents)
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BERTMOD_PLUGINS", "")


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    pieces = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "corpus.txt").write_text(text(60))
    return folder


@pytest.fixture
def task(data) -> Callable[..., PretrainingTask]:
    """Gives a task with these options, bound to the data folder."""

    def make(
        *, max_length: int = 32, vocab: str = "vocab.txt", setup: bool = True, **options: Any
    ) -> PretrainingTask:
        spec: Any = installed().get("tokenizer", "bertmod/wordpiece").spec
        tokenizer = spec.build(spec.config(vocab=str(data / vocab)))
        config = PretrainingConfig.model_validate_json(json.dumps(options))
        made = PretrainingTask(config, TaskContext("pretraining", tokenizer, max_length, {}))
        if setup:
            made.setup(data)
        return made

    return make


@pytest.fixture
def folder(data) -> Callable[..., Path]:
    """Makes a folder of instances as the command does."""

    def make(name: str, *, seed: int = 0, **options: Any) -> Path:
        source = data / f"{name}.source"
        source.write_text(text(40, seed=seed))
        vocabulary = open_vocabulary(data / "vocab.txt", installed(), lower_case=None)
        chosen = PretrainingOptions(**{"max_seq_length": 32, "dupe_factor": 2, **options})
        make_pretraining_data([str(source)], vocabulary, data / name, chosen)
        return data / name

    return make


def same(one: FeatureTable, other: FeatureTable) -> bool:
    return [str(each) for each in one] == [str(each) for each in other]


def restored(table: FeatureTable) -> np.ndarray:
    """The tokens without their masks."""
    tokens = table.tokens["input_ids"].copy()
    words = table.positions["words"]
    assert words.bounds is not None
    starts = np.repeat(table.token_bounds[:-1], np.diff(words.bounds))
    tokens[starts + words.values] = table.targets["labels"].values
    return tokens


def test_fresh_masks_in_each_pass_that_depend_on_seed_row_and_pass_alone(task) -> None:
    (phase,) = task().phases(seed=7)
    rows = phase.rows
    some = np.array([5, 0, 17])
    first, second = rows.take(some), rows.in_pass(1).take(some)
    assert not same(first, second)
    np.testing.assert_array_equal(restored(first), restored(second))
    np.testing.assert_array_equal(first.row_lengths, rows.lengths[some])
    alone = rows.in_pass(1).take(some[1:2])
    assert str(alone[0].rows) == str(second[1].rows)
    again = task().phases(seed=7)[0].rows
    assert same(again.in_pass(1).take(some), second)
    assert not same(task().phases(seed=8)[0].rows.take(some), first)


def test_static_masks_are_those_of_the_folder_in_every_pass(task, folder) -> None:
    stored = PretrainingData(folder("train"))
    (phase,) = task(dev="train", masking={"kind": "static"}).phases(seed=7)
    assert len(phase.rows) == len(stored)
    for number in (0, 3):
        table = phase.rows.in_pass(number).take(np.array([4, 2]))
        for feature, place in zip(table, (4, 2), strict=True):
            row = stored[place]
            assert feature.rows[0]["input_ids"].tolist() == row["tokens"].tolist()
            assert feature.rows[0]["token_type_ids"].sum() == len(row["tokens"]) - int(
                row["first_lengths"]
            )
            assert feature.positions["words"].tolist() == row["masked_positions"].tolist()
            assert feature.targets["labels"].tolist() == row["masked_labels"].tolist()
            assert feature.targets["next_sentence"] == row["next_sentence_labels"]


def test_dynamic_masks_of_a_folder_that_was_masked_once(task, folder) -> None:
    stored = PretrainingData(folder("train"))
    (phase,) = task(dev="train").phases(seed=7)
    table = phase.rows.take(np.arange(len(stored)))
    assert restored(table).tolist() == [
        token for row in (stored[place] for place in range(len(stored))) for token in unmasked(row)
    ]
    assert (table.tokens["input_ids"] == MASK).any()


def unmasked(row: dict[str, np.ndarray]) -> list[int]:
    tokens = row["tokens"].copy()
    tokens[row["masked_positions"]] = row["masked_labels"]
    return tokens.tolist()


def test_weights_say_how_often_a_pass_has_each_row(task, folder) -> None:
    sizes = [
        len(PretrainingData(folder("one", seed=1))),
        len(PretrainingData(folder("two", seed=2))),
    ]
    train = [{"path": "one", "weight": 2.0}, {"path": "two", "weight": 0.5}]
    (phase,) = task(train=train, dev="one").phases(seed=0)
    half = round(0.5 * sizes[1])
    assert len(phase.rows) == len(phase.rows.lengths) == 2 * sizes[0] + half
    seen: dict[str, int] = {}
    for number in range(4):
        rows = phase.rows.in_pass(number)
        table = rows.take(np.arange(len(rows)))
        tokens, bounds = restored(table), table.token_bounds
        for start, end in pairwise(bounds):
            key = str(tokens[start:end].tolist())
            seen[key] = seen.get(key, 0) + 1
    assert sum(seen.values()) == 4 * len(phase.rows)
    for name, times in (("one", 8), ("two", 2)):
        stored = PretrainingData(phase.rows.corpora[0][0].folder.with_name(name))
        keys = [str(unmasked(stored[place])) for place in range(len(stored))]
        for key in set(keys):
            assert seen[key] in (times * keys.count(key), times * keys.count(key) - 1)


def test_rows_of_several_corpora_keep_the_order_that_was_asked_for(task, folder) -> None:
    folder("one", seed=1)
    folder("two", seed=2, masking="dynamic")
    (phase,) = task(train=["one", "two"], dev="one").phases(seed=0)
    indices = np.random.default_rng(0).permutation(len(phase.rows))
    table = phase.rows.take(indices)
    assert table.example.tolist() == indices.tolist()
    for place in (0, 1, 2, 50):
        alone = phase.rows.take(indices[place : place + 1])
        assert str(alone[0]) == str(table[place])


def test_phases_in_turn(task, folder) -> None:
    folder("short", max_seq_length=16)
    folder("long")
    phases = [{"share": 0.75, "train": ["short"]}, {"share": 0.25, "train": ["long"]}]
    found = task(phases=phases, dev="long").phases(seed=0)
    assert [phase.share for phase in found] == [0.75, 0.25]
    assert [int(phase.rows.lengths.max()) for phase in found] == [16, 32]


def test_text_of_a_phase_has_rows_of_its_length(task, data) -> None:
    phases = [
        {"share": 0.5, "train": ["corpus.txt"], "max_length": 12},
        {"share": 0.5, "train": ["corpus.txt"]},
    ]
    made = task(phases=phases)
    assert [int(phase.rows.lengths.max()) for phase in made.phases(0)] == [12, 32]
    assert max(len(each["input_ids"]) for each in made.read("dev")) == 32


def test_held_out_documents_are_not_trained_on(task) -> None:
    made = task(held_out=0.2, dupe_factor=1, next_sentence="none")
    trained = made.phases(0)[0].rows
    dev = made.read("dev")
    seen = {
        tuple(row.tolist()) for row in np.split(*split_args(trained.take(np.arange(len(trained)))))
    }
    table = dev.table()
    held = {tuple(row.tolist()) for row in np.split(*split_args(table))}
    assert not seen & held
    assert 0.1 < len(held) / (len(held) + len(seen)) < 0.3
    assert same(table, task(held_out=0.2, dupe_factor=1, next_sentence="none").read("dev").table())


def split_args(table: FeatureTable) -> tuple[np.ndarray, np.ndarray]:
    return restored(table), table.token_bounds[1:-1]


def test_only_rows_of_a_batch_are_read_into_memory(task, folder, data) -> None:
    path = folder("train", masking="dynamic")
    size = grow(path, times=4000)
    made = task(train=["train"], dev="corpus.txt")
    tracemalloc.start()
    try:
        (phase,) = made.phases(seed=0)
        for number in (0, 5):
            table = phase.rows.in_pass(number).take(np.arange(3, 400_000, 10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 40
    assert size > 20_000_000
    assert peak < size / 50


def grow(folder: Path, *, times: int) -> int:
    """Repeat the rows of a folder, and give the bytes that its files have then."""
    header = json.loads((folder / "data.json").read_text())
    (shard,) = header["shards"]
    shard["instances"] *= times
    for name, file in shard["files"].items():
        path = folder / shard["name"] / name
        array = np.load(path)
        if name.endswith("bounds.npy"):
            grown = np.concatenate(([0], np.cumsum(np.tile(np.diff(array), times))))
        else:
            grown = np.tile(array, times)
        np.save(path, grown)
        file["bytes"] = path.stat().st_size
    (folder / "data.json").write_text(json.dumps(header))
    return sum(file["bytes"] for file in shard["files"].values())


def test_masks_that_the_limit_cuts_are_told(task, caplog) -> None:
    task(masking={"max_predictions": 5})
    assert not any("max_predictions" in each for each in caplog.messages)
    (phase,) = task(masking={"max_predictions": 3}).phases(seed=0)
    (told,) = [each for each in caplog.messages if "max_predictions" in each]
    wanted = np.maximum(1, np.rint(phase.rows.lengths * 0.15)).astype(int)
    cut = (wanted - np.minimum(wanted, 3)).sum()
    assert told == (
        f'task "pretraining": max_predictions 3 cuts {cut:,} of {wanted.sum():,} masks; '
        "0.15 of 32 tokens are 5"
    )


def test_the_data_folder_itself_may_be_what_the_command_wrote(task, folder) -> None:
    path = folder("train")
    made = task(setup=False, dev=str(path))
    made.setup(path)
    assert [file.name for file in made.files(path, "train")] == ["data.json"]
    assert len(made.read("train")) == len(PretrainingData(path))


@pytest.mark.parametrize("unit", ["word", "span"])
def test_whole_words_and_spans(task, unit) -> None:
    (phase,) = task(masking={"unit": unit}).phases(seed=0)
    table = phase.rows.take(np.arange(len(phase.rows)))
    tokens, masked = restored(table), np.zeros(len(table.tokens["input_ids"]), bool)
    words = table.positions["words"]
    masked[np.repeat(table.token_bounds[:-1], np.diff(words.bounds)) + words.values] = True
    goes_on = tokens[1:] >= len(SPECIAL) + len(LETTERS)
    first = np.array([SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")])
    within = goes_on & ~np.isin(tokens[:-1], first)
    assert masked.any()
    assert (masked[1:] == masked[:-1])[within].all()


def test_a_stranger_s_way_to_choose_masks(task, data) -> None:
    """A task of another package builds this one with a function of its own."""
    made = task()
    asked = []

    def choose(*rows: Any, **options: Any) -> Any:
        asked.append(options["masking"].probability)
        return choose_masks(*rows, **options)

    own = PretrainingTask(made._config, made._context, choose=choose)
    own.setup(data)
    own.phases(0)[0].rows.take(np.arange(3))
    assert asked == [0.15]


def test_pairs_that_have_changed_places_or_none(task) -> None:
    swapped = task(next_sentence="sop").read("dev").table()
    assert set(swapped.targets["next_sentence"].values.tolist()) == {0, 1}
    alone = task(next_sentence="none").read("dev").table()
    assert alone.targets.keys() == {"labels"}
    assert not alone.tokens["token_type_ids"].any()
    assert PRETRAINING.head(PretrainingConfig(next_sentence="none")) == {
        "name": "bertmod/masked_lm"
    }
    assert PRETRAINING.head(PretrainingConfig()) == {"name": "bertmod/pretraining"}


def decoded_of(table: FeatureTable, *, right: bool) -> list[dict[str, np.ndarray]]:
    """What a head decodes that gives every label probability 0.5, and is right or never."""
    found = []
    for feature in table:
        labels = feature.targets["labels"]
        found.append(
            {
                "tokens": feature.positions["words"],
                "pieces": (labels if right else labels + 1)[:, None],
                "log_probabilities": np.log(np.full((len(labels), 1), 0.5)),
                "label_log_probabilities": np.log(np.full(len(labels), 0.5)),
                "probabilities": np.eye(2)[int(feature.targets["next_sentence"])] * 0.5 + 0.25,
            }
        )
    return found


def test_scores_over_all_masked_pieces_and_pairs(task, data, tmp_path) -> None:
    made = task()
    info = made.setup(data)
    assert info.labels == ("next", "random")
    examples = made.read("dev")
    table = examples.table()
    for right in (True, False):
        outputs = outputs_by_example(len(examples), table, decoded_of(table, right=right))
        predictions = made.predict(examples, outputs, info)
        scores = made.score("dev", examples, predictions)
        assert scores == pytest.approx(
            {
                "masked_lm_accuracy": float(right),
                "masked_lm_loss": np.log(2),
                "perplexity": 2.0,
                "next_sentence_accuracy": 1.0,
                "next_sentence_loss": -np.log(0.75),
                "loss": np.log(2) - np.log(0.75),
            }
        )
        assert list(scores) == list(PRETRAINING.metrics(PretrainingConfig())["dev"])
    path = made.report(scores, step=20, folder=tmp_path)
    assert [line.split(" = ")[0] for line in path.read_text().splitlines()] == [
        *("global_step", "loss", "masked_lm_accuracy", "masked_lm_loss"),
        *("next_sentence_accuracy", "next_sentence_loss"),
    ]
    assert path.name == "eval_results.txt"
    assert path.read_text().startswith("global_step = 20\nloss = 0.98")


def test_the_baseline_is_the_most_frequent_piece(task) -> None:
    examples = task().read("dev")
    labels = host_targets(examples.table())["labels"]
    counts = np.bincount(labels)
    shares = counts[counts > 0] / counts.sum()
    found = task().baseline(examples)
    assert found["masked_lm_accuracy"] == pytest.approx(shares.max())
    assert found["masked_lm_loss"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_masks_in_a_text_are_filled_in(task) -> None:
    made = task()
    example = made.example({"text": "a [MASK] bb [MASK]", "text_pair": "c", "id": "x"})
    ids = example["input_ids"]
    assert [place for place, piece in enumerate(ids) if piece == MASK] == example["words"] == [2, 5]
    table = FeatureTable.from_features(made.features([example], TaskInfo()))
    assert not table.targets
    decoded = {
        "tokens": np.arange(len(ids)),
        "pieces": np.tile(np.array([[5, 6]]), (len(ids), 1)),
        "log_probabilities": np.log(np.tile(np.array([[0.75, 0.25]]), (len(ids), 1))),
        "probabilities": np.array([0.75, 0.25]),
    }
    outputs = outputs_by_example(1, table, [decoded])
    (found,) = made.predict([example], outputs, TaskInfo(labels=("next", "random")))
    assert found["label"] == "next"
    assert [mask["token"] for mask in found["masks"]] == [2, 5]
    assert found["masks"][0]["pieces"] == ["a", "b"]
    assert found["masks"][0]["probabilities"] == pytest.approx([0.75, 0.25])


def refusal(make: Callable[..., Any], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(**options)
    return str(caught.value)


def test_another_vocabulary(task, folder, data) -> None:
    folder("train")
    (data / "other.txt").write_text("\n".join([*SPECIAL, *LETTERS, "i"]) + "\n")
    told = refusal(task, train=["train"], dev="train", vocab="other.txt")
    assert told == (
        f"{data}/train: made with another vocabulary ({data}/vocab.txt, 21 pieces)\n"
        "  use that one, or make the data again with bertmod pretraining-data"
    )


def test_rows_that_are_too_long(task, folder, data) -> None:
    folder("train")
    told = refusal(task, train=["train"], dev="train", max_length=24)
    assert told == (
        f'{data}/train: rows of up to 32 tokens, but those of task "pretraining" have at most 24\n'
        "  set data.max_length to 32, as far as the encoder has positions, or make the data again "
        "with bertmod pretraining-data --max-seq-length 24"
    )


def test_static_masks_that_are_not_there(task, folder, data) -> None:
    folder("train", masking="dynamic")
    told = refusal(task, train=["train"], dev="corpus.txt", masking={"kind": "static"})
    assert told.startswith(f"{data}/train: nothing is masked in it (--masking dynamic), but task")


def test_other_pairs_than_asked_for(task, folder, data) -> None:
    folder("train", next_sentence="none")
    told = refusal(task, train=["train"], dev="train")
    assert told.startswith(f"{data}/train: made with --next-sentence none, but task")


def test_folders_cannot_be_parted_by_document(task, folder, data) -> None:
    folder("train")
    told = refusal(task, train=["train"])
    assert told.startswith(
        'task "pretraining": nothing to evaluate on: documents can be held out of text files, not '
        f"of {data}/train\n"
    )
    folder("dev", seed=3)
    assert len(task(train=["train"]).read("dev")) == len(PretrainingData(data / "dev"))


def test_damaged_missing_and_empty(task, folder, data) -> None:
    path = folder("train")
    (path / "shard-00000" / "tokens.npy").write_bytes(b"")
    assert "0 bytes, not " in refusal(task, train=["train"], dev="corpus.txt")
    assert "no such file or folder" in refusal(task, train=["nowhere.txt"])
    (data / "nothing").mkdir()
    assert "no pre-training data" in refusal(task, train=["nothing"], dev="corpus.txt")
    (data / "empty.txt").write_text("")
    assert refusal(task, train=["empty.txt"]).startswith(f"{data}/empty.txt: 0 documents: too few")
    (data / "one.txt").write_text("a b\nc d\n")
    assert refusal(task, train=["one.txt"]).startswith(f"{data}/one.txt: 1 document: too few")
    (data / "latin.txt").write_bytes(b"a b\n\nc d\nf \xe9\n")
    assert "latin.txt" in refusal(task, train=["latin.txt"])


def test_a_phase_that_is_longer_than_the_task(task) -> None:
    told = refusal(task, phases=[{"share": 1, "train": ["corpus.txt"], "max_length": 64}])
    assert told.startswith('task "pretraining": a phase has rows of 64 tokens, the task\'s longest')


def test_problems_of_the_options() -> None:
    phases = [{"share": 0.5, "train": ["a"]}, {"share": 0.4, "train": ["b"]}]
    options = json.dumps({"train": ["a"], "phases": phases})
    config = PretrainingConfig.model_validate_json(options)
    assert [(problem.path, problem.what) for problem in PRETRAINING.check(config)] == [
        ("train", "the data is stated twice: here and in phases"),
        ("phases", "the shares sum to 0.9, not to 1"),
    ]


def test_a_lower_loss_is_better() -> None:
    assert higher_is_better("masked_lm_accuracy", None)
    assert not higher_is_better("masked_lm_loss", None)
    assert not higher_is_better("perplexity", None)
