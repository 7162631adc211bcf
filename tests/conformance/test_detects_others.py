"""The suites of the other kinds find components that are broken in typical ways."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from bertmod import (
    CheckpointContent,
    CheckpointWriter,
    ComponentConfig,
    EmptyConfig,
    MetricSpec,
    ScheduleSpec,
    TrackerSpec,
)
from bertmod.builtin.loaders import bertmod_writer
from bertmod.builtin.tasks.sentences.facts import GLUE
from bertmod.builtin.tasks.sentences.published import PublishedSentences
from bertmod.builtin.tasks.sentences.task import SentenceTask
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.builtin.trackers.jsonl import JsonlTracker
from bertmod.library import build_encoder, installed
from bertmod.model.canonical import canonical_tensors
from bertmod.specs import Spec
from bertmod.testing import task_answers, tasks


def builtin(kind: str, name: str) -> Any:
    return installed().get(kind, f"bertmod/{name}").spec


# General: records and options.


class NoDescription(ComponentConfig):
    rate: float = 1.0


class ChangesValues(ComponentConfig):
    rate: float = Field(1.0, description="Rate, unitless.")

    def model_post_init(self, context: Any) -> None:
        object.__setattr__(self, "rate", self.rate * 2)


class Lenient(ComponentConfig, extra="allow"):
    rate: float = Field(1.0, description="Rate, unitless.")


class Loose(ComponentConfig, frozen=False):
    rate: float = Field(1.0, description="Rate, unitless.")


def schedule(config: type[ComponentConfig] = EmptyConfig, **changed: Any) -> ScheduleSpec:
    about: dict[str, Any] = {
        "name": "flat",
        "config": config,
        "build": lambda config: lambda step, total: 1.0,
        "summary": "Always one.",
    }
    return ScheduleSpec(**{**about, **changed})


GENERAL = [
    (schedule(name="Flat"), "record", 'name "Flat" is not lower_snake'),
    (schedule(summary="Two\nlines."), "record", "its summary is not one line"),
    (schedule(NoDescription), "options_documented", "no description of rate"),
    (schedule(ChangesValues), "options_resolve_twice", "is read back as something else"),
    (schedule(Lenient), "options_are_strict", "an unknown option is accepted"),
    (schedule(Loose), "options_are_strict", 'option "rate" can be changed after validation'),
]


@pytest.mark.parametrize(("spec", "check", "told"), GENERAL)
def test_records(verdict, spec: Spec, check: str, told: str) -> None:
    assert told in verdict(spec, check)


def test_wrong_examples_of_options_are_told(verdict) -> None:
    told = verdict(schedule(), "multipliers", configs=[{"rate": 2}])
    assert 'configs: {"rate": 2} are not its options' in told


class Needed(ComponentConfig):
    rate: float = Field(description="Rate, unitless.")


def test_options_that_must_be_given_are_asked_for(verdict) -> None:
    told = verdict(schedule(Needed), "multipliers")
    assert 'give some that do: configs={"flat": [{...}]}' in told
    assert verdict(schedule(Needed), "multipliers", configs=[{"rate": 2.0}]) == ""


# Schedules.

SCHEDULES = [
    (lambda step, total: step / (total - 1), "multipliers", "ZeroDivisionError"),
    (lambda step, total: 1 - 2 * step / total, "multipliers", "has multiplier -1.0"),
    (lambda step, total: 0.0, "trains", "every step of a run of 10 has multiplier 0"),
    (lambda step, total: np.random.default_rng().random(), "function_of_step", "asked again"),
]


@pytest.mark.parametrize(("function", "check", "told"), SCHEDULES)
def test_schedules(verdict, function: Any, check: str, told: str) -> None:
    assert told in verdict(schedule(build=lambda config: function), check)


# Metrics.


class Metric:
    greater_is_better: Any = True

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, labels: Any, predictions: Any) -> float:
        return self.function(labels, predictions)


def share(labels: Any, predictions: Any) -> float:
    pairs = list(zip(labels, predictions, strict=True))
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else 0.0


def sorting(labels: Any, predictions: Any) -> float:
    labels.sort()
    return share(labels, predictions)


METRICS = [
    (lambda a, b: 1 - share(a, b), "better", "although greater_is_better is True"),
    (lambda a, b: 1.0, "better", "wrong answers always score like right ones"),
    (lambda a, b: [share(a, b)], "finite_number", "not one finite number"),
    (sorting, "function_of_pairs", "it changes the lists it was given"),
    (lambda a, b: share(a[:9], b[:9]), "function_of_pairs", "in another order"),
    (lambda a, b: sum(map(str.__eq__, map(str, a), map(str, b))) / len(a), "little_data", "Zero"),
]


@pytest.mark.parametrize(("function", "check", "told"), METRICS)
def test_metrics(verdict, function: Any, check: str, told: str) -> None:
    spec = MetricSpec(
        name="share", config=EmptyConfig, build=lambda c: Metric(function), summary="A share."
    )
    assert told in verdict(spec, check)


def test_a_sound_metric(verdicts) -> None:
    spec = MetricSpec(name="m", config=EmptyConfig, build=lambda c: Metric(share), summary="S.")
    assert verdicts(spec) == {}


# Trackers.


class KeepsLater(JsonlTracker):
    def resumed(self, step):
        self.close()


class ClosesOnce(JsonlTracker):
    def close(self):
        self._file.close()
        self._file = None


class Changes(JsonlTracker):
    def stepped(self, step, values):
        values["step"] = step


class NoCheckpoints(JsonlTracker):
    def saved(self, step, path):
        path.stat()


TRACKERS = [
    (KeepsLater, "resumed_discards", "['metrics.jsonl'] still has rows of steps after"),
    (ClosesOnce, "short_runs", "AttributeError"),
    (Changes, "values_kept", "stepped changes the values it is given"),
    (NoCheckpoints, "whole_run", "FileNotFoundError"),
]


@pytest.mark.parametrize(("tracker", "check", "told"), TRACKERS)
def test_trackers(verdict, tracker: Any, check: str, told: str) -> None:
    spec = TrackerSpec(
        name="lines",
        config=EmptyConfig,
        build=lambda config, context: tracker(context.folder),
        summary="Lines.",
    )
    assert told in verdict(spec, check)


# Tokenizers.


class OneShort(WordPieceTokenizer):
    @property
    def vocab_size(self):
        return super().vocab_size - 1


class OffsetsBeyond(WordPieceTokenizer):
    def texts(self, texts):
        table = super().texts(texts)
        return replace(table, offsets=table.offsets + 1)


class Joined(WordPieceTokenizer):
    def texts(self, texts):
        return super().texts([f"{text}{len(texts)}" for text in texts])


class NoSecondSep(WordPieceTokenizer):
    def rows(self, first, second, *, max_length):
        rows = super().rows(first, second, max_length=max_length)
        return replace(rows, token_type_ids=np.zeros_like(rows.token_type_ids))


class TooLong(WordPieceTokenizer):
    def rows(self, first, second, *, max_length):
        return super().rows(first, second, max_length=max_length + 1)


class NewMark(WordPieceTokenizer):
    @property
    def fingerprint(self):
        return str(id(self))


class OtherFiles(WordPieceTokenizer):
    def files(self):
        return {"vocab.txt": super().files()["vocab.txt"] + b"more\n"}


class WordsOff(WordPieceTokenizer):
    def words(self, sentences):
        table = super().words(sentences)
        return replace(table, words=table.words + 9)


TOKENIZERS = [
    (OneShort, "vocabulary", "vocab_size is"),
    (OffsetsBeyond, "piece_tables", "an offset lies outside of it"),
    (Joined, "texts_independent", "has other pieces when it is alone"),
    (NoSecondSep, "row_layout", "has segments"),
    (TooLong, "truncation", "row 0 with max_length 3 has 4 tokens"),
    (NewMark, "same_again", "two builds have different fingerprints"),
    (OtherFiles, "files_round_trip", "made again from its files it has another fingerprint"),
    (WordsOff, "given_words", "a piece names word"),
]


@pytest.mark.parametrize(("tokenizer", "check", "told"), TOKENIZERS)
def test_tokenizers(verdict, tokenizer: Any, check: str, told: str) -> None:
    spec = builtin("tokenizer", "wordpiece")

    def build(config: Any) -> Any:
        pieces = Path(config.vocab).read_text(encoding="utf-8").splitlines()
        return tokenizer(pieces, lower_case=True)

    assert told in verdict(replace(spec, build=build), check)


def test_a_pipeline_that_cuts_otherwise(verdict) -> None:
    spec = builtin("tokenizer", "wordpiece")
    assert spec.pipeline is not None

    def pipeline(config: Any) -> str:
        return spec.pipeline(config.model_copy(update={"split_cjk": False}))

    told = verdict(replace(spec, pipeline=pipeline), "pipeline")
    assert 'the pipeline cuts text "unaffable na' in told


# Tasks.


class NoIds(SentenceTask):
    def read(self, split):
        return [{"texts": e["texts"], "label": "0"} for e in super().read(split)]


class LongRows(SentenceTask):
    def features(self, examples, info, draws=()):
        self._context = replace(self._context, max_length=64)
        return super().features(examples, info, draws)


class NoTargets(SentenceTask):
    def features(self, examples, info, draws=()):
        return replace(super().features(examples, info, draws), targets={})


class Shuffled(SentenceTask):
    def predict(self, examples, outputs, info):
        return super().predict(examples, outputs, info)[::-1]


class OneMetric(SentenceTask):
    def score(self, split, examples, predictions):
        return {"accuracy": super().score(split, examples, predictions)["accuracy"]}


class HalfWritten(SentenceTask):
    def write(self, split, examples, predictions, folder):
        paths = super().write(split, examples, predictions, folder)
        paths[0].write_text("half\n", encoding="utf-8")
        return paths


class Bare(SentenceTask):
    def read(self, split):
        try:
            return super().read(split)
        except Exception as error:
            raise KeyError("label") from error


class Opens(SentenceTask):
    def setup(self, data):
        (data / "CoLA/train.tsv").read_text(encoding="utf-8")
        return super().setup(data)


class Guesses(SentenceTask):
    def example(self, fields):
        return {"id": "", "texts": (fields.get("text", ""),), "label": "0"}


class MoreSplits(SentenceTask):
    @property
    def splits(self):
        return {**super().splits, "more": "test"}


class NewMarks(SentenceTask):
    def setup(self, data):
        return replace(super().setup(data), fingerprint=str(id(self)))


class Batched(SentenceTask):
    def features(self, examples, info, draws=()):
        made = super().features(examples, info, draws)
        ids = np.where(made.tokens["input_ids"] > 4, len(examples), made.tokens["input_ids"])
        return replace(made, tokens={**made.tokens, "input_ids": ids})


class LosesTheLast(SentenceTask):
    def write(self, split, examples, predictions, folder):
        paths = super().write(split, examples, predictions, folder)
        lines = paths[0].read_text(encoding="utf-8").splitlines()
        paths[0].write_text("\n".join(lines[:-1]), encoding="utf-8")
        return paths


class LeastProbable(SentenceTask):
    def predict(self, examples, outputs, info):
        turned = [
            [(feature, {"probabilities": 1 - a["probabilities"]}) for feature, a in each]
            for each in outputs
        ]
        return super().predict(examples, turned, info)


class TargetsReversed(SentenceTask):
    def features(self, examples, info, draws=()):
        turned = replace(info, labels=info.labels[::-1])
        return super().features(examples, turned, draws)


class BothReversed(TargetsReversed):
    """The head's labels mean something else, but only within the task."""

    def predict(self, examples, outputs, info):
        turned = replace(info, labels=info.labels[::-1])
        return super().predict(examples, outputs, turned)


class AlwaysHalf(SentenceTask):
    def score(self, split, examples, predictions):
        return dict.fromkeys(super().score(split, examples, predictions), 0.5)


class CountsOnce(SentenceTask):
    def resampler(self, split, examples, predictions):
        sample = super().resampler(split, examples, predictions)
        return lambda rows: sample(np.unique(rows))


class TellsTheLabel(SentenceTask):
    def features(self, examples, info, draws=()):
        told = [
            {**each, "texts": (f"{each['label']} {each['texts'][0]}",)} if "label" in each else each
            for each in map(dict, examples)
        ]
        return super().features(told, info, draws)


class OneMark(SentenceTask):
    def setup(self, data):
        return replace(super().setup(data), fingerprint="same")


FACTS = {facts.name: facts for facts in GLUE}
TASKS = [
    (MoreSplits, "splits_and_metrics", "task.splits is"),
    (NewMarks, "setup_fixes_labels", "setup gives another TaskInfo for the same data"),
    (Opens, "missing_data", "FileNotFoundError"),
    (NoIds, "reads_examples", 'split "train": an example without id'),
    (LongRows, "makes_features", "with max_length 8: a row has"),
    (NoTargets, "makes_features", "targets none, its spec declares labels"),
    (Batched, "features_repeat", "features depend on how examples are put into batches"),
    (Shuffled, "answers_every_example", "the prediction for '0' has id '39'"),
    (OneMetric, "scores_what_it_declares", 'score of split "dev" lacks matthews'),
    (HalfWritten, "writes_every_row", "write leaves rows out: 1 lines for"),
    (LosesTheLast, "writes_each_answer", "the answer to '399' is in none of its files"),
    (LeastProbable, "right_answers", "predict says '0' where the head is sure of '1'"),
    (TargetsReversed, "right_answers", 'matthews of split "dev" is -1 for the answers that'),
    (BothReversed, "right_answers", "where the head is sure of"),
    (AlwaysHalf, "right_answers", 'matthews of split "dev" is 0.5 whatever the answers are'),
    (CountsOnce, "samples_score_alike", 'split "dev": the resampler gives {'),
    (TellsTheLabel, "labels_stay_hidden", 'without "label" an example has other rows'),
    (OneMark, "fingerprint_follows_data", "and TaskInfo the same fingerprint"),
    (Bare, "damaged_data", 'file of split "train" it raises KeyError'),
    (Guesses, "example_from_fields", "an example without label gets targets"),
]


@pytest.mark.parametrize(("task", "check", "told"), TASKS)
def test_tasks(verdict, task: Any, check: str, told: str) -> None:
    spec, facts = builtin("task", "cola"), FACTS["cola"]

    def build(config: Any, context: Any) -> Any:
        return task(PublishedSentences(facts, context), context)

    broken = replace(spec, build=build)
    assert told in verdict(broken, check)


def test_scores_in_reverse_are_found(verdict) -> None:
    class Distances(SentenceTask):
        def predict(self, examples, outputs, info):
            made = super().predict(examples, outputs, info)
            return [{**each, "value": 5 - each["value"]} for each in made]

    spec, facts = builtin("task", "stsb"), FACTS["stsb"]

    def build(config: Any, context: Any) -> Any:
        return Distances(PublishedSentences(facts, context), context)

    broken = replace(spec, build=build)
    assert 'pearson of split "dev" is -1 for the answers' in verdict(broken, "right_answers")


def test_every_check_has_a_broken_task(own_checks) -> None:
    every = own_checks((*tasks.CHECKS, *task_answers.CHECKS))
    assert {check for _, check, _ in TASKS} == every


def test_a_task_without_data_asks_for_it(verdict, material, tmp_path: Path) -> None:
    spec = builtin("task", "wnli")
    told = verdict(spec, "reads_examples")
    assert "setup finds no data" in told
    assert "name a folder that has its files: data=..." in told
    told = verdict(spec, "reads_examples", material=material(data=tmp_path))
    assert "data=..." not in told


# Loaders.


def write(folder: Path) -> None:
    """A checkpoint of a format of its own: names and lists of numbers."""
    values = {"a": [float(n) for n in range(50)], "b": [1.0, 2.0]}
    (folder / "tensors.numbers").write_text(json.dumps(values), encoding="utf-8")


def claims(path: str) -> str | None:
    file = Path(path) / "tensors.numbers"
    return "has tensors.numbers" if file.is_file() else None


def describe(config: Any, path: str, tasks: Any) -> Any:
    from bertmod import CheckpointDescription

    return CheckpointDescription("numbers", files=(Path(path) / "tensors.numbers",))


def tensors(path: str) -> Any:
    import torch

    from bertmod import CheckpointError, StoredTensor

    try:
        found = json.loads((Path(path) / "tensors.numbers").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    return {
        name: StoredTensor(name, (len(values),), lambda values=values: torch.tensor(values))
        for name, values in found.items()
    }


def loader(**changed: Any) -> Any:
    from bertmod import LoaderSpec

    about: dict[str, Any] = {
        "name": "numbers",
        "config": EmptyConfig,
        "can_load": claims,
        "describe": describe,
        "tensors": tensors,
        "summary": "Numbers.",
    }
    return LoaderSpec(**{**about, **changed})


def unguarded(path: str) -> Any:
    json.loads((Path(path) / "tensors.numbers").read_text(encoding="utf-8"))
    return tensors(path)


def misshapen(path: str) -> Any:
    return {name: replace(each, shape=(3,)) for name, each in tensors(path).items()}


def littering(path: str) -> Any:
    (Path(path) / "index").touch()
    return tensors(path)


LOADERS = [
    ({"can_load": lambda path: "anything"}, "foreign_paths", "it claims"),
    ({"can_load": lambda path: None}, "knows_its_own", "it does not know"),
    ({"describe": lambda *a: replace(describe(*a), files=())}, "description", "files are ()"),
    ({"tensors": misshapen}, "stored_tensors", "has shape (50,), not (3,) as it said"),
    ({"tensors": unguarded}, "truncated_files", "with half of tensors.numbers it raises JSON"),
    ({"tensors": littering}, "files_kept", "files beside or in the checkpoint have changed"),
]


@pytest.mark.parametrize(("changed", "check", "told"), LOADERS)
def test_loaders(verdict, material, changed: Any, check: str, told: str) -> None:
    assert told in verdict(loader(**changed), check, material=material(checkpoint=write))


def test_a_sound_loader(verdicts, material) -> None:
    assert verdicts(loader(), material=material(checkpoint=write)) == {}


SMALL = {
    "vocab_size": 5,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}


def own_model(folder: Path) -> None:
    """A fresh encoder as bertmod's own writer writes it."""
    spec = builtin("encoder", "bert")
    config = spec.complete(spec.config(**SMALL))
    content = CheckpointContent(
        encoder={"name": "bertmod/bert", **config.model_dump()},
        tokenizer={"name": "bertmod/wordpiece", "vocab": "vocab.txt"},
        files={"vocab.txt": b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n"},
        tensors={"encoder": canonical_tensors(build_encoder("bert", **SMALL), spec.names(config))},
    )
    builtin("loader", "bertmod").writer.write(content, folder)


def noisy(content: CheckpointContent, folder: Path) -> str:
    encoder = {name: tensor + 1e-4 for name, tensor in content.tensors["encoder"].items()}
    return str(bertmod_writer.write(replace(content, tensors={"encoder": encoder}), folder))


def with_readme(content: CheckpointContent, folder: Path) -> str:
    (folder / "README.md").write_text("Mine.")
    return str(bertmod_writer.write(content, folder))


WRITERS = [
    (noisy, "the encoder that it reads is not the one that it wrote"),
    (with_readme, "it cannot write its own checkpoint: bertmod: its writer makes README.md"),
    (lambda content, folder: "", "it does not know what it has written"),
]


@pytest.mark.parametrize(("write_", "told"), WRITERS)
def test_writers(verdict, material, write_: Any, told: str) -> None:
    broken = replace(builtin("loader", "bertmod"), writer=CheckpointWriter("bertmod", write_))
    found = verdict(broken, "written_again", material=material(checkpoint=own_model))
    assert told in found


def test_a_loader_without_checkpoint_asks_for_it(verdict) -> None:
    told = verdict(loader(), "description")
    assert 'it needs a checkpoint that it knows: checkpoint={"numbers": path}' in told
