from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertmod.recipe.count import parameter_counts
from bertmod.recipe.load import load_recipe
from bertmod.recipe.report import summary
from bertmod.recipe.resolve import resolve

GLUE = ["cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli"]
BASE = {"name": "bert", "size": "base", "vocab_size": 30522}


def test_tasks_alone_make_a_recipe(registry):
    recipe = resolve({"tasks": [{"name": "cola"}]}, registry)
    assert recipe.encoder.full_name == "bertmod/bert"
    assert recipe.tokenizer.full_name == "bertmod/wordpiece"
    assert recipe.sampler.full_name == "bertmod/anneal"
    assert recipe.optimizer.full_name == "bertmod/bert_adam"
    assert recipe.optimizer.keys.learning_rate == 5e-5
    assert recipe.schedule.full_name == "bertmod/linear"
    assert [tracker.id for tracker in recipe.trackers] == ["jsonl", "tensorboard"]
    assert (recipe.checkpoint, recipe.adapters, recipe.seed) == (None, (), 42)
    assert recipe.data.dir == "sample"
    (task,) = recipe.tasks
    assert (task.id, task.max_length, task.batch_size) == ("cola", 128, 32)
    assert task.keys.metric == "dev/matthews"
    assert task.head is not None
    assert task.head.full_name == "bertmod/classification"


def test_the_vocabulary_gives_the_number_of_word_embeddings(registry, tmp_path):
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    values = {"tasks": [{"name": "cola"}], "tokenizer": {"name": "wordpiece", "vocab": str(vocab)}}
    recipe = resolve(values, registry)
    assert recipe.encoder.config.vocab_size == 6
    assert recipe.tokenizer.config.vocab == str(vocab)


def test_paths_become_absolute(registry, write, tmp_path):
    write("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", "recipes/vocab.txt")
    path = write(
        {
            "tasks": [{"name": "cola"}],
            "data": {"dir": "glue"},
            "tokenizer": {"name": "wordpiece", "vocab": "vocab.txt"},
        }
    )
    recipe = resolve(load_recipe(path), registry)
    assert recipe.data.dir == str(tmp_path / "recipes/glue")
    assert recipe.tokenizer.config.vocab == str(tmp_path / "recipes/vocab.txt")
    recipe = resolve(load_recipe(path), registry, data="elsewhere")
    assert recipe.data.dir == str(tmp_path / "elsewhere")


@pytest.mark.parametrize(("layers", "total"), [("all", 14_558_688), ("top_half", 8_536_608)])
def test_pals_of_eight_tasks_have_the_published_parameters(registry, layers, total):
    values = {
        "encoder": BASE,
        "tasks": [{"name": name} for name in GLUE],
        "adapters": [{"name": "pals", "layers": layers}],
    }
    counts = parameter_counts(resolve(values, registry))
    assert counts.encoder == 109_482_240
    assert sum(counts.adapters.values()) == total
    assert sum(counts.heads.values()) == 12_304


def test_the_summary_says_what_a_recipe_amounts_to(registry):
    values = {
        "encoder": BASE,
        "tasks": [{"name": "mnli"}, {"name": "ax", "uses": "mnli"}],
        "adapters": [{"name": "pals"}],
    }
    assert summary(resolve(values, registry)) == [
        "encoder: bertmod/bert, 12 layers of 768, 109,482,240 parameters",
        "adapter pals: 1,819,836 parameters a task, 1,819,836 for 1 task",
        "encoder and adapters: 111,302,076 parameters, 1.017 times the encoder",
        "task mnli: bertmod/classification, dev_matched/accuracy, 1,819,836 adapter parameters",
        "task ax: uses mnli",
    ]


def test_adapters_know_their_tasks_and_layers(registry):
    values = {
        "encoder": BASE,
        "tasks": [{"name": "rte"}, {"name": "mnli"}, {"name": "ax", "uses": "mnli"}],
        "adapters": [
            {"name": "pals", "layers": [5, 3], "tasks": ["mnli"]},
            {"name": "pals", "id": "low", "layers": "bottom_half"},
        ],
    }
    first, second = resolve(values, registry).adapters
    assert (first.id, first.layers, first.tasks) == ("pals", (3, 5), ("mnli",))
    assert (second.id, second.layers, second.tasks) == ("low", tuple(range(6)), ("rte", "mnli"))


def test_resolving_imports_no_torch():
    code = (
        "import sys; from bertmod.registry import load_registry\n"
        "from bertmod.recipe.resolve import resolve\n"
        "resolve({'tasks': [{'name': 'cola'}], 'adapters': [{'name': 'pals'}]}, load_registry())\n"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


rates = st.floats(1e-8, 1.0)
recipes = st.fixed_dictionaries(
    {
        "tasks": st.lists(st.sampled_from(GLUE), min_size=1, unique=True).map(
            lambda names: [{"name": name} for name in names]
        )
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "freeze": st.sampled_from(["none", "encoder", "encoder_except_layer_norm"])
        | st.fixed_dictionaries(
            {"layers": st.sampled_from([None, "all", "top_half", [1], [1, 0]])},
            optional={
                "embeddings": st.just(True),
                "layer_norm": st.booleans(),
                "patterns": st.just(["encoder.pooler.*"]),
            },
        ).filter(lambda freeze: freeze["layers"] or len(freeze) > 1 + ("layer_norm" in freeze)),
        "data": st.fixed_dictionaries({}, optional={"max_length": st.integers(5, 512)}),
        "encoder": st.fixed_dictionaries(
            {"name": st.sampled_from(["bert", "bertmod/bert"])},
            optional={
                "size": st.sampled_from(["tiny", "mini", "base"]),
                "hidden_act": st.sampled_from(["gelu", "gelu_tanh", "relu", None]),
                "layer_norm_eps": st.floats(1e-12, 1e-3),
            },
        ),
        "adapters": st.just([{"name": "pals", "layers": "top_half"}, {"name": "pals", "id": "b"}]),
        "optimizer": st.fixed_dictionaries(
            {"name": st.sampled_from(["adamw", "bert_adam"])},
            optional={
                "learning_rate": rates | st.fixed_dictionaries({"heads": rates, "*": rates}),
                "weight_decay": rates | st.fixed_dictionaries({"encoder": rates, "*": rates}),
                "layer_decay": rates,
                "max_grad_norm": st.none() | rates,
            },
        ),
        "sampler": st.sampled_from([{"name": "sqrt"}, {"name": "anneal", "drop": 0.5}]),
        "schedule": st.sampled_from([{"name": "constant"}, {"name": "cosine", "first_step": 1}]),
        "training": st.fixed_dictionaries({}, optional={"num_epochs": st.integers(1, 10)}),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=recipes)
def test_resolving_what_was_resolved_gives_the_same(registry, values):
    first = resolve(values, registry)
    written = json.loads(json.dumps(first.to_json(), allow_nan=False))
    second = resolve(written, registry)
    assert second == first
    assert second.to_json() == first.to_json()
