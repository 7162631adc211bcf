"""A checkpoint against what the recipe states of it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve

CONFIG = {
    "model_type": "bert",
    "vocab_size": 5,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "hidden_act": "gelu",
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


@pytest.fixture
def checkpoint(tmp_path):
    """A folder in the hub's layout of which only configuration and vocabulary are read here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    words = torch.zeros(5, 256)
    save_file({"embeddings.word_embeddings.weight": words}, folder / "model.safetensors")
    return folder


NOTE = "checkpoint.path: read as huggingface (config.json of a BERT model beside model.safetensors)"


def slot(path, **more):
    return {"name": "auto", "path": str(path), **more}


def recipe(path=None, **more):
    named = {} if path is None else {"checkpoint": slot(path)}
    return {**named, "data": {"max_length": 64}, "tasks": [{"name": "cola"}], **more}


def test_sizes_and_vocabulary_come_from_the_checkpoint(registry, checkpoint):
    resolved = resolve(recipe(checkpoint), registry)
    assert resolved.checkpoint is not None
    assert resolved.checkpoint.full_name == "bertmod/huggingface"
    config = resolved.encoder.config
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (256, 4, 5)
    assert resolved.tokenizer.config.vocab == str(checkpoint / "vocab.txt")
    assert resolved.shape.max_length == 64
    assert resolved.notes == (NOTE,)


def test_a_resolved_recipe_agrees_with_its_checkpoint(registry, checkpoint):
    first = resolve(recipe(checkpoint), registry)
    assert resolve(first.to_json(), registry) == first


def test_equal_values_and_a_size_that_means_them_are_no_disagreement(registry, checkpoint):
    encoder = {"name": "bert", "size": "mini", "hidden_size": 256}
    assert resolve(recipe(checkpoint, encoder=encoder), registry).encoder.config.size == "mini"


def test_what_the_encoder_lets_a_recipe_state_wins(registry, checkpoint):
    encoder = {"name": "bert", "hidden_act": "gelu_tanh", "hidden_dropout_prob": 0.3}
    config = resolve(recipe(checkpoint, encoder=encoder), registry).encoder.config
    assert (config.hidden_act, config.hidden_dropout_prob) == ("gelu_tanh", 0.3)


STATED = {
    "encoder": {"name": "bert", "size": "tiny", "num_hidden_layers": 3},
    "tokenizer": {"name": "wordpiece", "vocab": "other.txt"},
}


def test_any_other_disagreement_names_both_values(report, tmp_path, checkpoint):
    assert report(recipe("../model", **STATED)) == (
        "recipes/x.json: 3 problems\n"
        "  encoder.size\n"
        '      "tiny" is stated, the checkpoint has hidden_size 256, num_hidden_layers 4, '
        "num_attention_heads 4, intermediate_size 1024\n"
        "      leave it out to take the checkpoint's\n"
        "  encoder.num_hidden_layers\n"
        "      3 is stated, the checkpoint says 4\n"
        "      leave it out to take the checkpoint's\n"
        "  tokenizer.vocab\n"
        f'      "{tmp_path}/recipes/other.txt" is stated, '
        f'the checkpoint says "{checkpoint}/vocab.txt"\n'
        "      leave it out to take the checkpoint's"
    )


def test_the_command_line_replaces_what_the_recipe_states(registry, write, tmp_path, checkpoint):
    raw = load_recipe(write(recipe(**STATED)))
    resolved = resolve(raw, registry, checkpoint="model")
    assert resolved.encoder.config.num_hidden_layers == 4
    assert resolved.encoder.config.size is None
    assert resolved.notes == (
        NOTE,
        f'tokenizer.vocab: "{checkpoint}/vocab.txt" from the checkpoint, '
        f'in place of the recipe\'s "{tmp_path}/recipes/other.txt"',
        "encoder.num_hidden_layers: 4 from the checkpoint, in place of the recipe's 3",
        "encoder.size: the checkpoint's hidden_size 256, num_hidden_layers 4, "
        'num_attention_heads 4, intermediate_size 1024 in place of the recipe\'s "tiny"',
    )


def test_set_and_checkpoint_may_not_contradict_each_other(report, checkpoint):
    assert report(recipe(), "encoder.hidden_size=128", checkpoint="model") == (
        "recipes/x.json: 1 problem\n"
        "  encoder.hidden_size (--set)\n"
        "      128 is stated, the checkpoint says 256\n"
        "      leave it out to take the checkpoint's"
    )


def test_a_checkpoint_that_is_not_there(report, tmp_path):
    text = report(recipe("no"))
    assert text.startswith(
        "recipes/x.json: 1 problem\n"
        "  checkpoint.path\n"
        f"      there is no {tmp_path}/recipes/no\n"
        "      if that is a model of the Hugging Face hub, write hf:no\n"
        "      looked for:\n"
    )
    assert "        huggingface: " in text


def test_a_folder_that_no_loader_knows(report, tmp_path):
    assert f"no loader knows {tmp_path}\n" in report(recipe(".."))


def test_use_names_tasks_or_parts(report, checkpoint):
    values = recipe(checkpoint=slot("../model", use=["heads", "cola", "colla"]))
    assert report(values) == (
        "recipes/x.json: 1 problem\n"
        "  checkpoint.use[2]\n"
        '      "colla" is neither a task that trains nor "heads" or "adapters", '
        'did you mean "cola"?'
    )


def test_a_checkpoint_that_is_damaged_is_a_problem_of_its_path(report, checkpoint):
    (checkpoint / "vocab.txt").write_text("[PAD]\n")
    assert report(recipe("../model")) == (
        "recipes/x.json: 1 problem\n"
        "  checkpoint.path\n"
        f"      {checkpoint}/vocab.txt: the vocabulary has 1 entries, but the word embeddings have "
        "5 rows\n"
        "      use the vocabulary that belongs to the checkpoint"
    )


def test_a_checkpoint_without_a_vocabulary(registry, write, report, checkpoint):
    named = {"name": "wordpiece", "vocab": "../model/other.txt"}
    (checkpoint / "vocab.txt").rename(checkpoint / "other.txt")
    assert report(recipe("../model")) == (
        "recipes/x.json: 1 problem\n"
        "  tokenizer.vocab\n"
        f"      the checkpoint {checkpoint} has no vocabulary\n"
        "      name the vocab.txt that belongs to it, or put it beside the checkpoint's files"
    )
    found = resolve(load_recipe(write(recipe("../model", tokenizer=named))), registry)
    assert found.tokenizer.config.vocab == str(checkpoint / "other.txt")


@pytest.mark.parametrize(("entries", "rows"), [(6, 5), (28_996, 30_522), (4, 5), (5, 5), (5, 8)])
def test_a_vocabulary_that_the_recipe_names_must_suit_the_rows(
    registry, write, report, checkpoint, entries, rows
):
    (checkpoint / "vocab.txt").unlink()
    words = torch.zeros(rows, 256)
    save_file({"embeddings.word_embeddings.weight": words}, checkpoint / "model.safetensors")
    pieces = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(entries - 4)))
    (checkpoint / "other.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    values = recipe("../model", tokenizer={"name": "wordpiece", "vocab": "../model/other.txt"})
    if entries == 5:
        resolve(load_recipe(write(values)), registry)
        return
    assert report(values) == (
        "recipes/x.json: 1 problem\n"
        "  tokenizer.vocab\n"
        f"      the vocabulary has {entries:,} entries, the checkpoint {rows:,} word embeddings\n"
        "      use the vocabulary that belongs to the checkpoint"
    )


@pytest.fixture
def chooser(checkpoint):
    """The checkpoint with a head that chooses among rows: one output, as a number's head has."""
    values = {**CONFIG, "architectures": ["BertForMultipleChoice"]}
    (checkpoint / "config.json").write_text(json.dumps(values))
    tensors = {
        "embeddings.word_embeddings.weight": torch.zeros(5, 256),
        "classifier.weight": torch.zeros(1, 256),
        "classifier.bias": torch.zeros(1),
    }
    save_file(tensors, checkpoint / "model.safetensors")
    return checkpoint


@pytest.mark.parametrize("more", [{}, {"tasks": ["stsb"]}])
def test_a_head_that_reads_something_else_is_not_taken(report, chooser, more):
    assert report(
        {
            "checkpoint": slot("../model", use=["heads"], **more),
            "data": {"max_length": 64},
            "tasks": [{"name": "stsb"}],
        }
    ) == (
        "recipes/x.json: 1 problem\n"
        "  checkpoint.use\n"
        '      the checkpoint has a head "multiple_choice" for "stsb", which reads labels '
        '(choice), the recipe a head "regression", which reads labels (value)\n'
        "      give the task that head, or name others alone"
    )


def test_a_head_that_nobody_asks_for_may_read_anything(registry, chooser):
    resolve(recipe(chooser, tasks=[{"name": "stsb"}]), registry)
