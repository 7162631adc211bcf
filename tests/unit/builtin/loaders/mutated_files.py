"""Damages the files of a checkpoint, one at a time, and says what reading them then gives.

A program of its own, since a damaged file could take the whole process with it:

    python mutated_files.py KIND COUNT FOLDER

It prints one JSON object for each damaged copy: what was done to which file, and either the
message or a count of the tensors that were used.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import torch
from safetensors.torch import save_file

from bertmod import TaskInfo
from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names
from bertmod.errors import BertmodError
from bertmod.inference import load_adapter
from bertmod.inference.resident import resident_encoder
from bertmod.model.folder import write_encoder, write_task
from bertmod.model.record import TaskRecord
from bertmod.recipe.opened import open_checkpoint

SIZES = {
    "vocab_size": 13,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
VOCABULARY = ("\n".join(PIECES) + "\n").encode()


def state(format_: str) -> dict[str, torch.Tensor]:
    """Random tensors under a format's names, without dialect."""
    draw = torch.Generator().manual_seed(0)
    rows = names(BertConfig(**SIZES))
    values = [(row, torch.randn(row.shape, generator=draw)) for row in rows]
    return {
        row.stored[format_]: (value.t() if format_ in row.transposed else value).contiguous()
        for row, value in values
    }


def write_beside(folder: Path, config: str, **more: object) -> None:
    """The configuration and the vocabulary."""
    (folder / config).write_text(json.dumps({**SIZES, **more}, indent=1), encoding="utf-8")
    (folder / "vocab.txt").write_bytes(VOCABULARY)


def own(folder: Path) -> Path:
    """An encoder and a task as bertmod writes them."""
    torch.manual_seed(0)
    tensors = {
        f"encoder.{row.canonical}": torch.randn(row.shape) for row in names(BertConfig(**SIZES))
    }
    found = write_encoder(
        folder / "encoder",
        tensors,
        encoder={"name": "bertmod/bert", **SIZES},
        tokenizer={"name": "bertmod/wordpiece", "vocab": "vocab.txt", "lower_case": True},
        files={"vocab.txt": VOCABULARY},
        version="0",
    )
    record = TaskRecord(
        id="cola",
        task={"name": "bertmod/cola", "id": "cola"},
        adapters=(),
        head={"name": "bertmod/classification"},
        info=TaskInfo(labels=("0", "1")),
        encoder_hash=found,
    )
    head = {"head.classifier.weight": torch.randn(2, 12), "head.classifier.bias": torch.randn(2)}
    write_task(folder / "cola", record, head, version="0")
    return folder


def hub(folder: Path) -> Path:
    """A folder of the hub's with safetensors."""
    save_file(state("huggingface"), folder / "model.safetensors", metadata={"format": "pt"})
    write_beside(folder, "config.json", model_type="bert", architectures=["BertModel"])
    return folder


def sharded(folder: Path) -> Path:
    """The same in two files and their index."""
    tensors = state("huggingface")
    places = {
        name: f"model-0000{1 + index % 2}-of-00002.safetensors"
        for index, name in enumerate(tensors)
    }
    for file in sorted(set(places.values())):
        part = {name: tensor for name, tensor in tensors.items() if places[name] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    write_beside(folder, "config.json", model_type="bert", architectures=["BertModel"])
    return folder


def pickled(folder: Path, *, zipped: bool) -> Path:
    """The same as torch saves it now, or did before 2020."""
    torch.save(
        state("huggingface"), folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped
    )
    write_beside(folder, "config.json", model_type="bert", architectures=["BertModel"])
    return folder


def old_port(folder: Path) -> Path:
    """An archive of the first PyTorch port."""
    inside = folder / "inside"
    inside.mkdir()
    tensors = {f"bert.{name}": tensor for name, tensor in state("huggingface").items()}
    torch.save(tensors, inside / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    write_beside(inside, "bert_config.json")
    with tarfile.open(folder / "bert.tar.gz", "w:gz") as archive:
        for path in sorted(inside.iterdir()):
            archive.add(path, path.name)
    shutil.rmtree(inside)
    return folder / "bert.tar.gz"


def google(folder: Path) -> Path:
    """A TensorFlow checkpoint."""
    import tensorflow as tf

    tensors = {f"bert/{name}": tensor.numpy() for name, tensor in state("tensorflow").items()}
    tf.raw_ops.SaveV2(
        prefix=str(folder / "bert_model.ckpt"),
        tensor_names=[*tensors],
        shape_and_slices=[""] * len(tensors),
        tensors=[*tensors.values()],
    )
    write_beside(folder, "bert_config.json")
    return folder


def google_zip(folder: Path) -> Path:
    """The same in a zip."""
    inside = folder / "uncased_L-2_H-12_A-3"
    inside.mkdir()
    google(inside)
    with zipfile.ZipFile(folder / "bert.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(inside.iterdir()):
            archive.write(path, f"{inside.name}/{path.name}")
    shutil.rmtree(inside)
    return folder / "bert.zip"


def bert_n_pals(folder: Path) -> Path:
    """A state dict of Bert-n-Pals."""
    torch.manual_seed(0)
    tensors = state("bert_n_pals")
    tensors |= {"classifier.0.weight": torch.randn(2, 12), "classifier.0.bias": torch.randn(2)}
    torch.save(
        {f"bert.{n}" if "class" not in n else n: t for n, t in tensors.items()}, folder / "m.pth"
    )
    write_beside(folder, "pals_config.json", num_tasks=1, pals=False, mult=False)
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    "bertmod": own,
    "safetensors": hub,
    "sharded": sharded,
    "zipped": lambda folder: pickled(folder, zipped=True),
    "legacy": lambda folder: pickled(folder, zipped=False),
    "tar": old_port,
    "tensorflow": google,
    "zip": google_zip,
    "bert_n_pals": bert_n_pals,
}


def damage(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """What was done, and the damaged content, which differs from the whole one."""
    kind = chance.choice(("flip", "cut", "swap", "zero", "repeat", "empty"))
    data, size = bytearray(content), len(content)
    first, second = sorted(chance.randrange(size) for _ in range(2))
    length = chance.randint(1, max(1, size // 8))
    if kind == "flip":
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif kind == "cut":
        del data[first:]
    elif kind == "swap":
        one, two = data[first : first + length], data[second : second + length]
        data[second : second + length] = one
        data[first : first + length] = two
    elif kind == "zero":
        data[first : first + length] = bytes(len(data[first : first + length]))
    elif kind == "repeat":
        data[first:first] = data[second : second + length] or b"\0"
    else:
        data = bytearray()
    if bytes(data) == content:
        data[first] ^= 0xFF
    return kind, bytes(data)


def read(path: Path, kind: str) -> dict[str, object]:
    """What becomes of a checkpoint that somebody starts from."""
    try:
        opened = open_checkpoint(path)
        resident, report = resident_encoder(opened, device="cpu")
        if kind == "bertmod":
            load_adapter(path / "cola", resident)
    except BertmodError as error:
        return {"message": str(error)}
    finite = all(bool(p.isfinite().all()) for p in resident.encoder.parameters())
    return {"used": len(report.used), "finite": finite}


def main(kind: str, count: int, folder: Path) -> None:
    """Damage ``count`` copies and print what came of each; the whole checkpoint comes first."""
    whole = folder / "whole"
    whole.mkdir()
    start = KINDS[kind](whole).relative_to(whole)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    print(json.dumps({"file": "", "damage": "none", **read(whole / start, kind)}), flush=True)
    for number in range(count):
        chance = random.Random(f"{kind} {number}")
        copy = Path(shutil.copytree(whole, folder / f"copy{number}"))
        file = files[number % len(files)]
        done, content = damage((whole / file).read_bytes(), chance)
        (copy / file).write_bytes(content)
        said = read(copy / start, kind)
        shutil.rmtree(copy)
        print(json.dumps({"file": str(file), "damage": done, **said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
