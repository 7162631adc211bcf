"""Google's checkpoints, saved by TensorFlow itself: recognised, described, read, refused."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod import CheckpointError, EmptyConfig, TaskInfo
from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.names import names
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.model.loading import Component, load_tensors

LOADERS = {spec.name: spec for spec in bertmod_loaders()}
GOOGLE = LOADERS["tensorflow"]
HEADS = {spec.name: spec for spec in bertmod_heads()}
PREFIX = "bert_model.ckpt"
INDEX, DATA = f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001"
QUERY = "encoder/layer_1/attention/self/query/kernel"


@pytest.fixture
def folder(google, tmp_path: Path) -> Path:
    """A copy of the released checkpoint, to be changed."""
    return Path(shutil.copytree(google.folder, tmp_path / "copy"))


@pytest.fixture
def save(google, folder):
    """Saves the encoder's variables and others over the released ones; gives the folder."""

    def save_over(more=None, *, scope="bert/", prefix=PREFIX, **options):
        for file in folder.glob(f"{PREFIX}*"):
            file.unlink()
        google.save(folder / prefix, google.variables(scope) | (more or {}), **options)
        return folder

    return save_over


def describe(path: Path, tasks=None):
    return GOOGLE.describe(EmptyConfig(), str(path), tasks)


def load(path: Path, *heads: str):
    found = describe(path)
    config = BertConfig(**{key: value for key, value in found.encoder.items() if key != "name"})
    encoder, into = BertEncoder(config), {}
    components = [Component("encoder", names(config), encoder, required=True)]
    shape = encoder.shape
    for name in heads:
        head = HEADS[name]
        rows = head.names(head.config(), shape)
        components.append(Component(f"heads.{name}", rows, into=into))
    report = load_tensors(GOOGLE.tensors(str(path)), found, components, source=str(path))
    return encoder, into, report


def refused(path: Path) -> str:
    """What is said when a checkpoint is described, or else read."""

    def read() -> None:
        describe(path)
        for stored in GOOGLE.tensors(str(path)).values():
            stored.load()

    with pytest.raises(CheckpointError) as caught:
        read()
    return str(caught.value)


def rewrite(folder: Path, **changes) -> Path:
    """Change keys of the configuration; None takes them away."""
    file = folder / "bert_config.json"
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return folder


def zipped(folder: Path, target: Path, *, inside: str = "uncased_L-2_H-12/") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, inside + str(file.relative_to(folder)))
    return target


def as_saved_model(google, folder: Path, *, hidden: int = 128) -> Path:
    """A module of TF-Hub: variables, a vocabulary among the assets, no configuration."""
    sides = {12: hidden, 20: 4 * hidden}
    variables = {
        f"module/{name}": np.zeros([sides.get(side, side) for side in value.shape], np.float32)
        for name, value in google.variables().items()
    }
    heads = {"module/cls/predictions/output_bias": np.zeros(11, np.float32)}
    google.save(folder / "variables" / "variables", variables | heads)
    (folder / "assets").mkdir()
    shutil.copy(google.folder / "vocab.txt", folder / "assets" / "vocab.txt")
    (folder / "saved_model.pb").write_bytes(b"\x08\x01")
    return folder


def test_every_path_to_a_released_checkpoint(google) -> None:
    every = {
        path: {name: why for name, spec in LOADERS.items() if (why := spec.can_load(str(path)))}
        for path in (google.folder, *(google.folder / name for name in (PREFIX, INDEX, DATA)))
    }
    assert all(
        claims == {"tensorflow": f"{INDEX} of a TensorFlow checkpoint"} for claims in every.values()
    )
    descriptions = [describe(path) for path in every]
    assert all(found == descriptions[0] for found in descriptions)


def test_a_released_checkpoint_describes_itself(google, values) -> None:
    found = describe(google.folder)
    assert found.format == "tensorflow"
    assert found.encoder == {"name": "bertmod/bert", **values}
    vocab = str(google.folder / "vocab.txt")
    assert found.tokenizer == {"name": "bertmod/wordpiece", "vocab": vocab}
    assert (found.heads, found.tasks, found.infos, found.adapters) == ({}, (), {}, ())
    assert [path.name for path in found.files] == [INDEX, DATA, "bert_config.json", "vocab.txt"]


@pytest.mark.parametrize("scope", ["bert/", "module/bert/", "", "anything/"])
def test_the_scope_is_what_stands_before_the_embeddings(google, save, scope) -> None:
    encoder, _, report = load(save(scope=scope))
    value = google.variables(scope)[f"{scope}{QUERY}"]
    assert np.array_equal(encoder.projection("query", 1)[0].detach().numpy(), value.T)
    assert report.used[f"{scope}{QUERY}"] == "encoder.layer.1.attention.query.weight"
    assert not report.skipped


def test_what_training_left_behind_is_skipped_with_its_reason(save) -> None:
    one = np.zeros(2, np.float32)
    left = {
        "bert/pooler/dense/bias/adam_m": "optimizer slot",
        "bert/pooler/dense/bias/AdamWeightDecayOptimizer": "optimizer slot",
        "bert/pooler/dense/bias/AdamWeightDecayOptimizer_1": "optimizer slot",
        "bert/pooler/dense/bias/BERTAdam/m": "optimizer slot",
        "bert/pooler/dense/bias/LAMBOptimizer": "optimizer slot",
        "bert/pooler/dense/bias/ExponentialMovingAverage": (
            "moving average that training kept beside the variable"
        ),
        "output_weights/adam_v": "optimizer slot",
        "signal_early_stopping/STOP": "bookkeeping of early stopping",
        "current_loss_scale": "bookkeeping of the loss scale",
        "output_bias": "task head that nobody asked for",
        "cls/squad/output_bias": "task head that nobody asked for",
        "cls/predictions/output_bias": "pre-training head that nobody asked for",
        "cls/seq_relationship/output_bias": "pre-training head that nobody asked for",
    }
    _, _, report = load(save(dict.fromkeys(left, one), adam=True))
    assert {name: report.skipped[name] for name in left} == left
    others = {name: why for name, why in report.skipped.items() if name not in left}
    assert others.pop("global_step") == "step counter"
    assert others.pop("beta1_power") == "bookkeeping of the learning rate"
    assert others.pop("beta2_power") == "bookkeeping of the learning rate"
    assert set(others.values()) == {"optimizer slot"}
    assert {f"bert/{QUERY}/Adam", f"bert/{QUERY}/Adam_1"} <= others.keys()


def test_a_name_that_nothing_knows(save) -> None:
    with pytest.raises(CheckpointError, match="1 tensor in the file, but known to no part") as said:
        load(save({"bert/encoder/layer_0/crf": np.zeros(2, np.float32)}))
    assert "      bert/encoder/layer_0/crf\n" in f"{said.value}\n"


CLASSIFIER = {
    "output_weights": np.arange(36, dtype=np.float32).reshape(3, 12),
    "output_bias": np.arange(3, dtype=np.float32),
}
SPAN = {f"cls/squad/{name}": value[:2] for name, value in CLASSIFIER.items()}


def test_a_classifier(save) -> None:
    folder = save(CLASSIFIER)
    assert describe(folder).heads == {"0": {"name": "bertmod/classification"}}
    found = describe(folder, ("topic",))
    assert (found.heads, found.tasks) == ({"topic": {"name": "bertmod/classification"}}, ("topic",))
    _, tensors, _ = load(folder, "classification")
    assert np.array_equal(tensors["classifier.weight"].numpy(), CLASSIFIER["output_weights"])
    assert np.array_equal(tensors["classifier.bias"].numpy(), CLASSIFIER["output_bias"])


def test_a_classifier_of_one_row_is_a_regression(save) -> None:
    one = {name: value[:1] for name, value in CLASSIFIER.items()}
    assert describe(save(one)).heads == {"0": {"name": "bertmod/regression"}}


def test_a_head_of_answers(save) -> None:
    folder = save(SPAN)
    assert describe(folder).heads == {"0": {"name": "bertmod/span"}}
    _, tensors, _ = load(folder, "span")
    weight = next(value for name, value in tensors.items() if name.endswith("weight"))
    assert np.array_equal(weight.numpy(), SPAN["cls/squad/output_weights"])


def test_several_heads_have_names_of_their_own(save) -> None:
    pre_training = {
        "cls/predictions/transform/dense/kernel": np.zeros((12, 12), np.float32),
        "cls/seq_relationship/output_weights": np.zeros((2, 12), np.float32),
    }
    folder = rewrite(save(pre_training), hidden_act="relu")
    assert describe(folder).heads == {
        "masked_lm": {"name": "bertmod/masked_lm", "hidden_act": "relu"},
        "next_sentence": {"name": "bertmod/next_sentence"},
    }
    assert set(describe(folder, ("next_sentence",)).heads) == {"next_sentence"}
    with pytest.raises(CheckpointError) as said:
        describe(folder, ("cola",))
    assert str(said.value) == (
        f'{folder / PREFIX}: no head called "cola" there\n  there: masked_lm, next_sentence'
    )


def test_what_bertmod_wrote_beside_googles_keys(save) -> None:
    head = {
        "slot": {"name": "bertmod/classification", "dropout": 0.2},
        "labels": ["no", "yes", "so"],
        "calibration": {"bias": 0.5},
    }
    options = {"lower_case": False, "max_word_length": 7}
    own = {"hidden_act": "gelu_tanh", "tokenizer": options, "heads": {"topic": head}}
    folder = rewrite(save(CLASSIFIER), bertmod=own)
    found = describe(folder)
    assert found.encoder["hidden_act"] == "gelu_tanh"
    assert found.tokenizer["lower_case"] is False
    assert found.tokenizer["max_word_length"] == 7
    assert found.heads == {"topic": {"name": "bertmod/classification", "dropout": 0.2}}
    assert found.infos == {"topic": TaskInfo(("no", "yes", "so"), calibration={"bias": 0.5})}
    assert found.tasks == ("topic",)
    renamed = describe(folder, ("other",))
    assert renamed.infos == {"other": found.infos["topic"]}

    head["labels"] = ["no", "yes"]
    assert refused(rewrite(folder, bertmod=own)) == (
        f'{folder / "bert_config.json"}: 2 label names for "topic", but output_weights has 3 rows\n'
        "  use the bert_config.json that belongs to the checkpoint"
    )
    head["labels"] = "yes"
    assert refused(rewrite(folder, bertmod=own)) == (
        f"{folder / 'bert_config.json'}: bertmod.heads.topic.labels: Input should be a valid array"
        '\n  without the key "bertmod" the file is read as Google writes it'
    )


def test_a_head_trained_since_the_configuration_was_written(save) -> None:
    head = {"slot": {"name": "bertmod/classification"}, "labels": ["no", "yes"]}
    own = {"hidden_act": "gelu", "tokenizer": {}, "heads": {"topic": head}}
    found = describe(rewrite(save(SPAN), bertmod=own))
    assert (found.heads, found.infos) == ({"span": {"name": "bertmod/span"}}, {})


def test_a_zip_as_google_ships_it(google, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = zipped(google.folder, tmp_path / "uncased_L-2_H-12.zip")
    claims = {name: spec.can_load(str(path)) for name, spec in LOADERS.items()}
    assert {name for name, why in claims.items() if why} == {"tensorflow"}
    assert claims["tensorflow"].endswith(" of a TensorFlow checkpoint in it")
    assert not (tmp_path / "cache").exists()
    encoder, _, report = load(path)
    assert torch.equal(
        encoder.projection("query", 1)[0], load(google.folder)[0].projection("query", 1)[0]
    )
    assert not report.skipped
    other = zipped(google.folder / "absent", tmp_path / "other.zip")
    assert GOOGLE.can_load(str(other)) is None


def test_a_module_of_tf_hub(google, tmp_path: Path) -> None:
    folder = as_saved_model(google, tmp_path / "module")
    inside = folder / "variables"
    for path in (folder, inside, inside / "variables", inside / "variables.index"):
        assert GOOGLE.can_load(str(path)) == "variables.index of a TensorFlow checkpoint"
        found = describe(path)
        assert found.encoder == {
            "name": "bertmod/bert",
            "hidden_act": "gelu",
            "vocab_size": 11,
            "hidden_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 512,
            "max_position_embeddings": 9,
            "type_vocab_size": 2,
        }
        assert found.tokenizer["vocab"] == str(folder / "assets" / "vocab.txt")
    _, _, report = load(folder)
    assert report.skipped == {
        "module/cls/predictions/output_bias": "pre-training head that nobody asked for"
    }


def test_a_module_whose_heads_nothing_tells(google, tmp_path: Path) -> None:
    folder = as_saved_model(google, tmp_path / "module", hidden=96)
    assert refused(folder) == (
        f"{folder}: its hidden size of 96 is no multiple of 64, so that nothing tells the number "
        "of attention heads\n  put the model's bert_config.json into that folder"
    )
    config = json.loads((google.folder / "bert_config.json").read_text())
    config |= {"hidden_size": 96, "intermediate_size": 384}
    (folder / "assets" / "bert_config.json").write_text(json.dumps(config))
    assert describe(folder).encoder["num_attention_heads"] == 3


def test_a_folder_of_several(google, folder: Path) -> None:
    for step in (100, 200):
        google.save(folder / f"model.ckpt-{step}", google.variables())
    every = f"{PREFIX}, model.ckpt-100, model.ckpt-200"
    remedy = f"\n  name one of them, for example {folder / 'model.ckpt-200'}"
    assert GOOGLE.can_load(str(folder)) == "3 TensorFlow checkpoints"
    assert refused(folder) == f"{folder}: 3 checkpoints there: {every}{remedy}"
    state = folder / "checkpoint"
    state.write_text(
        'model_checkpoint_path: "gs://bucket/run/model.ckpt-100"\n'
        'all_model_checkpoint_paths: "model.ckpt-200"\n'
    )
    assert GOOGLE.can_load(str(folder)) == "model.ckpt-100.index of a TensorFlow checkpoint"
    assert describe(folder).files[0].name == "model.ckpt-100.index"
    state.write_text('model_checkpoint_path: "model.ckpt-300"\n')
    assert refused(folder) == (
        f"{folder}: 3 checkpoints there: {every}\n"
        f'  the file "checkpoint" names model.ckpt-300, which is not there{remedy}'
    )
    assert describe(folder / "model.ckpt-200").files[0].name == "model.ckpt-200.index"


def test_without_a_vocabulary_the_recipe_must_name_one(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    found = describe(folder)
    assert found.tokenizer is None
    assert [path.name for path in found.files] == [INDEX, DATA, "bert_config.json"]


def test_without_a_configuration(folder: Path) -> None:
    (folder / "bert_config.json").unlink()
    assert refused(folder) == (
        f"{folder}: no bert_config.json beside {PREFIX}\n  put that of the model there, or that of "
        "the model that it was fine-tuned from"
    )


def test_a_configuration_of_another_model(folder: Path) -> None:
    rewrite(
        folder,
        hidden_size=768,
        num_hidden_layers=12,
        intermediate_size=3072,
        max_position_embeddings=512,
        type_vocab_size=16,
    )
    assert refused(folder) == (
        f"{folder / 'bert_config.json'}: disagrees with the tensors of {PREFIX}\n"
        "  hidden_size: 768 in the configuration, 12 in the tensors\n"
        "  intermediate_size: 3072 in the configuration, 20 in the tensors\n"
        "  max_position_embeddings: 512 in the configuration, 9 in the tensors\n"
        "  type_vocab_size: 16 in the configuration, 2 in the tensors\n"
        "  num_hidden_layers: 12 in the configuration, 2 in the tensors\n"
        "  use the bert_config.json that belongs to the checkpoint"
    )


def test_sizes_that_the_configuration_leaves_out_are_the_tensors(folder: Path) -> None:
    rewrite(folder, intermediate_size=None, max_position_embeddings=None, type_vocab_size=None)
    found = describe(folder).encoder
    assert (found["intermediate_size"], found["max_position_embeddings"]) == (20, 9)


@pytest.mark.parametrize("file", ["bert_config.json", "vocab.txt"])
def test_a_damaged_file_beside(folder: Path, file) -> None:
    (folder / file).write_text("[1]\n" * 40)
    assert refused(folder).startswith(f"{folder / file}: ")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_widths_are_read_exactly(google, save, dtype) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    stored = {name: value.astype(kind) for name, value in google.variables().items()}
    folder = save(stored)
    encoder, _, report = load(folder)
    wanted = stored[f"bert/{QUERY}"].astype(np.float32).T
    assert np.array_equal(encoder.projection("query", 1)[0].detach().numpy(), wanted)
    assert report.rounded == ()
    tensor = GOOGLE.tensors(str(folder))[f"bert/{QUERY}"]
    assert tensor.load().dtype == getattr(torch, dtype)


def test_whole_numbers_and_texts_are_no_parameters(google, save) -> None:
    folder = save({"bert/count": np.arange(3), "bert/note": np.array([b"a", b"b"], dtype=object)})
    tensors = GOOGLE.tensors(str(folder))
    assert tensors["bert/count"].load().tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError) as said:
        tensors["bert/note"].load()
    assert str(said.value) == (
        f'{folder / PREFIX}: "bert/note" holds object values; parameters are floating-point numbers'
    )


@pytest.mark.parametrize("options", [{"devices": 2, "sharded": True}, {"partitions": 3}])
def test_shards_and_partitions(google, save, options) -> None:
    folder = save(**options)
    found = describe(folder)
    assert len(found.files) == (5 if "devices" in options else 4)
    encoder, _, report = load(folder)
    wanted = google.variables()[f"bert/{QUERY}"].T
    assert np.array_equal(encoder.projection("query", 1)[0].detach().numpy(), wanted)
    assert not report.skipped


def test_one_of_two_shards_is_missing_or_cut_off(save) -> None:
    folder = save(devices=2, sharded=True)
    shard = folder / f"{PREFIX}.data-00001-of-00002"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert refused(folder) == (
        f"{shard}: cut off: {len(content) - 1:,} bytes long, but {INDEX} speaks of "
        f"{len(content):,}\n  copy the file again"
    )
    shard.unlink()
    assert GOOGLE.can_load(str(folder)) == f"{INDEX} of a TensorFlow checkpoint"
    assert refused(folder / PREFIX) == (
        f"{shard}: not there, but {INDEX} needs it\n"
        "  copy every .data file of the checkpoint beside its .index file"
    )


@pytest.mark.parametrize("path", ["", PREFIX])
def test_the_index_is_missing(folder: Path, path) -> None:
    (folder / INDEX).unlink()
    assert GOOGLE.can_load(str(folder / path)) == f"{DATA} of a TensorFlow checkpoint"
    assert refused(folder / path) == (
        f"{folder / INDEX}: not there, though there are other files of that checkpoint\n"
        "  copy it beside them; without it nothing tells what they hold"
    )


@pytest.mark.parametrize("path", ["", PREFIX])
def test_the_data_is_missing(folder: Path, path) -> None:
    (folder / DATA).unlink()
    assert GOOGLE.can_load(str(folder / path)) == f"{INDEX} of a TensorFlow checkpoint"
    assert refused(folder / path).startswith(f"{folder / DATA}: not there, but {INDEX} needs it\n")


@pytest.mark.parametrize("name", ["uncased[1]", "a\\b"])
def test_a_folder_that_tensorflow_takes_for_a_pattern(google, tmp_path: Path, name) -> None:
    folder = Path(shutil.copytree(google.folder, tmp_path / name))
    assert refused(folder) == (
        f"{folder / PREFIX}: TensorFlow takes a path with [ or \\ in it for a pattern\n"
        "  rename the folder, or name a link to it"
    )
    (tmp_path / "link").symlink_to(folder)
    load(tmp_path / "link")


def test_a_folder_with_other_odd_characters(google, tmp_path: Path) -> None:
    folder = shutil.copytree(google.folder, tmp_path / "ü * ? (1) {a,b} ]")
    load(Path(folder))


def test_nothing_is_there(tmp_path: Path) -> None:
    assert GOOGLE.can_load(str(tmp_path / PREFIX)) is None
    assert refused(tmp_path / PREFIX) == (
        f"{tmp_path / PREFIX}: no TensorFlow checkpoint there\n  accepted: its prefix "
        "(bert_model.ckpt), one of its files, its folder, or a zip of it"
    )


@pytest.mark.parametrize("left", [0, 30, 60, 400])
def test_an_index_cut_off(folder: Path, left) -> None:
    index = folder / INDEX
    index.write_bytes(index.read_bytes()[:left])
    assert refused(folder) == (
        f"{index}: damaged or cut off: it does not end as an index does\n  copy the file again"
    )


def test_an_index_with_a_byte_changed(folder: Path) -> None:
    index = folder / INDEX
    content = bytearray(index.read_bytes())
    content[100] ^= 1
    index.write_bytes(content)
    assert refused(folder) == (
        f"{index}: damaged or cut off: the checksum of a block is wrong\n  copy the file again"
    )


def test_data_with_a_byte_changed(folder: Path) -> None:
    data = folder / DATA
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    told = refused(folder)
    assert told.startswith(f'{folder / PREFIX}: "bert/')
    assert "cannot be read: " in told
    assert "\n" not in told


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damaged_files_are_refused_or_read(google, tmp_path_factory, data) -> None:
    """Whatever bytes change, there is a clear error or every value, and nothing else."""
    copy = Path(shutil.copytree(google.folder, tmp_path_factory.mktemp("damaged") / "copy"))
    file = copy / data.draw(st.sampled_from([INDEX, DATA]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: len(content) - data.draw(st.sampled_from([0, 0, 1, 48, 999]))])
    with contextlib.suppress(CheckpointError):
        describe(copy)
        found = {name: each.load() for name, each in GOOGLE.tensors(str(copy)).items()}
        wanted = google.variables()
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[name].numpy(), wanted[name]) for name in wanted)


def test_the_first_format(google, folder: Path) -> None:
    import tensorflow

    prefix = folder / "model.ckpt-3"
    first = tensorflow.compat.v1.train.SaverDef.V1
    google.save(prefix, google.variables(), write_version=first)
    assert prefix.is_file()
    assert GOOGLE.can_load(str(prefix)) == "a TensorFlow checkpoint in a single file"
    assert describe(prefix).files[0] == prefix
    assert load(prefix)[2].skipped == {}
    content = prefix.read_bytes()
    prefix.write_bytes(content[:500] + content[600:])
    assert refused(prefix).startswith(f"{prefix}: damaged or cut off: ")


def test_a_checkpoint_of_objects(folder: Path) -> None:
    import tensorflow

    for file in folder.glob(f"{PREFIX}*"):
        file.unlink()
    values = tensorflow.Variable(np.zeros((11, 12), np.float32))
    tensorflow.train.Checkpoint(encoder=values).write(str(folder / PREFIX))
    assert refused(folder) == (
        f"{folder / PREFIX}: saved by TensorFlow 2 as objects: its names end with "
        "/.ATTRIBUTES/VARIABLE_VALUE\n"
        "  take the model's bert_model.ckpt of TensorFlow 1, or its PyTorch checkpoint"
    )


def test_what_is_no_bert_or_more_than_one(google, save) -> None:
    folder = save(google.variables("generator/"))
    source = f"{folder / PREFIX}: not a checkpoint of one BERT"
    assert refused(folder) == f"{source}: more than one encoder: bert/, generator/"
    google.save(folder / PREFIX, {"kernel": np.zeros(3, np.float32)})
    assert refused(folder) == f"{source}: no embeddings/word_embeddings in it"


def test_without_tensorflow(google, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert GOOGLE.can_load(str(google.folder)) == f"{INDEX} of a TensorFlow checkpoint"
    missing = 'it is not installed\n  pip install "bertmod[tensorflow]"'
    prefix = google.folder / PREFIX
    assert refused(google.folder) == f"{prefix}: reading its tensors takes TensorFlow: {missing}"
    with pytest.raises(CheckpointError, match=r"pip install \"bertmod\[tensorflow\]\""):
        GOOGLE.tensors(str(google.folder))[f"bert/{QUERY}"].load()


def test_describing_imports_neither_tensorflow_nor_torch(google) -> None:
    program = (
        "import sys\n"
        "from bertmod.recipe.opened import open_checkpoint\n"
        "found = open_checkpoint(sys.argv[1])\n"
        "print(found.loader.spec.name, {'tensorflow', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(google.folder / PREFIX)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("tensorflow set()\n", "")
