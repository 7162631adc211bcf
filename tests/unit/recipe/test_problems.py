"""Every problem in one pass, each message in full."""

from __future__ import annotations

from pathlib import Path

import bertmod
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve

VERSION = bertmod.__version__


def test_two_problems_at_once(report):
    values = {
        "tasks": [{"name": "cola"}],
        "adapters": [{"name": "pals", "botleneck_size": 204}],
        "sampler": {"name": "aneal"},
    }
    assert report(values) == (
        "recipes/x.json: 2 problems\n"
        "  adapters[0].botleneck_size\n"
        '      unknown option, did you mean "bottleneck_size"?\n'
        f'      adapter "pals" (bertmod {VERSION}) takes: bottleneck_size, num_heads, '
        "share_projections, hidden_act, attention_probs_dropout_prob, site, id, tasks, layers\n"
        "  sampler.name\n"
        '      no sampler called "aneal", did you mean "anneal"?\n'
        "      available: anneal, explicit, proportional, round_robin, sqrt, temperature"
    )


def test_options_slot_keys_and_envelope_are_checked_in_one_pass(report):
    values = {
        "seed": "42",
        "taks": [],
        "tasks": [{"name": "cola", "loss_weight": 0, "metric": "dev/mathews"}],
        "training": {"num_epochs": 0, "gradient_accumulation_step": 2, "device": "tpu"},
        "optimizer": {"name": "adamw", "learning_rate": {"encoder": "x"}, "clip": "none"},
        "adapters": [{"name": "pals", "num_heads": 2.5, "layers": ["first"]}],
    }
    assert report(values) == (
        "recipes/x.json: 11 problems\n"
        "  seed\n"
        '      expected an integer, at least 0, below 9223372036854775808, not "42"\n'
        "      Seed of every random choice, from 0 to 2**63 - 1.\n"
        "  taks\n"
        '      unknown option, did you mean "tasks"?\n'
        "      a recipe takes: schema_version, seed, data, init, freeze, training, evaluation, "
        "saving, extends, checkpoint, encoder, tokenizer, tasks, adapters, sampler, optimizer, "
        "schedule, trackers\n"
        "  tasks[0].loss_weight\n"
        "      expected a number, above 0, not 0\n"
        "      Factor of its loss, above 0, unitless.\n"
        "  tasks[0].metric\n"
        '      task "cola" has no metric "dev/mathews", did you mean "dev/matthews"?\n'
        "      available: dev/matthews, dev/accuracy\n"
        "  training.num_epochs\n"
        "      expected an integer, at least 1, not 0\n"
        "      Length of the run, epochs; at least 1.\n"
        "  training.gradient_accumulation_step\n"
        '      unknown option, did you mean "gradient_accumulation_steps"?\n'
        '      "training" takes: num_epochs, steps_per_epoch, max_minutes, global_batch_size, '
        "gradient_accumulation_steps, dropout_epochs, precision, loss_scale, ema, offload, device, "
        "parallel, activation_checkpointing, compile, fast, layout\n"
        "  training.device\n"
        '      expected a string that matches ^(auto|cpu|cuda(:[0-9]+)?)$, not "tpu"\n'
        "      auto, cpu, cuda, or cuda:N for the N-th GPU from 0.\n"
        "  optimizer.learning_rate.encoder\n"
        '      expected a number, above 0, not "x"\n'
        "  optimizer.clip\n"
        '      expected "global" or "per_tensor", not "none"\n'
        "      Whether max_grad_norm bounds all gradients together or each alone.\n"
        "  adapters[0].num_heads\n"
        "      expected an integer, above 0, not 2.5\n"
        "      Attention heads inside the bottleneck.\n"
        "  adapters[0].layers[0]\n"
        '      expected an integer, at least 0, not "first"'
    )


def test_missing_tasks_and_slots_that_are_none(report):
    assert report({"encoder": "bert", "sampler": {"drop": 1.0}, "trackers": {"name": "jsonl"}}) == (
        "recipes/x.json: 4 problems\n"
        "  encoder\n"
        '      expected an object, not "bert"\n'
        '      for example {"name": "bert"}\n'
        "  sampler.name\n"
        "      missing: which sampler is it?\n"
        "      available: anneal, explicit, proportional, round_robin, sqrt, temperature\n"
        "  trackers\n"
        '      expected a list of objects, not {"name": "jsonl"}\n'
        "  tasks\n"
        "      missing: a recipe names at least one task\n"
        '      for example "tasks": [{"name": "cola"}]'
    )
    assert report({"tasks": []}) == (
        "recipes/x.json: 1 problem\n  tasks\n      empty: a recipe names at least one task"
    )


def test_what_does_not_fit_the_encoder(report):
    values = {
        "encoder": {"name": "bert", "max_position_embeddings": 64},
        "tasks": [{"name": "cola"}, {"name": "rte", "max_length": 65}],
        "adapters": [
            {"name": "pals", "bottleneck_size": 204, "num_heads": 5},
            {"name": "pals", "id": "high", "layers": [1, 2]},
            {"name": "pals", "id": "twice", "layers": [1, 1]},
        ],
    }
    assert report(values) == (
        "recipes/x.json: 5 problems\n"
        "  tasks[1].max_length\n"
        "      rows of 65 tokens, but the encoder has 64 positions\n"
        "      at most 64\n"
        "  adapters[0].num_heads\n"
        "      5 heads do not divide bottleneck_size 204\n"
        "      accepted: 1, 2, 3, 4, 6, 12, 17, 34, 51, 68, 102, 204\n"
        "      or a bottleneck_size of 200 or 205\n"
        "  adapters[1].layers\n"
        "      the encoder has 2 layers, counted from 0, not 2\n"
        "  adapters[2].layers\n"
        "      named twice: 1\n"
        "  data.max_length\n"
        "      rows of 128 tokens, but the encoder has 64 positions\n"
        "      at most 64"
    )


def test_rows_too_short_for_a_task(report):
    short, enough = {"name": "squad", "max_length": 67}, {"name": "squad", "max_length": 68}
    assert report({"tasks": [short, {**enough, "id": "other"}]}) == (
        "recipes/x.json: 1 problem\n"
        "  tasks[0].max_length\n"
        '      rows of 67 tokens, but with these options task "squad" needs 68\n'
        "      set its max_length to 68 or more"
    )
    values = {"data": {"max_length": 60}, "tasks": [{"name": "cola"}, {"name": "squad"}]}
    assert report(values).startswith("recipes/x.json: 1 problem\n  tasks[1]\n      rows of 60")


SITES = (
    "its sites: embedding_output, query, key, value, attention_dense, attention_output, "
    "attention_norm, ffn_up, ffn_activation, ffn_down, ffn_output, layer_residual, output_norm, "
    "layer_output, encoder_output"
)


def test_sites_that_do_not_suit_an_adapter(report):
    """One of another kind, one that is absent, also where parameters are named by pattern."""
    values = {
        "tasks": [{"name": "cola"}],
        "adapters": [
            {"name": "low_rank", "site": "key"},
            {"name": "bottleneck", "sites": ["ffn_output"], "parallel": ["attention_output"]},
            {"name": "lhuc", "site": "layer_outptu"},
        ],
        "optimizer": {"name": "adamw", "learning_rate": {"*": 1e-3, "adapters.cola.lhuc.*": 1e-4}},
    }
    assert report(values) == (
        "recipes/x.json: 3 problems\n"
        "  adapters[0].site\n"
        '      "key" is a projection site, where nothing can be added\n'
        "      accepted: embedding_output, attention_output, ffn_activation, ffn_output, "
        "layer_residual, layer_output, encoder_output\n"
        "  adapters[1].parallel[0]\n"
        '      "attention_output" is not one of its sites\n'
        "      accepted: ffn_output\n"
        "  adapters[2]\n"
        '      adapter "lhuc" acts at layer_outptu, which encoder "bert" does not have, '
        'did you mean "layer_output"?\n'
        f"      {SITES}"
    )


NEEDS = (
    'adapter "lhuc" changes what adapters before it add at layer_residual, and none adds anything'
)
REMEDY = (
    "list an adapter that acts at layer_residual before it, with the same tasks and layers, or "
    "choose another site"
)


def test_nothing_to_scale_at_a_delta_site(report):
    """Each task and layer needs an adapter earlier in the list."""
    tasks = [{"name": name} for name in ("cola", "rte", "mrpc")]
    lhuc = {"name": "lhuc", "site": "layer_residual"}
    pals = {"name": "pals", "bottleneck_size": 12}
    assert report({"tasks": tasks, "adapters": [lhuc, pals]}) == (
        "recipes/x.json: 1 problem\n"
        "  adapters[0]\n"
        f'      {NEEDS} in layers 0, 1 for "cola", "rte", "mrpc"\n'
        f"      {REMEDY}"
    )
    adapters = [
        pals | {"tasks": ["cola"], "layers": [1]},
        {"name": "low_rank", "tasks": ["rte", "cola"], "site": "ffn_output"},
        {"name": "low_rank", "id": "beside", "tasks": ["mrpc"]},
        lhuc,
    ]
    assert report({"tasks": tasks, "adapters": adapters}) == (
        "recipes/x.json: 2 problems\n"
        "  adapters[3]\n"
        f'      {NEEDS} in layer 0 for "cola"\n'
        f"      {REMEDY}\n"
        "  adapters[3]\n"
        f'      {NEEDS} in layers 0, 1 for "rte"\n'
        f"      {REMEDY}"
    )


def test_an_adapter_with_problems_is_not_blamed_twice(report):
    adapters = [{"name": "pals", "num_heads": 5}, {"name": "lhuc", "site": "layer_residual"}]
    text = report({"tasks": [{"name": "cola"}], "adapters": adapters})
    assert text.startswith("recipes/x.json: 1 problem\n  adapters[0].num_heads\n")


def test_something_to_scale_at_a_delta_site(write, registry):
    adapters = [
        {"name": "pals", "bottleneck_size": 12, "layers": [1]},
        {"name": "low_rank", "layers": [0]},
        {"name": "lhuc", "site": "layer_residual", "tasks": ["cola"]},
        {"name": "lhuc", "id": "again"},
    ]
    path = write({"tasks": [{"name": "cola"}, {"name": "rte"}], "adapters": adapters})
    resolved = resolve(load_recipe(path), registry)
    assert [each.id for each in resolved.adapters] == ["pals", "low_rank", "lhuc", "again"]


def test_heads_must_divide_the_width(report):
    text = report(
        {"encoder": {"name": "bert", "num_attention_heads": 3}, "tasks": [{"name": "rte"}]}
    )
    assert text.startswith(
        "recipes/x.json: 1 problem\n"
        "  encoder.num_attention_heads\n"
        "      3 heads do not divide hidden_size 128\n"
    )


def test_accumulation_divides_every_batch(report):
    values = {
        "tasks": [{"name": "cola", "batch_size": 10}],
        "training": {"gradient_accumulation_steps": 3},
    }
    assert report(values) == (
        "recipes/x.json: 2 problems\n"
        "  tasks[0].batch_size\n"
        "      training.gradient_accumulation_steps 3 does not divide it\n"
        "      use a multiple of 3\n"
        "  training.gradient_accumulation_steps\n"
        "      3 does not divide global_batch_size 32\n"
        "      accepted: 1, 2, 4, 8, 16, 32"
    )


def test_heads_suit_their_tasks(report):
    assert report({"tasks": [{"name": "cola", "head": {"name": "regression"}}]}) == (
        "recipes/x.json: 1 problem\n"
        "  tasks[0].head.name\n"
        '      head "regression" reads labels (value), task "cola" has labels (class)\n'
        "      heads that suit it: classification, next_sentence"
    )


def test_a_head_of_two_labels_suits_no_task_of_three(report):
    assert report({"tasks": [{"name": "mnli", "head": {"name": "next_sentence"}}]}) == (
        "recipes/x.json: 1 problem\n"
        "  tasks[0].head.name\n"
        '      head "next_sentence" tells 2 labels apart (next, random), task "mnli" has 3\n'
        "      heads that suit it: classification"
    )


def test_borrowing_tasks(report):
    values = {
        "tasks": [
            {"name": "mnli"},
            {"name": "ax", "uses": "mnil"},
            {"name": "ax", "id": "ax2"},
            {"name": "stsb", "uses": "mnli"},
            {"name": "ax", "id": "ax3", "uses": "mnli", "loss_weight": 2.0, "head": {"name": "x"}},
        ],
        "adapters": [{"name": "pals", "tasks": ["ax3", "mnlli", "mnli", "mnli"]}],
    }
    assert report(values) == (
        "recipes/x.json: 8 problems\n"
        "  tasks[1].uses\n"
        '      no task "mnil" trains, did you mean "mnli"?\n'
        '      tasks that train: "mnli", "ax2"\n'
        "  tasks[2]\n"
        '      task "ax" has no train split; "uses" names the task that answers it\n'
        '      for example "uses": "mnli"\n'
        "  tasks[3].uses\n"
        '      "mnli" answers labels (class), "stsb" needs labels (value)\n'
        "  tasks[4].loss_weight\n"
        '      "ax3" uses "mnli" and trains nothing\n'
        "      leave it out\n"
        "  tasks[4].head\n"
        '      "ax3" uses the head of "mnli"\n'
        "      leave it out\n"
        "  adapters[0].tasks[0]\n"
        '      "ax3" borrows the adapters of "mnli"\n'
        "      leave it out\n"
        "  adapters[0].tasks[1]\n"
        '      no task "mnlli", did you mean "mnli"?\n'
        '      tasks: "mnli", "ax2"\n'
        "  adapters[0].tasks[3]\n"
        '      "mnli" is named twice\n'
        "      leave one of the two"
    )


def test_ids_are_unique_and_sizes_name_tasks(report):
    values = {
        "tasks": [{"name": "cola"}, {"name": "cola"}, {"name": "rte", "id": "cola"}],
        "sampler": {"name": "sqrt", "sizes": {"cols": 3}},
        "trackers": [{"name": "jsonl"}, {"name": "bertmod/jsonl"}],
    }
    assert report(values) == (
        "recipes/x.json: 4 problems\n"
        "  tasks[1].name\n"
        '      another task has the id "cola" already\n'
        '      give each task an "id" of its own\n'
        "  tasks[2].id\n"
        '      another task has the id "cola" already\n'
        '      give each task an "id" of its own\n'
        "  sampler.sizes.cols\n"
        '      no task "cols" trains, did you mean "cola"?\n'
        '      tasks that train: "cola", "cola", "cola"\n'
        "  trackers[1].name\n"
        '      tracker "jsonl" is listed twice\n'
        "      leave one of the two"
    )


def test_learning_rates_name_parts_and_cover_them(report):
    values = {
        "tasks": [{"name": "cola"}],
        "optimizer": {
            "name": "adamw",
            "learning_rate": {"encoder": 1e-5, "encoder.layers.*": 1e-4, "encoder.layer.0.*": 1e-4},
        },
    }
    assert report(values) == (
        "recipes/x.json: 2 problems\n"
        "  optimizer.learning_rate\n"
        "      no learning rate for heads\n"
        '      add "heads", or "*" for the rest\n'
        '  optimizer.learning_rate["encoder.layers.*"]\n'
        "      no parameter has a name that matches\n"
        "      names look like heads.cola.classifier.bias"
    )
    values["optimizer"]["learning_rate"] = {"encodr": 1e-5}
    assert report(values) == (
        "recipes/x.json: 1 problem\n"
        "  optimizer.learning_rate.encodr\n"
        '      no part of the model is called "encodr", did you mean "encoder"?\n'
        "      parts: encoder, adapters, heads; or a pattern of names"
    )


def test_null_paths_must_be_given(report):
    values = {
        "data": {"dir": None},
        "checkpoint": {"name": "auto", "path": None},
        "tasks": [{"name": "cola"}],
    }
    assert report(values) == (
        "recipes/x.json: 2 problems\n"
        "  data.dir\n"
        "      null: the recipe does not say where the data is\n"
        "      give --data FOLDER, or write the folder here\n"
        "  checkpoint.path\n"
        "      null: the recipe does not say where the checkpoint is\n"
        "      give --checkpoint PATH, or write the path here"
    )


def test_problems_say_where_a_value_came_from(write, registry, report):
    write({"tasks": [{"name": "cola"}], "seed": -1}, "recipes/base.json")
    assert report({"extends": "base.json", "freeze": "all"}, "trainig.num_epochs=3") == (
        "recipes/x.json: 3 problems\n"
        "  freeze\n"
        '      expected "none", "encoder" or "encoder_except_layer_norm", or an object, not "all"\n'
        "      What does not train: a policy, or an object that names parts.\n"
        "  seed (recipes/base.json)\n"
        "      expected an integer, at least 0, below 9223372036854775808, not -1\n"
        "      Seed of every random choice, from 0 to 2**63 - 1.\n"
        "  trainig (--set)\n"
        '      unknown option, did you mean "training"?\n'
        "      a recipe takes: schema_version, seed, data, init, freeze, training, evaluation, "
        "saving, extends, checkpoint, encoder, tokenizer, tasks, adapters, sampler, optimizer, "
        "schedule, trackers"
    )


def test_a_vocabulary_larger_than_the_embedding(report, write):
    write("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", "recipes/vocab.txt")
    values = {
        "encoder": {"name": "bert", "vocab_size": 4},
        "tokenizer": {"name": "wordpiece", "vocab": "vocab.txt"},
        "tasks": [{"name": "cola"}],
    }
    assert report(values) == (
        "recipes/x.json: 1 problem\n"
        "  tokenizer.vocab\n"
        "      the vocabulary has 5 entries, the encoder 4 word embeddings\n"
        "      use the vocabulary that belongs to the encoder, or leave encoder.vocab_size out"
    )


def test_a_missing_vocabulary(report):
    values = {"tokenizer": {"name": "wordpiece", "vocab": "no.txt"}, "tasks": [{"name": "cola"}]}
    path = Path.cwd() / "recipes/no.txt"
    assert report(values) == (
        "recipes/x.json: 1 problem\n"
        "  tokenizer.vocab\n"
        f"      {path}: the vocabulary cannot be read: No such file or directory\n"
        "      it must be the model's vocab.txt"
    )


def test_a_loss_scale_is_for_fp16_alone(report):
    for precision in ("auto", "fp32", "bf16"):
        training = {"precision": precision, "loss_scale": 128}
        assert report({"tasks": [{"name": "cola"}], "training": training}) == (
            "recipes/x.json: 1 problem\n"
            "  training.loss_scale\n"
            f'      only fp16 has a loss scale, and training.precision is "{precision}"\n'
            '      set training.precision to "fp16", or leave it out'
        )


def test_loss_scale_and_offload_that_are_none(report):
    training = {"precision": "fp8", "loss_scale": 0, "offload": "disk"}
    assert report({"tasks": [{"name": "cola"}], "training": training}) == (
        "recipes/x.json: 3 problems\n"
        "  training.precision\n"
        '      expected "auto", "fp32", "bf16" or "fp16", not "fp8"\n'
        "      Arithmetic of the forward: auto is bf16 where this machine multiplies it faster, "
        "else fp32. Parameters are fp32 always.\n"
        "  training.loss_scale\n"
        '      expected "dynamic", or a number, at least 6.103515625e-05, at most 4294967296, '
        "not 0\n"
        "      Factor of the loss in fp16, halved when a step overflows, which is then made "
        "again: dynamic starts at 65536 and doubles after 2,000 good steps; a number, from 2**-14 "
        "to 2**32, is where it starts, and it never grows.\n"
        "  training.offload\n"
        '      expected "cpu" or null, not "disk"\n'
        "      cpu: fp32 copies of the parameters and the optimizer's state are in host memory, "
        "and the optimizer steps there; null: on the device."
    )
