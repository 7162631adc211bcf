"""Every component that ships with bertmod passes the suite of its kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import bertmod
from bertmod import TaskInfo
from bertmod.library import build_adapter, build_encoder, build_head, installed
from bertmod.model.canonical import canonical_tensors
from bertmod.model.folder import write_encoder, write_task
from bertmod.model.record import TaskRecord
from bertmod.testing import TASKS, conformance

SIZES = {
    "vocab_size": 44,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
}
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(4, 44)))
PALS = {"bottleneck_size": 12, "num_heads": 3}


def names(kind: str, name: str, options: Mapping[str, Any], *more: Any) -> Any:
    spec: Any = installed().get(kind, name).spec
    return spec.names(spec.config(**options), *more)


def stored(rows: Any, format_: str, index: int = 0) -> dict[str, torch.Tensor]:
    """Random tensors under every name that a format has for them."""
    draws = torch.Generator().manual_seed(index)
    found = {}
    for row in rows:
        value = torch.randn([length or 2 for length in row.shape], generator=draws)
        for name in (row.stored[format_], *row.copies.get(format_, ())):
            found[name.replace("{task}", str(index))] = value.clone()
    return found


def write_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")


def huggingface(folder: Path) -> None:
    """A checkpoint as the hub lays it out."""
    tensors = stored(names("encoder", "bert", SIZES), "huggingface")
    save_file(tensors, folder / "model.safetensors")
    values = {**SIZES, "model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 2}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    write_vocabulary(folder)


def bert_n_pals(folder: Path) -> None:
    """A state dict of two tasks with its configuration."""
    encoder = build_encoder(**SIZES)
    tensors = stored(names("encoder", "bert", SIZES), "bert_n_pals")
    for task in range(2):
        pals = names("adapter", "pals", PALS, encoder.shape, (0, 1))
        tensors |= stored(pals, "bert_n_pals", task)
        head = names("head", "classification", {}, encoder.shape)
        tensors |= stored(head, "bert_n_pals", task)
    torch.save(tensors, folder / "best_model.pth")
    more = {"mult": True, "pals": True, "hidden_size_aug": 12, "num_tasks": 2}
    more |= {"hidden_act": "gelu", "type_vocab_size": 2}
    (folder / "pals_config.json").write_text(json.dumps({**SIZES, **more}), encoding="utf-8")
    write_vocabulary(folder)


def own_model(folder: Path) -> None:
    """An encoder and one task as a run leaves them behind."""
    encoder: Any = build_encoder(**SIZES)
    adapter: Any = build_adapter(encoder, "cola", "pals", **PALS)
    head: Any = build_head(encoder, "cola", "classification", labels=("0", "1"))
    found = write_encoder(
        folder / "encoder",
        canonical_tensors(encoder, names("encoder", "bert", SIZES), prefix="encoder."),
        encoder={"name": "bertmod/bert", **SIZES},
        tokenizer={"name": "bertmod/wordpiece", "vocab": "vocab.txt", "lower_case": True},
        files={"vocab.txt": ("\n".join(VOCABULARY) + "\n").encode()},
        version=bertmod.__version__,
    )
    adapter_names = names("adapter", "pals", PALS, encoder.shape, (0, 1))
    tensors = canonical_tensors(adapter, adapter_names, prefix="adapters.pals.")
    head_names = names("head", "classification", {}, encoder.shape)
    tensors |= canonical_tensors(head, head_names, prefix="head.")
    record = TaskRecord(
        id="cola",
        task={"name": "bertmod/cola", "id": "cola"},
        adapters=({"name": "bertmod/pals", "id": "pals", "layers": [0, 1], **PALS},),
        head={"name": "bertmod/classification"},
        info=TaskInfo(labels=("0", "1")),
        encoder_hash=found,
    )
    write_task(folder / "cola", record, tensors, version=bertmod.__version__)


def write_pairs(path: Path, labels: tuple[str, ...] | None) -> None:
    """Twenty pairs of sentences in a task's own columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(("index", "sentence1", "sentence2", *(["label"] if labels else [])))]
    for number in range(20):
        row = [str(number), f"The cup {number} fell .", f"It fell {number} times ."]
        lines.append("\t".join([*row, *([labels[number % 2]] if labels else [])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def wnli(folder: Path) -> None:
    """WNLI, which the built-in sample lacks."""
    for split in ("train", "dev"):
        write_pairs(folder / f"WNLI/{split}.tsv", ("0", "1"))
    write_pairs(folder / "WNLI/test.tsv", None)


def diagnostic(folder: Path) -> None:
    """AX, which the built-in sample lacks."""
    write_pairs(folder / "diagnostic/diagnostic.tsv", None)


test_builtins = conformance(
    "bertmod",
    configs={
        "bert": [SIZES, {**SIZES, "hidden_act": "relu", "num_hidden_layers": 3}],
        "pals": [
            {**PALS, "share_projections": False},
            {**PALS, "site": "ffn_output"},
            {**PALS, "site": "encoder_output"},
        ],
        "lhuc": [{"site": "layer_residual"}, {"site": "query"}],
        "explicit": [{"weights": dict(zip(TASKS, (1.0, 2.0, 0.5), strict=True))}],
        "anneal": [{"drop": 1.0}],
        "temperature": [{"temperature": 5.0, "max_size": 100}],
        "linear": [{"warmup_steps": 2}, {"decay_from": "warmup_end"}],
        "cosine": [{"warmup_proportion": 0.5}],
        "constant": [{"warmup_steps": 4}],
        "wordpiece": [{"split_cjk": False, "drop_unassigned": True, "max_word_length": 5}],
        "f1": [{"positive": "0"}],
        "jsonl": [{"every_steps": 3}],
    },
    data={"wnli": wnli, "ax": diagnostic},
    checkpoint={"huggingface": huggingface, "bert_n_pals": bert_n_pals, "bertmod": own_model},
)
