"""What a converted model can do, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod import CheckpointContent, CheckpointError, CheckpointWriter, DataError
from bertmod.builtin.loaders import bertmod_writer
from bertmod.convert import convert, verify
from bertmod.convert.write import write_checkpoint
from bertmod.inference import load_adapter, load_encoder, predict_mixed
from bertmod.model.multitask import MultiTaskModel
from bertmod.recipe.opened import open_checkpoint

NLI = ("neutral", "contradiction", "entailment")
MNLI = ("contradiction", "entailment", "neutral")


def labelled(*names: str) -> dict:
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: n for n, name in enumerate(names)},
    }


def answers(folder: Path, task: str, **fields):
    """What a task of a converted model answers."""
    encoder = load_encoder(folder, device="cpu")
    loaded = load_adapter(folder / task, encoder)
    model = MultiTaskModel(encoder.encoder, {}, {})
    model.attach(task, loaded.adapters, loaded.head)
    model.eval()
    tasks = {task: loaded.prepared}
    (answer,) = predict_mixed(model, tasks, {task: [loaded.prepared.task.example(fields)]})[task]
    return answer


@torch.inference_mode()
def logits(folder: Path, architecture: str, *texts: str):
    """What transformers gives for texts."""
    import transformers

    pieces = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = transformers.BertTokenizer(vocab={piece: n for n, piece in enumerate(pieces)})
    model = getattr(transformers, architecture).from_pretrained(folder).eval()
    return model(**tokenizer(*texts, return_tensors="pt"))


def test_a_classifier_answers_in_bertmod(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", **labelled("good", "bad", "neither"))
    convert(source, tmp_path / "own", to="bertmod", tasks=["mood"])
    answer = answers(tmp_path / "own", "mood", text="the cat sat")
    there = logits(source, "BertForSequenceClassification", "the cat sat").logits.softmax(-1)[0]
    assert list(answer["probabilities"]) == ["good", "bad", "neither"]
    assert list(answer["probabilities"].values()) == pytest.approx(there.tolist(), abs=1e-6)


def test_a_registered_task_has_its_own_order_of_labels(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", **labelled(*map(str.upper, NLI)))
    done = convert(source, tmp_path / "own", to="bertmod", tasks=["mnli"])
    assert set(done.report.reordered) == {
        "heads.mnli.classifier.weight",
        "heads.mnli.classifier.bias",
    }
    record = json.loads((tmp_path / "own/mnli/task.json").read_text())
    assert (record["task"]["name"], tuple(record["info"]["labels"])) == ("bertmod/mnli", MNLI)
    answer = answers(tmp_path / "own", "mnli", text="the cat sat", text_pair="a dog sat")
    there = logits(source, "BertForSequenceClassification", "the cat sat", "a dog sat").logits
    wanted = dict(zip(NLI, there.softmax(-1)[0].tolist(), strict=True))
    assert answer["probabilities"] == pytest.approx(wanted, abs=1e-6)


def test_labels_that_the_user_names(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", num_labels=2)
    convert(
        source,
        tmp_path / "own",
        to="bertmod",
        tasks=["rte"],
        labels=["entailment", "not_entailment"],
    )
    record = json.loads((tmp_path / "own/rte/task.json").read_text())
    assert record["info"]["labels"] == ["not_entailment", "entailment"]
    file = load_file(source / "model.safetensors")["classifier.bias"]
    mine = load_file(tmp_path / "own/rte/model.safetensors")["head.classifier.bias"]
    assert torch.equal(mine, file.flip(0))


def test_labels_without_names_are_called_by_their_numbers(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", num_labels=2)
    convert(source, tmp_path / "own", to="bertmod", tasks=["sst2"])
    assert set(answers(tmp_path / "own", "sst2", text="fine")["probabilities"]) == {"0", "1"}


@pytest.mark.parametrize(
    ("architecture", "config", "fields", "key"),
    [
        (
            "BertForSequenceClassification",
            {**labelled("a", "b,c"), "problem_type": "multi_label_classification"},
            {"text": "the cat"},
            "labels",
        ),
        ("BertForQuestionAnswering", {}, {"question": "who?", "context": "the cat sat"}, "text"),
        (
            "BertForTokenClassification",
            labelled("O", "B-PER", "I-PER"),
            {"text": "Tom sat"},
            "tags",
        ),
        ("BertForTokenClassification", labelled("noun", "verb"), {"text": "Tom sat"}, "tags"),
        (
            "BertForMultipleChoice",
            {},
            {"context": "the cat", "choices": ["sat", "flew"]},
            "choice",
        ),
        ("BertForNextSentencePrediction", {}, {"text": "a cat"}, "label"),
    ],
)
def test_a_task_on_tables_answers_where_no_task_is_known(
    saved, tmp_path, architecture, config, fields, key
) -> None:
    convert(saved(architecture, **config), tmp_path / "own", to="bertmod", tasks=["mine"])
    assert key in answers(tmp_path / "own", "mine", **fields)


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "BertForSequenceClassification"])
def test_a_head_without_a_task_is_kept(saved, tmp_path, architecture) -> None:
    done = convert(saved(architecture, num_labels=1), tmp_path / "own", to="bertmod")
    assert any("the head is kept without a task that answers" in note for note in done.notes)
    encoder = load_encoder(tmp_path / "own", device="cpu")
    with pytest.raises(CheckpointError) as caught:
        load_adapter(tmp_path / "own/task_0", encoder)
    assert str(caught.value) == (
        f"{tmp_path / 'own/task_0'}: a head without a task, so it answers nothing\n"
        "  it can be trained from, as a checkpoint, and converted"
    )


def test_an_activation_that_is_stated_goes_for_the_head_too(saved, tmp_path) -> None:
    """Google's file has one name for both forms of gelu, and says it once."""
    source, stated = saved("BertForMaskedLM", hidden_act="gelu"), {"hidden_act": "gelu_tanh"}
    for to in ("bertmod", "huggingface"):
        convert(source, tmp_path / to, to=to, tasks=["words"], options={"encoder": stated})
    record = json.loads((tmp_path / "bertmod/words/task.json").read_text())
    assert record["head"]["hidden_act"] == "gelu_tanh"
    assert json.loads((tmp_path / "huggingface/config.json").read_text())["hidden_act"] == (
        "gelu_new"
    )
    there = f"transformers:{tmp_path / 'huggingface'}"
    assert verify(str(tmp_path / "bertmod"), there, task="words").equal
    assert verify(str(source), there, task="words", hidden_act="gelu_tanh").equal
    assert not verify(str(source), there, task="words").equal


def test_an_encoder_without_pooler_stays_without(saved, tmp_path, caplog) -> None:
    source = saved("BertForQuestionAnswering")
    done = convert(source, tmp_path / "own", to="bertmod")
    assert done.notes[-1] == (
        "the file has no encoder.pooler.dense.weight, encoder.pooler.dense.bias; nothing in it "
        "needs them, and the copy has none either"
    )
    assert not any(
        "pooler" in name for name in load_file(tmp_path / "own/encoder/model.safetensors")
    )
    first, again = (load_encoder(tmp_path / "own", device="cpu") for _ in range(2))
    assert first.hash == again.hash == done.encoder_hash
    assert "its encoder has no pooled output" in caplog.text


def test_only_what_is_wanted(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", **labelled(*NLI))
    done = convert(source, tmp_path / "own", to="bertmod", encoder_only=True)
    assert (done.tasks, len(done.report.skipped)) == ((), 2)
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["README.md", "encoder"]


def test_an_empty_folder_is_filled(saved, tmp_path) -> None:
    (tmp_path / "own").mkdir()
    convert(saved("BertModel"), tmp_path / "own", to="bertmod")
    assert (tmp_path / "own/encoder").is_dir()


@pytest.mark.parametrize("to", ["bertmod", "huggingface", "tensorflow"])
def test_others_may_read_the_files(saved, tmp_path, to) -> None:
    """As the user's mask has it: some libraries write for their user alone."""
    convert(saved("BertModel"), tmp_path / "copy", to=to)
    (tmp_path / "any").touch()
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert {path.stat().st_mode for path in files} == {(tmp_path / "any").stat().st_mode}


def test_the_readme_tells_where_it_comes_from(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", **labelled(*NLI))
    convert(source, tmp_path / "own", to="bertmod", encoder_only=True)
    text = (tmp_path / "own/README.md").read_text(encoding="utf-8")
    told = f"Converted from `{tmp_path.name}/source`, read by the loader `bertmod/huggingface` "
    assert told in text
    assert "- skipped: 2 tensors: task head that nobody asked for" in text
    assert str(tmp_path) not in text


def test_the_readme_shows_how_to_load_it(saved, tmp_path, monkeypatch) -> None:
    """The Python on it runs beside the folder."""
    monkeypatch.chdir(tmp_path)
    source = saved("BertForSequenceClassification", **labelled(*NLI))
    for to, loads, library in (
        ("bertmod", "load_adapter", "bertmod"),
        ("huggingface", "BertForSequenceClassification", "transformers"),
    ):
        convert(source, to, to=to, tasks=["mnli"])
        text = (tmp_path / to / "README.md").read_text(encoding="utf-8")
        assert f'library_name: "{library}"\n' in text
        code = text.split("```python\n")[1].split("```")[0]
        assert loads in code
        names: dict = {}
        exec(code, names)
    assert names["model"].config.num_labels == 3
    assert "`AutoTokenizer` reads `tokenizer.json`" in text
    assert f"`bertmod run RECIPE --checkpoint {to}` trains from it." in text


def test_the_readme_offers_no_task_that_answers_nothing(saved, tmp_path) -> None:
    convert(saved("BertForMaskedLM"), tmp_path / "own", to="bertmod")
    text = (tmp_path / "own/README.md").read_text(encoding="utf-8")
    assert 'load_encoder("own")\n```' in text
    assert "load_adapter" not in text


def test_what_is_unknown_is_refused_or_allowed(saved, tmp_path) -> None:
    source = saved("BertModel")
    file = source / "model.safetensors"
    save_file({**load_file(file), "bert.gate": torch.ones(2)}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        convert(source, tmp_path / "own", to="bertmod")
    assert str(caught.value) == (
        f"{source} does not fit the model\n"
        "  1 tensor in the file, but known to no part of the model:\n"
        "      bert.gate\n"
        "  if that is meant, --allow-unexpected PATTERN leaves out the names that match"
    )
    done = convert(source, tmp_path / "own", to="bertmod", allow_unexpected=["*.gate"])
    assert done.report.unexpected == ("bert.gate",)
    assert "- left out as asked, known to nothing: 1 tensor" in (
        tmp_path / "own/README.md"
    ).read_text(encoding="utf-8")


def test_a_head_that_cannot_be_told_apart(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", num_labels=1)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(CheckpointError) as caught:
        convert(source, tmp_path / "own", to="bertmod")
    assert str(caught.value) == (
        f"{source}: it cannot be told what these belong to: classifier.bias, classifier.weight\n"
        "  if it is a head, say which: --head NAME, such as classification or multiple_choice\n"
        "  to leave them out: --encoder-only"
    )
    convert(source, tmp_path / "own", to="bertmod", tasks=["swag"], head="multiple_choice")
    assert open_checkpoint(tmp_path / "own").description.heads["swag"]["name"] == (
        "bertmod/multiple_choice"
    )


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (
            labelled("good", "bad"),
            {"tasks": ["sst2"]},
            '{source}: task sst2: the labels of the head are "good", "bad", those of the task '
            '"0", "1"\n  say what they are called there, in the order of the file: --labels A,B\n'
            "  or give the task an id of its own, so that it keeps these names: --task ID",
        ),
        (
            {"num_labels": 3},
            {"tasks": ["sst2"]},
            '{source}: a head with 3 labels, but the task "sst2" has 2\n'
            "  give the task another id: --task sst2_2",
        ),
        (
            {"num_labels": 2},
            {"tasks": ["squad"]},
            '{source}: a head "classification", but the task "squad" has a head "span"\n'
            "  give the task another id: --task squad_2",
        ),
        (
            {"num_labels": 2},
            {"labels": ["a", "b", "c"]},
            "{source}: --labels has 3 names, but the head of task task_0 has 2 labels",
        ),
        (
            labelled("good", "bad"),
            {"head": "classification"},
            "{source}: the file tells which head it has (0: bertmod/classification)\n"
            "  leave --head classification out",
        ),
        (
            {"num_labels": 2},
            {"tasks": ["My-Task"]},
            '{source}: "My-Task" cannot be a task\'s id\n'
            "  accepted: lower-case letters, digits and _, a letter first: --task ID",
        ),
        (
            {"num_labels": 2},
            {"tasks": ["encoder"]},
            'a task called "encoder" has no place beside the folder of that name\n'
            "  give it another id: --task ID",
        ),
        (
            {"num_labels": 2},
            {"merge": True},
            "{source}: no adapters there to merge\n  leave --merge out",
        ),
    ],
)
def test_what_does_not_fit(saved, tmp_path, config, options, message) -> None:
    source = saved("BertForSequenceClassification", **config)
    with pytest.raises(CheckpointError) as caught:
        convert(source, tmp_path / "own", to="bertmod", **options)
    assert str(caught.value) == message.format(source=source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize("labels", [["a", "a"], ["a", ""]])
def test_label_names_that_are_none(saved, tmp_path, labels) -> None:
    source = saved("BertForSequenceClassification", num_labels=2)
    with pytest.raises(DataError, match="--labels: each name once, and none empty"):
        convert(source, tmp_path / "own", to="bertmod", labels=labels)


def test_a_head_that_nobody_has(saved, tmp_path) -> None:
    with pytest.raises(DataError) as caught:
        convert(saved("BertModel"), tmp_path / "own", to="bertmod", tasks=["squad"], head="spann")
    assert str(caught.value).startswith(
        '--head: no head called "spann", did you mean "span"?\n    available: classification, '
    )


def test_labels_of_a_trained_task_are_its_own(saved, tmp_path) -> None:
    """Formats of others take other names; bertmod's own would have two kinds of them."""
    convert(
        saved("BertForSequenceClassification", num_labels=2),
        tmp_path / "own",
        to="bertmod",
        tasks=["sst2"],
    )
    with pytest.raises(CheckpointError) as caught:
        convert(tmp_path / "own", tmp_path / "copy", to="bertmod", labels=["bad", "good"])
    assert str(caught.value) == (
        f"{tmp_path / 'own'}: in bertmod's record the labels of task sst2 are called 0, 1\n"
        "  leave --labels out; formats of others take other names"
    )
    convert(tmp_path / "own", tmp_path / "copy", to="huggingface", labels=["bad", "good"])
    found = open_checkpoint(tmp_path / "copy").description.infos["sst2"].labels
    assert found == ("bad", "good")


def test_renaming_labels_is_told(saved, tmp_path) -> None:
    source = saved("BertForSequenceClassification", **labelled("bad", "good"))
    done = convert(source, tmp_path / "own", to="bertmod", tasks=["sst2"], labels=["0", "1"])
    assert "sst2: labels renamed: bad to 0, good to 1" in done.notes


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written_stays(tmp_path, error) -> None:
    def fails(content: CheckpointContent, folder: Path) -> str:
        bertmod_writer.write(content, folder)
        raise error

    content = CheckpointContent({}, {}, {"vocab.txt": b"a"}, {"encoder": {"a": torch.ones(2)}})
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError
    with pytest.raises(kind) as caught:
        write_checkpoint(tmp_path / "own", content, CheckpointWriter("bertmod", fails), card=str)
    if kind is DataError:
        assert str(caught.value) == (
            f"{tmp_path / 'own'}: cannot be written: No space left on device"
        )
    assert list(tmp_path.iterdir()) == []
