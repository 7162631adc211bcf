"""Freezing, learning rates and weight decay: what is accepted, and each message in full."""

from __future__ import annotations

import json

import pytest

import bertmod
from bertmod.recipe.freezing import is_frozen
from bertmod.recipe.parameters import declared
from bertmod.recipe.resolve import resolve

TINY = {
    "name": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
PALS = {"name": "pals", "bottleneck_size": 8, "num_heads": 2}
VALUES = {"encoder": TINY, "tasks": [{"name": "cola"}, {"name": "rte"}]}
VERSION = bertmod.__version__


def frozen(registry, freeze, **changes) -> set[str]:
    """Names of the encoder's frozen parameters."""
    recipe = resolve({**VALUES, "freeze": freeze, **changes}, registry)
    rows = recipe.encoder.spec.names(recipe.encoder.config)
    depth = recipe.shape.num_hidden_layers
    return {p.name for p in declared("encoder.", rows) if is_frozen(recipe.freeze, p, depth)}


def everything(registry) -> set[str]:
    return frozen(registry, "encoder")


def norms(names: set[str]) -> set[str]:
    return {name for name in names if ".norm." in name}


def test_policies(registry):
    every = everything(registry)
    assert frozen(registry, "none") == set()
    assert "encoder.layer.0.attention.qkv.weight" in every
    assert "encoder.pooler.dense.bias" in every
    assert not any(".query." in name for name in every)
    assert frozen(registry, "encoder_except_layer_norm") == every - norms(every)
    assert len(norms(every)) == 2 + 4 * 4


@pytest.mark.parametrize(
    ("freeze", "prefixes"),
    [
        ({"embeddings": True}, ["embeddings."]),
        ({"layers": "bottom_half"}, ["layer.0.", "layer.1."]),
        ({"layers": "top_half"}, ["layer.2.", "layer.3."]),
        ({"layers": [2, 0]}, ["layer.0.", "layer.2."]),
        ({"layers": "all", "pooler": True}, ["layer.", "pooler."]),
        ({"patterns": ["encoder.layer.1.*"]}, ["layer.1."]),
        ({"embeddings": True, "patterns": ["*.ffn.up.*"]}, ["embeddings.", "FFN"]),
    ],
)
def test_parts(registry, freeze, prefixes):
    every = everything(registry)
    expected = {
        name
        for name in every
        if name.startswith(tuple(f"encoder.{prefix}" for prefix in prefixes))
        or ("FFN" in prefixes and ".ffn.up." in name)
    }
    assert frozen(registry, freeze) == expected


def test_layer_norms_of_frozen_parts_may_train(registry):
    bottom = frozen(registry, {"embeddings": True, "layers": "bottom_half"})
    found = frozen(registry, {"embeddings": True, "layers": "bottom_half", "layer_norm": False})
    assert found == bottom - norms(bottom)
    pattern = {"layers": [0], "layer_norm": False, "patterns": ["encoder.layer.0.ffn.norm.*"]}
    assert norms(frozen(registry, pattern)) == {
        "encoder.layer.0.ffn.norm.weight",
        "encoder.layer.0.ffn.norm.bias",
    }


@pytest.mark.parametrize(
    "freeze",
    [
        "encoder_except_layer_norm",
        {"embeddings": True, "layers": [1, 0], "patterns": ["adapters.cola.*"]},
        {"layers": "top_half", "layer_norm": False},
    ],
)
def test_resolving_twice_gives_the_same(registry, freeze):
    optimizer = {
        "name": "adamw",
        "layer_decay": 0.9,
        "weight_decay": {"*.bias": 0.5, "encoder": 0.01, "adapters": 0, "heads": 0.1},
    }
    values = {**VALUES, "adapters": [PALS], "freeze": freeze, "optimizer": optimizer}
    once = resolve(values, registry)
    text = json.dumps(once.to_json())
    again = resolve(json.loads(text), registry)
    assert again.freeze == once.freeze
    assert again.optimizer == once.optimizer
    assert json.dumps(again.to_json()) == text


def test_freezing_what_is_not_there(report):
    freeze = {
        "layers": [1, 7],
        "patterns": [
            "encoder.layers.*",
            "encoder.layer.0.attention.query.*",
            "*.value.bias",
            "adapters.cola.*",
        ],
    }
    assert report({**VALUES, "freeze": freeze}) == (
        "recipes/x.json: 5 problems\n"
        "  freeze.layers\n"
        "      the encoder has 4 layers, counted from 0, not 7\n"
        "  freeze.patterns[0]\n"
        "      no parameter has a name that matches\n"
        "      names look like heads.rte.classifier.bias\n"
        "  freeze.patterns[1]\n"
        "      encoder.layer.0.attention.query.weight is a part of "
        "encoder.layer.0.attention.qkv.weight, which trains as a whole\n"
        "      name the whole of it\n"
        "  freeze.patterns[2]\n"
        "      encoder.layer.0.attention.value.bias is a part of "
        "encoder.layer.0.attention.qkv.bias, which trains as a whole\n"
        "      name the whole of it\n"
        "  freeze.patterns[3]\n"
        "      no parameter has a name that matches\n"
        "      names look like heads.rte.classifier.bias"
    )


def test_the_form_of_freeze(report):
    freeze = {"embedings": True, "layers": "lower_half", "pooler": "yes", "patterns": "encoder.*"}
    assert report({**VALUES, "freeze": freeze}) == (
        "recipes/x.json: 4 problems\n"
        "  freeze.embedings\n"
        '      unknown option, did you mean "embeddings"?\n'
        '      "freeze" takes: embeddings, layers, pooler, layer_norm, patterns\n'
        "  freeze.layers\n"
        '      expected "all", "top_half" or "bottom_half", a list of integers, at least 0, not '
        'empty, or null, not "lower_half"\n'
        "      Encoder layers that are frozen, from 0, or all, or one half; null: none.\n"
        "  freeze.pooler\n"
        '      expected true or false, not "yes"\n'
        "      Whether what lies above the last layer, BERT's pooler, is frozen.\n"
        "  freeze.patterns\n"
        '      expected a list of strings, not "encoder.*"\n'
        "      Shell patterns of names of further parameters that are frozen, of any part."
    )
    for nothing in ({}, {"embeddings": False, "layer_norm": False}):
        assert report({**VALUES, "freeze": nothing}) == (
            "recipes/x.json: 1 problem\n"
            "  freeze\n"
            "      it names nothing\n"
            '      write "none" to freeze nothing'
        )
    assert report({**VALUES, "freeze": {"layer_norm": False, "patterns": ["encoder.*"]}}) == (
        "recipes/x.json: 1 problem\n"
        "  freeze.layer_norm\n"
        "      no part is named whose LayerNorms it could spare; patterns freeze all they match\n"
        "      name embeddings, layers or pooler beside it, or leave it out"
    )
    assert report({**VALUES, "freeze": {"layers": [1, 1]}}) == (
        "recipes/x.json: 1 problem\n  freeze.layers\n      named twice: 1"
    )


@pytest.mark.parametrize("patterns", [["*"], ["encoder.*", "heads.*"], ["[eh]*"]])
def test_freezing_everything(report, patterns):
    assert report({**VALUES, "freeze": {"patterns": patterns}}) == (
        "recipes/x.json: 1 problem\n"
        "  freeze\n"
        "      nothing is left to train\n"
        "      leave out what should train"
    )


def test_freezing_all_that_one_task_uses(report, registry):
    parts = {"embeddings": True, "layers": "all", "pooler": True}
    values = {**VALUES, "adapters": [{**PALS, "tasks": ["cola"]}]}
    heads = ["heads.*"]
    assert report({**values, "freeze": {**parts, "patterns": heads}}) == (
        "recipes/x.json: 1 problem\n"
        "  freeze\n"
        '      task "rte" has nothing left to train: all that it uses is frozen\n'
        "      leave out heads.rte.*, or the task"
    )
    resolve({**values, "freeze": {**parts, "layer_norm": False, "patterns": heads}}, registry)
    resolve({**values, "freeze": {**parts, "pooler": False, "patterns": heads}}, registry)


def test_a_rate_for_every_part_that_trains(report, registry):
    def values(rates, freeze="none"):
        optimizer = {"name": "adamw", "learning_rate": rates}
        return {**VALUES, "adapters": [PALS], "freeze": freeze, "optimizer": optimizer}

    assert report(values({"encoder": 1e-5, "heads.cola.*": 1e-4})) == (
        "recipes/x.json: 1 problem\n"
        "  optimizer.learning_rate\n"
        "      no learning rate for adapters\n"
        '      add "adapters", or "*" for the rest\n'
        "  optimizer.learning_rate\n"
        "      no learning rate for heads.rte.classifier.weight\n"
        '      add "heads", or "*" for the rest'
    ).replace("1 problem\n", "2 problems\n")
    resolve(values({"adapters": 1e-5, "heads": 1e-4}, "encoder"), registry)
    resolve(values({"adapters": 1e-5, "heads.*": 1e-4}, "encoder"), registry)
    whole = {"layers": "all", "embeddings": True, "pooler": True}
    resolve(values({"adapters": 1e-5, "heads.*": 1e-4}, whole), registry)
    assert report(values({"adapters": 1e-5, "heads": 1e-4}, "encoder_except_layer_norm")) == (
        "recipes/x.json: 1 problem\n"
        "  optimizer.learning_rate\n"
        "      no learning rate for encoder\n"
        '      add "encoder", or "*" for the rest'
    )


def test_decay_is_mapped_as_rates_are(report):
    optimizer = {
        "name": "adamw",
        "weight_decay": {"encoder": 0.1, "*.attention.key.*": 0.0, "head": 0.2},
    }
    assert report({**VALUES, "optimizer": optimizer}) == (
        "recipes/x.json: 2 problems\n"
        '  optimizer.weight_decay["*.attention.key.*"]\n'
        "      encoder.layer.0.attention.key.weight is a part of "
        "encoder.layer.0.attention.qkv.weight, which trains as a whole\n"
        "      name the whole of it\n"
        "  optimizer.weight_decay.head\n"
        '      no part of the model is called "head", did you mean "heads"?\n'
        "      parts: encoder, adapters, heads; or a pattern of names"
    )
    optimizer["weight_decay"] = {"encoder": 0.1, "*.attention.qkv.*": 0.0}
    assert report({**VALUES, "optimizer": optimizer}) == (
        "recipes/x.json: 1 problem\n"
        "  optimizer.weight_decay\n"
        "      no weight decay for heads\n"
        '      add "heads", or "*" for the rest'
    )


def test_numbers_out_of_range(report):
    optimizer = {
        "name": "bert_adam",
        "weight_decay": -0.01,
        "layer_decay": 1.5,
        "learning_rate": {"encoder": 0, "heads": 1e-4},
    }
    assert report({**VALUES, "optimizer": optimizer}) == (
        "recipes/x.json: 3 problems\n"
        "  optimizer.weight_decay\n"
        "      expected a number, at least 0, or an object with numbers, at least 0, not -0.01\n"
        "      Share of a parameter that joins its update before the learning rate is applied, "
        "unitless, 0 or more; or a mapping as for learning_rate. Biases and LayerNorms never "
        "decay.\n"
        "  optimizer.layer_decay\n"
        "      expected a number, above 0, at most 1, not 1.5\n"
        "      Factor of the encoder's learning rates from each layer to the one below it, above "
        "0, at most 1: of n layers, number i from 0 has the rate times layer_decay to the power "
        "n - i, the embeddings to the power n + 1; the pooler, adapters and heads have their full "
        "rates.\n"
        "  optimizer.learning_rate.encoder\n"
        "      expected a number, above 0, not 0"
    )
    assert report({**VALUES, "optimizer": {"name": "adamw", "weight_decays": 0.1}}) == (
        "recipes/x.json: 1 problem\n"
        "  optimizer.weight_decays\n"
        '      unknown option, did you mean "weight_decay"?\n'
        f'      optimizer "adamw" (bertmod {VERSION}) takes: betas, eps, touched_rows, '
        "learning_rate, layer_decay, weight_decay, clip, max_grad_norm, idle, decay_vectors"
    )
