"""Column files of words and tags."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.tags.conll_config import CONLL
from bertmod.builtin.tasks.tags.schemes import iob1, iob2
from bertmod.metrics.entities import entity_counts, entity_scores

TRAIN = """-DOCSTART- -X- O O

a NN I-PER
b NN I-PER
c NN B-PER
d NN O

e\tVB\tI-LOC
f  VB  O
"""
DEV = "a N I-PER\n\nb N O\nc N I-LOC\nd N I-LOC\n"
TEST = "-DOCSTART- O\n\na N\nb N\n\n\nc N\n"
FILES = {"CoNLL2003/train.txt": TRAIN, "CoNLL2003/dev.txt": DEV, "CoNLL2003/test.txt": TEST}
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
PARTS = ("f1", "precision", "recall", "accuracy")


@pytest.fixture
def ready(build_spec, put):
    """A task bound to files, and what it fixed."""

    def bind(files=FILES, **about):
        task = build_spec(CONLL, **about)
        return task, task.setup(put(files))

    return bind


def sure(task, examples, info, tags):
    """Outputs of a head that is sure of some tags, three quarters."""
    found = [[] for _ in examples]
    for feature in task.features(examples, info):
        table = np.full((len(feature.rows[0]["input_ids"]), len(info.labels)), 0.01, np.float32)
        places = zip(feature.host["word"], feature.host["position"], strict=True)
        for word, position in places:
            table[position, info.labels.index(tags[feature.example][word])] = 0.75
        found[feature.example].append((feature, {"probabilities": table}))
    return found


def test_sentences_and_labels(ready, caplog) -> None:
    caplog.set_level(logging.INFO, "bertmod")
    task, info = ready()
    assert caplog.messages[-1].endswith("train.txt has IOB1 tags")
    assert info.labels == LABELS
    assert info.label_counts == (2, 1, 0, 2, 1)
    assert list(task.read("train")) == [
        {"id": "0", "words": list("abcd"), "tags": ["B-PER", "I-PER", "B-PER", "O"]},
        {"id": "1", "words": ["e", "f"], "tags": ["B-LOC", "O"]},
    ]
    assert list(task.read("test")) == [
        {"id": "0", "words": ["a", "b"]},
        {"id": "1", "words": ["c"]},
    ]
    assert task.read("dev")[1:][0]["tags"] == ["O", "B-LOC", "I-LOC"]


@pytest.mark.parametrize(
    "names",
    [
        ("CoNLL2003/eng.train", "CoNLL2003/eng.testa", "CoNLL2003/eng.testb"),
        ("train.txt", "valid.txt", "test.txt"),
        ("CoNLL2003/train.txt", "CoNLL2003/valid.txt", "eng.testb"),
    ],
)
def test_usual_files(build_spec, put, names) -> None:
    data = put(dict(zip(names, (TRAIN, DEV, TEST), strict=True)))
    task = build_spec(CONLL)
    task.setup(data)
    found = [task.files(data, split)[0].relative_to(data).as_posix() for split in task.splits]
    assert tuple(found) == names
    assert [len(task.read(split)) for split in task.splits] == [2, 2, 2]


def test_a_stated_file(ready, tmp_path) -> None:
    (tmp_path / "other.txt").write_text("h X I-PER\n")
    task, _ = ready(dev=str(tmp_path / "other.txt"))
    assert task.read("dev")[0]["words"] == ["h"]


def test_iob2_is_told_from_the_data(ready, caplog) -> None:
    caplog.set_level(logging.INFO, "bertmod")
    task, _ = ready({**FILES, "CoNLL2003/train.txt": "a B-PER\nb I-PER\nc O\n"})
    assert caplog.messages[-1].endswith("train.txt has IOB2 tags")
    assert task.read("train")[0]["tags"] == ["B-PER", "I-PER", "O"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["I-A", "I-A", "B-A", "I-B", "O"], ["B-A", "I-A", "B-A", "B-B", "O"]),
        (["O", "I-A", "O", "I-A"], ["O", "B-A", "O", "B-A"]),
        (["I-A-B", "I-A"], ["B-A-B", "B-A"]),
        ([], []),
    ],
)
def test_schemes(old, new) -> None:
    assert iob2(old) == new
    assert iob2(new) == new
    assert iob1(new) == old


def test_another_column(ready) -> None:
    task, info = ready(tag_column=1, scheme="none")
    assert info.labels == ("NN", "VB")
    assert info.label_counts == (4, 2)
    assert task.read("train")[1]["tags"] == ["VB", "VB"]
    assert CONLL.metrics(CONLL.config(scheme="none")) == {"dev": ("accuracy",)}


def test_a_test_file_with_tags(ready) -> None:
    assert CONLL.metrics(CONLL.config()) == {"dev": PARTS}
    assert CONLL.metrics(CONLL.config(test_has_tags=True)) == {"dev": PARTS, "test": PARTS}
    task, info = ready({**FILES, "CoNLL2003/test.txt": "a N I-PER\n"}, test_has_tags=True)
    test = task.read("test")
    assert list(test) == [{"id": "0", "words": ["a"], "tags": ["B-PER"]}]
    assert task.score("test", test, [{"tags": ["B-PER"]}]) == dict.fromkeys(PARTS, 1.0)
    assert task.features(test, info)[0].targets["labels"].tolist() == [3]


def test_stated_labels_keep_their_order(ready) -> None:
    task, info = ready(labels=["I-PER", "B-PER", "O", "B-LOC", "I-LOC"])
    assert info.labels == ("I-PER", "B-PER", "O", "B-LOC", "I-LOC")
    labels = task.features(task.read("train"), info).targets["labels"]
    assert labels[0].tolist() == [1, 0, 1, 2]


def refused(ready, text, message, **about) -> None:
    with pytest.raises(DataError) as caught:
        ready({**FILES, "CoNLL2003/train.txt": text}, **about)
    assert str(caught.value).split("own/CoNLL2003/")[1] == message


def test_bad_files(ready) -> None:
    refused(ready, "", "train.txt: there are no words in it")
    refused(ready, "-DOCSTART- O\n\n", "train.txt: there are no words in it")
    refused(ready, "a N O\nb N O\n\nc O\n", "train.txt, line 4: 2 columns, line 1 has 3")
    refused(
        ready,
        "a\n",
        "train.txt, line 1: one column\n  a word and its tag are in two, with a space or a tab "
        "between them",
    )
    refused(
        ready,
        "a O\n",
        "train.txt, line 1: 2 columns, so that there is no column 3 (tag_column)",
        tag_column=3,
    )
    refused(
        ready,
        "a O\n",
        "train.txt, line 1: 2 columns; word_column and tag_column are the same",
        tag_column=-2,
    )
    refused(
        ready,
        "a O\nb O\n",
        'train.txt: every word has the tag "O": nothing to learn',
    )


def test_tags_that_break_the_scheme(ready) -> None:
    refused(
        ready,
        "a O\nb X-PER\n",
        'train.txt, line 2: "X-PER" is no tag of an entity'
        '\n  accepted: "O", and "B-" or "I-" with a type behind it'
        '\n  for tags that are no parts of entities: "scheme": "none"',
    )
    refused(
        ready,
        "a O\n\nb B-LOC\nc I-PER\n",
        'train.txt, line 4: "I-PER" begins an entity, which only "B-" does in IOB2'
        '\n  "scheme": "auto" reads both',
        scheme="iob2",
    )
    ready({**FILES, "CoNLL2003/train.txt": "b B-LOC\nc I-PER\n"})


def test_an_unknown_tag(ready) -> None:
    task, info = ready({**FILES, "CoNLL2003/dev.txt": "a O\n\nb O\nc I-ORG\n"})
    with pytest.raises(DataError) as caught:
        task.features(task.read("dev"), info)
    assert str(caught.value).split("own/")[1] == (
        'CoNLL2003/dev.txt, line 4: unknown tag "B-ORG"'
        "\n  the labels are: O, B-LOC, I-LOC, B-PER, I-PER"
        '\n  correct it, or state every tag with "labels"'
    )
    with pytest.raises(DataError, match=r'^example "7", word 0: unknown tag "x"'):
        task.features([{"id": "7", "words": ["a"], "tags": ["x"]}], info)


def test_a_missing_file(build_spec, put) -> None:
    data = put({"CoNLL2003/train.txt": TRAIN})
    with pytest.raises(DataError, match=r"dev\.txt: no such file, task \"conll\" needs it"):
        build_spec(CONLL).setup(data)


def test_a_task_that_borrows_needs_no_training_file(build_spec, put) -> None:
    task = build_spec(CONLL, trains=False)
    info = task.setup(put({"CoNLL2003/dev.txt": DEV}))
    assert info == TaskInfo()
    assert len(task.features(task.read("dev"), TaskInfo(labels=LABELS))) == 2


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"word_column": 2, "tag_column": 2}, ["tag_column"]),
        ({"labels": ["O"]}, ["labels"]),
        ({"labels": ["O", "O"]}, ["labels"]),
        ({"labels": ["O", "PER"]}, ["labels"]),
        ({"labels": ["NN", "VB"], "scheme": "none"}, []),
        ({"labels": ["O", "B-PER", "I-PER"]}, []),
    ],
)
def test_options(options, problems) -> None:
    config = CONLL.config(
        **{**options, "labels": tuple(options["labels"])} if "labels" in options else options
    )
    assert [problem.path for problem in CONLL.check(config)] == problems
    assert CONLL.num_labels(config) == (len(config.labels) if config.labels else None)


def test_features_of_a_sentence(ready) -> None:
    task, info = ready({**FILES, "CoNLL2003/train.txt": "aab I-PER\n\u200b I-PER\nz O\nb I-LOC\n"})
    (feature,) = task.features(task.read("train"), info)
    assert feature.rows[0]["input_ids"].tolist() == [2, 5, 13, 14, 1, 6, 3]
    assert feature.host["word"].tolist() == [0, 2, 3]
    assert feature.host["position"].tolist() == [1, 4, 5]
    assert feature.positions["words"].tolist() == [1, 4, 5]
    assert [info.labels[code] for code in feature.targets["labels"]] == ["B-PER", "O", "B-LOC"]
    assert feature.positions["words"].dtype == feature.targets["labels"].dtype == np.int64


def test_features_of_sentences_without_tags(ready) -> None:
    task, info = ready()
    table = task.features(task.read("test"), info)
    assert not table.targets
    assert not table.positions
    assert [each.host["word"].tolist() for each in table] == [[0, 1], [0]]
    assert len(task.features([], info)) == 0
    assert len(task.features([{"id": "", "words": ["\u200b"]}], info)) == 0


def test_windows_of_a_long_sentence(ready) -> None:
    task, info = ready(max_length=6)
    words = list("abcdefgh")
    table = task.features([{"id": "0", "words": ["a"]}, {"id": "1", "words": words}], info)
    assert table.example.tolist() == [0, 1, 1, 1]
    pieces = [each.rows[0]["input_ids"].tolist() for each in table]
    assert pieces[1:] == [[2, 5, 6, 7, 8, 3], [2, 7, 8, 9, 10, 3], [2, 9, 10, 11, 12, 3]]
    assert [each.host["word"].tolist() for each in table] == [[0], [0, 1, 2], [3, 4], [5, 6, 7]]
    assert [each.host["position"].tolist() for each in table][1:] == [[1, 2, 3], [2, 3], [2, 3, 4]]
    assert table.host["truncated"].values.tolist() == [False] * 4, "windows lose nothing"


def test_a_stated_stride(ready) -> None:
    task, info = ready(max_length=6, doc_stride=4)
    table = task.features([{"id": "1", "words": list("abcdefgh")}], info)
    assert [each.host["word"].tolist() for each in table] == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("max_length", [5, 6, 9, 16])
def test_every_word_is_learnt_and_answered_once(ready, max_length) -> None:
    task, info = ready(max_length=max_length)
    draws = np.random.default_rng(max_length)
    lengths = draws.integers(1, 30, 40)
    words = [draws.choice(["a", "aab", "baba", "z", "\u200b"], n).tolist() for n in lengths]
    tags = [draws.choice(LABELS, n).tolist() for n in lengths]
    examples = [
        {"id": str(i), "words": w, "tags": t}
        for i, (w, t) in enumerate(zip(words, tags, strict=True))
    ]
    seen = [[] for _ in examples]
    for feature in task.features(examples, info):
        labels = [info.labels[code] for code in feature.targets["labels"]]
        ids = feature.rows[0]["input_ids"][feature.positions["words"]]
        rows = zip(feature.host["word"].tolist(), labels, ids, strict=True)
        for word, label, first in rows:
            seen[feature.example].append(word)
            assert label == tags[feature.example][word]
            assert first == {"a": 5, "b": 6, "z": 1}[words[feature.example][word][0]]
    wanted = [[i for i, word in enumerate(each) if word != "\u200b"] for each in words]
    assert [sorted(each) for each in seen] == wanted


def test_examples_by_hand(ready) -> None:
    task, _ = ready()
    assert task.example({"tokens": ["a", "b"], "id": 3}) == {"id": "3", "words": ["a", "b"]}
    assert task.example({"words": "a  b"}) == {"id": "", "words": ["a", "b"]}
    assert task.example({"text": " a\tbb, c", "index": "x"}) == {
        "id": "x",
        "words": ["a", "bb", ",", "c"],
        "text": " a\tbb, c",
        "offsets": [[1, 2], [3, 5], [5, 6], [7, 8]],
    }
    assert task.example({"text": ""}) == {"id": "", "words": [], "text": "", "offsets": []}


def test_examples_that_cannot_be_made(ready) -> None:
    task, _ = ready()
    accepted = '\n  accepted: "words" or "tokens", a list of text, or "text", raw text'
    for fields, message in (
        ({}, "the words are missing\n  given: nothing"),
        ({"sentence": "a"}, 'the words are missing\n  given: "sentence"'),
        ({"text": "a", "words": ["a"]}, 'the words are given twice\n  given: "words", "text"'),
        ({"words": [1]}, '"words" has no words in it'),
        ({"words": []}, '"words" has no words in it'),
        ({"text": ["a"]}, '"text" has no words in it'),
    ):
        with pytest.raises(DataError) as caught:
            task.example(fields)
        assert str(caught.value) == f'task "conll": {message}{accepted}'


def test_predictions(ready) -> None:
    task, info = ready(max_length=6)
    words = ["a", "bb", "\u200b", "c", "d", "e"]
    tags = ["B-PER", "I-PER", "I-PER", "B-LOC", "O", "I-LOC"]
    examples = [{"id": "7", "words": words}, {"id": "8", "words": []}]
    first, second = task.predict(examples, sure(task, examples, info, [tags, []]), info)
    assert first["tags"] == ["B-PER", "I-PER", "O", "B-LOC", "O", "I-LOC"]
    assert first["probabilities"] == [0.75, 0.75, 1.0, 0.75, 0.75, 0.75]
    more = {"probability": 0.75}
    assert first["entities"] == [
        {"type": "PER", "text": "a bb", "first_word": 0, "last_word": 1, "start": 0, "end": 4}
        | more,
        {"type": "LOC", "text": "c", "first_word": 3, "last_word": 3, "start": 7, "end": 8} | more,
        {"type": "LOC", "text": "e", "first_word": 5, "last_word": 5, "start": 11, "end": 12}
        | more,
    ]
    assert second == {"id": "8", "words": [], "tags": [], "probabilities": [], "entities": []}
    assert task.calibrate(examples, [], info) is info
    with pytest.raises(ValueError, match=r"^0 outputs for 2 examples$"):
        task.predict(examples, [], info)


def test_entities_of_raw_text(ready) -> None:
    task, info = ready()
    example = task.example({"text": "a   b."})
    outputs = sure(task, [example], info, [["B-PER", "I-PER", "O"]])
    outputs[0][0][1]["probabilities"][2] *= 0.5
    (answer,) = task.predict([example], outputs, info)
    (entity,) = answer["entities"]
    assert (entity["text"], entity["start"], entity["end"]) == ("a   b", 0, 5)
    assert entity["probability"] == 0.375


def test_a_word_that_cannot_be_read_where_there_is_no_outside(ready) -> None:
    task, info = ready(tag_column=1, scheme="none")
    (answer,) = task.predict([{"id": "", "words": ["\u200b"]}], [[]], info)
    assert (answer["tags"], answer["entities"]) == (["NN"], [])


def test_scores(ready) -> None:
    task, _ = ready()
    dev = task.read("dev")
    right = [{"tags": each["tags"]} for each in dev]
    assert task.score("dev", dev, right) == dict.fromkeys(PARTS, 1.0)
    wrong = [{"tags": ["B-PER"]}, {"tags": ["O", "B-LOC", "O"]}]
    scores = task.score("dev", dev, wrong)
    assert tuple(scores) == PARTS
    assert scores == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "accuracy": 0.75}
    assert task.baseline(dev) == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "accuracy": 0.25}
    again = task.resampler("dev", dev, wrong)
    assert again(np.arange(2)) == scores
    assert again(np.array([0, 0])) == dict.fromkeys(PARTS, 1.0)
    with pytest.raises(DataError, match=r'^task "conll", example "0": 2 tags for 1 words$'):
        task.score("dev", dev, [{"tags": ["O", "O"]}, {"tags": ["O"] * 3}])
    with pytest.raises(DataError, match=r'^task "conll": split "test" has no tags to score'):
        task.score("test", task.read("test"), [])


def answers(examples, tags):
    return [{"id": each["id"], "tags": own} for each, own in zip(examples, tags, strict=True)]


def test_files_written(ready, tmp_path) -> None:
    task, _ = ready()
    dev = task.read("dev")
    given = answers(dev, [["B-PER"], ["B-LOC", "B-LOC", "I-LOC"]])
    (path,) = task.write("dev", dev, given, tmp_path / "new")
    assert path == tmp_path / "new/conll.dev.txt"
    assert path.read_text() == "a N I-PER I-PER\n\nb N O I-LOC\nc N I-LOC B-LOC\nd N I-LOC I-LOC\n"
    test = task.read("test")
    (path,) = task.write("test", test, answers(test, [["O", "I-PER"], ["O"]]), tmp_path / "new")
    assert path.name == "conll.test.txt"
    assert path.read_text() == "-DOCSTART- O O\n\na N O\nb N I-PER\n\n\nc N O\n"


def test_a_written_file_has_the_same_entities(ready, tmp_path) -> None:
    draws = np.random.default_rng(0)
    old = ("O", "I-PER", "B-PER", "I-LOC", "B-LOC")
    text = "".join(
        f"a N {draws.choice(old)}\n" + "\n" * bool(draws.random() < 0.2) for _ in range(300)
    )
    task, _ = ready({**FILES, "CoNLL2003/dev.txt": text})
    dev = task.read("dev")
    given = answers(dev, [draws.choice(LABELS, len(each["words"])).tolist() for each in dev])
    (path,) = task.write("dev", dev, given, tmp_path)
    columns = [
        [
            [line.split()[column] for line in part.splitlines()]
            for part in path.read_text().split("\n\n")
        ]
        for column in (-2, -1)
    ]
    scores = entity_scores(entity_counts(*columns).sum(axis=0))
    found = task.score("dev", dev, given)
    assert scores == {name: found[name] for name in scores}
    assert 0 < scores["f1"] < 1


def test_a_file_with_tabs(ready, tmp_path) -> None:
    task, _ = ready({**FILES, "CoNLL2003/train.txt": "a\tB-X\nb\tI-X\n\nc\tO\n"})
    train = task.read("train")
    (path,) = task.write("train", train, answers(train, [["B-X", "I-X"], ["I-X"]]), tmp_path)
    assert path.read_text() == "a\tB-X\tB-X\nb\tI-X\tI-X\n\nc\tO\tB-X\n"


def test_what_is_not_written(ready, tmp_path) -> None:
    task, _ = ready()
    dev = task.read("dev")
    with pytest.raises(DataError, match=r"1 predictions for 2 rows\n  nothing was written$"):
        task.write("dev", dev[:1], answers(dev[:1], [["O"]]), tmp_path / "new")
    with pytest.raises(DataError, match=r'example "1": 1 tags for 3 words$'):
        task.write("dev", dev, answers(dev, [["O"], ["O"]]), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_sentences_from_no_file(build_spec, tmp_path) -> None:
    task = build_spec(CONLL)
    examples = [{"id": "0", "words": ["a", "b"], "tags": ["B-X", "O"]}]
    (path,) = task.write("dev", examples, answers(examples, [["B-X", "I-X"]]), tmp_path)
    assert path.read_text() == "a B-X B-X\nb O I-X\n\n"
    with pytest.raises(ValueError, match=r"^call setup\(data\) before reading a split$"):
        task.read("dev")


def test_a_file_to_answer(ready) -> None:
    task, _ = ready()
    found = task.examples(task.files(task._data, "dev")[0])
    assert list(found) == [{"id": "0", "words": ["a"]}, {"id": "1", "words": ["b", "c", "d"]}]


def test_the_fingerprint_follows_data_and_options(ready) -> None:
    first = ready()[1].fingerprint
    assert ready()[1].fingerprint == first
    assert ready(scheme="iob1")[1].fingerprint != first
    assert ready({**FILES, "CoNLL2003/train.txt": TRAIN + "\na N O\n"})[1].fingerprint != first


@pytest.mark.shared
@pytest.mark.parametrize(("max_length", "train", "dev"), [(128, 3000, 1000), (16, 7131, 2340)])
def test_conll_2003(glue, max_length, train, dev, caplog) -> None:
    from bertmod import TaskContext
    from bertmod.builtin.tokenizers.modules import WordPieceTokenizer

    caplog.set_level(logging.INFO, "bertmod")
    vocabulary = (glue / "vocab/cased.txt").read_text(encoding="utf-8").split("\n")[:-1]
    tokenizer = WordPieceTokenizer(vocabulary, lower_case=False)
    task = CONLL.build(CONLL.config(), TaskContext("conll", tokenizer, max_length, {}))
    info = task.setup(glue)
    assert caplog.messages[-1].endswith("CoNLL2003/train.txt has IOB1 tags")
    assert info.labels == ("O", *(f"{b}-{t}" for t in ("LOC", "MISC", "ORG", "PER") for b in "BI"))
    assert info.label_counts == (35193, 1910, 224, 856, 293, 1010, 624, 1692, 1275)
    for split, sentences, words, parts, features in (
        ("train", 3000, 43077, 5468, train),
        ("dev", 1000, 14133, 1758, dev),
    ):
        examples = task.read(split)
        table = task.features(examples, info)
        assert (len(examples), len(table)) == (sentences, features)
        learnt = [
            (each.example, word, info.labels[code])
            for each in table
            for word, code in zip(each.host["word"].tolist(), each.targets["labels"], strict=True)
        ]
        wanted = [
            (row, word, tag)
            for row, example in enumerate(examples)
            for word, tag in enumerate(example["tags"])
        ]
        assert sorted(learnt) == wanted
        assert len(wanted) == words
        given = sure(task, examples, info, examples.tags)
        predictions = task.predict(examples, given, info)
        assert task.score(split, examples, predictions) == dict.fromkeys(PARTS, 1.0)
        assert sum(len(each["entities"]) for each in predictions) == parts
