"""``bertmod convert``: a checkpoint of one format in another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod.recipe.opened import open_checkpoint

TWO = [{"name": "cola"}, {"name": "rte"}]


@pytest.fixture(scope="session")
def plain(tmp_path_factory, sample) -> Path:
    """A tiny model in a folder as the hub has it, without a head."""
    import transformers

    folder = tmp_path_factory.mktemp("plain") / "model"
    pieces = (sample / "vocab.txt").read_text(encoding="utf-8")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=pieces.count("\n"), intermediate_size=32, max_position_embeddings=40, **sizes
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text(pieces, encoding="utf-8")
    return folder


def test_a_whole_run(here, trained, tmp_path) -> None:
    result = here("convert", trained, "own", "--to", "bertmod")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-1] == (
        "own: bertmod, 8 tasks: cola, mnli, mrpc, qnli, qqp, rte, sst2, stsb"
    )
    for folder in ("encoder", "cola", "stsb"):
        there = load_file(trained / "best/mean" / folder / "model.safetensors")
        here_ = load_file(tmp_path / "own" / folder / "model.safetensors")
        assert there.keys() == here_.keys()
        assert all(torch.equal(there[name], here_[name]) for name in there)
    was, is_ = (
        json.loads((folder / "mnli/task.json").read_text())
        for folder in (trained / "best/mean", tmp_path / "own")
    )
    for slot in (*was["adapters"], *is_["adapters"]):
        slot.pop("tasks")  # whom the recipe gave one, too
    assert was == is_


def test_one_tasks_best_state(here, trained, tmp_path) -> None:
    """Its encoder lies elsewhere in the run."""
    folder = trained / "best/tasks/mrpc"
    result = here("convert", folder, "own", "--to", "bertmod")
    assert (result.returncode, result.stderr.splitlines()[-1]) == (0, "own: bertmod, 1 task: mrpc")
    hash_ = json.loads((folder / "task.json").read_text())["encoder_hash"]
    assert json.loads((tmp_path / "own/encoder/config.json").read_text())["encoder_hash"] == hash_


def test_a_tasks_folder_alone(here, refused, trained, tmp_path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in (trained / "best/tasks/mrpc").iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    hash_ = json.loads((alone / "task.json").read_text())["encoder_hash"]
    around = tmp_path.parent / "encoders" / hash_
    refused(
        f"error: {alone}: the encoder that this task was trained with is not where its run had "
        f"it\n  looked for: {tmp_path / 'encoder'}, {around}\n",
        *("convert", "alone", "own", "--to", "bertmod"),
    )


def test_a_trained_task_for_transformers(here, trained, tmp_path) -> None:
    words = ("--task", "cola", "--encoder-only")
    result = here("convert", trained, "hub", "--to", "huggingface", *words)
    assert (result.returncode, result.stderr) == (
        2,
        "error: --encoder-only leaves heads and adapters out: give no --task, --head, --labels "
        "or --merge with it\n",
    )
    result = here("convert", trained, "hub", "--to", "huggingface", "--encoder-only")
    assert (result.returncode, result.stderr.splitlines()[-1]) == (0, "hub: huggingface")
    from transformers import AutoModel

    model = AutoModel.from_pretrained(tmp_path / "hub")
    stored = load_file(trained / "best/mean/encoder/model.safetensors")
    mine = model.embeddings.word_embeddings.weight
    assert torch.equal(mine, stored["encoder.embeddings.word_embeddings.weight"])


def test_adapters_that_no_other_program_has(refused, trained) -> None:
    for to in ("huggingface", "tensorflow"):
        refused(
            f'error: {trained}: {to} has no place for adapter "pals" of task "cola"\n'
            "  LoRA and its like can go into the encoder's weights: --merge\n"
            "  leave heads and adapters out: --encoder-only\n"
            "  keep everything: --to bertmod\n",
            *("convert", trained, "out", "--to", to, "--task", "cola"),
        )


def test_two_tasks_in_one_place(here, refused, recipe, tmp_path) -> None:
    assert here("run", recipe("two.json", tasks=TWO, adapters=[])).returncode == 0
    refused(
        f'error: {tmp_path / "runs/two"}: huggingface has one place for head "classification" of '
        'task "cola" and head "classification" of task "rte": both would be called '
        '"classifier.weight"\n'
        "  choose one: --task ID\n  keep everything: --to bertmod\n",
        *("convert", "runs/two", "out", "--to", "huggingface"),
    )
    words = ("--to", "huggingface", "--task", "rte")
    result = here("convert", "runs/two", "out", *words)
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last) == (0, "out: huggingface, 1 task: rte")


def test_adapters_that_cannot_be_merged(refused, trained) -> None:
    refused(
        f'error: {trained}: task cola: "pals" cannot be merged into the encoder\'s weights: no '
        "change of them does the same (adapters that can have a method `merge`)\n"
        "  keep the adapters: --to bertmod\n  leave heads and adapters out: --encoder-only\n",
        *("convert", trained, "out", "--to", "huggingface", "--task", "cola", "--merge"),
    )
    refused(
        f"error: {trained}: the adapters of each task make another encoder of it (cola, mnli)\n"
        "  choose one: --task ID\n",
        *("convert", trained, "out", "--to", "huggingface", "--merge"),
        *("--task", "cola", "--task", "mnli"),
    )


def test_formats_that_are_not_written(refused, plain) -> None:
    accepted = "  accepted: bertmod, huggingface, tensorflow\n"
    for to, what in (
        (
            "hugingface",
            '--to: no format "hugingface" is written, did you mean "huggingface"?',
        ),
        ("onnx", '--to: no format "onnx" is written'),
        *(
            (to, f"--to {to}: that format is read, not written; huggingface replaces it")
            for to in ("pytorch_pretrained_bert", "bert_n_pals")
        ),
    ):
        refused(f"error: {what}\n{accepted}", "convert", plain, "out", "--to", to)


def test_a_target_that_is_there(here, refused, plain, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in ("full", "file", "link"):
        refused(
            f"error: {target}: exists already; name another folder\n",
            *("convert", "there is nothing", target, "--to", "bertmod"),
        )
    refused("error: a/b: there is no folder a\n", "convert", plain, "a/b", "--to", "bertmod")


def test_a_damaged_source(refused, plain, tmp_path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in plain.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    weights = damaged / "model.safetensors"
    tensors = load_file(weights)
    tensors["pooler.dense.bias"][0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    refused(
        f'error: {damaged}: "pooler.dense.bias" has values that are not finite numbers\n'
        "  the file is damaged, or training went astray\n",
        *("convert", damaged, "out", "--to", "bertmod"),
    )


def test_damaged_weights_of_bertmods_own(here, refused, plain, tmp_path) -> None:
    assert here("convert", plain, "own", "--to", "bertmod").returncode == 0
    weights = tmp_path / "own/encoder/model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.pooler.dense.bias"][0] += 1
    save_file(tensors, weights)
    refused(
        f"error: {tmp_path / 'own/encoder'}: damaged: its weights are not those that config.json "
        "was written for\n",
        *("convert", "own", "out", "--to", "huggingface"),
    )


@pytest.mark.parametrize("to", ["bertmod", "huggingface", "tensorflow"])
def test_a_file_that_cannot_be_written_whole(bertmod, plain, tmp_path, to) -> None:
    result = bertmod("convert", plain, "out", "--to", to, largest_file=20_000)
    last = result.stderr.splitlines()[-1]  # a library may complain of its cache before
    assert (result.returncode, last) == (2, "error: out: cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


def test_a_vocabulary_and_an_activation_of_the_users(here, plain, tmp_path) -> None:
    assert here("convert", plain, "bare", "--to", "tensorflow").returncode == 0
    (tmp_path / "bare/vocab.txt").unlink()
    words = ("--vocab", plain / "vocab.txt", "--hidden-act", "gelu_tanh")
    result = here("convert", "bare", "own", "--to", "bertmod", *words)
    assert result.returncode == 0, result.stderr
    found = open_checkpoint(tmp_path / "own")
    assert found.encoder.config.hidden_act == "gelu_tanh"
    assert Path(found.tokenizer.config.vocab).read_bytes() == (plain / "vocab.txt").read_bytes()


def test_a_vocabulary_that_was_there(refused, plain, sample) -> None:
    other = sample / "vocab.txt"
    refused(
        f'error: {plain / "vocab.txt"}: "{other}" is stated, the checkpoint says '
        f'"{plain / "vocab.txt"}"\n  leave it out to take the checkpoint\'s\n',
        *("convert", plain, "out", "--to", "bertmod", "--vocab", other),
    )


def test_adapters_of_a_plugin_are_merged(here, recipe, monkeypatch, tmp_path) -> None:
    """The merged encoder answers in transformers as the run does with its adapters."""
    pytest.importorskip("bertmod_lora")
    monkeypatch.setenv("BERTMOD_PLUGINS", "lora")
    recipe("merge.json", tasks=TWO, adapters=[{"name": "lora"}, {"name": "ia3"}])
    assert here("run", "merge.json").returncode == 0
    words = ("--to", "huggingface", "--task", "cola")
    result = here("convert", "runs/merge", "out", *words)
    assert 'huggingface has no place for adapter "lora" of task "cola"' in result.stderr
    result = here("convert", "runs/merge", "out", *words, "--merge")
    last = result.stderr.splitlines()[-1]
    assert (result.returncode, last) == (0, "out: huggingface, 1 task: cola")
    assert here("convert", "runs/merge", "own", "--to", "bertmod").returncode == 0
    mine, stored = (
        load_file(tmp_path / folder / "cola/model.safetensors")
        for folder in ("own", "runs/merge/best/mean")
    )
    assert mine.keys() == stored.keys()
    assert all(torch.equal(mine[name], stored[name]) for name in mine)
    text = "the cat sat on mats"
    answer = json.loads(here("predict", "runs/merge", "--task", "cola", "--text", text).stdout)
    wanted = answer["probabilities"]
    assert merged_probabilities(tmp_path / "out", text) == pytest.approx(wanted, abs=1e-5)
    told = "- taken into the encoder's weights: the task's adapters `lora`, `ia3`\n"
    assert told in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_merging_reads_no_more_than_was_allowed(here, recipe, monkeypatch, tmp_path) -> None:
    """What is unknown in the file and left out as asked is left out of the merged encoder, too."""
    pytest.importorskip("bertmod_lora")
    monkeypatch.setenv("BERTMOD_PLUGINS", "lora")
    recipe("merge.json", tasks=TWO[:1], adapters=[{"name": "lora"}])
    assert here("run", "merge.json").returncode == 0
    weights = tmp_path / "runs/merge/best/mean/encoder/model.safetensors"
    save_file({**load_file(weights), "encoder.gate": torch.ones(2)}, weights)
    words = ("--to", "huggingface", "--merge")
    assert "encoder.gate" in here("convert", "runs/merge", "out", *words).stderr
    result = here("convert", "runs/merge", "out", *words, "--allow-unexpected", "*.gate")
    assert result.returncode == 0, result.stderr


@torch.inference_mode()
def merged_probabilities(folder: Path, text: str) -> dict[str, float]:
    """What transformers gives for a text."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    probabilities = model(**tokens).logits.softmax(-1)[0].tolist()
    return {model.config.id2label[place]: each for place, each in enumerate(probabilities)}


def test_a_run_starts_from_what_was_converted(here, trained, recipe, tmp_path) -> None:
    """With heads, too."""
    assert here("convert", trained, "own", "--to", "bertmod", "--task", "cola").returncode == 0
    checkpoint = {"name": "auto", "path": "own", "use": ["heads"]}
    name = recipe(checkpoint=checkpoint, encoder={"name": "bert"}, adapters=[])
    assert here("check", name).returncode == 0
    result = here("run", name)
    assert result.returncode == 0, result.stderr
