"""Every component that ships with bertmod passes the suite of its kind."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import bertmod
from bertmod import CheckpointContent, TaskInfo
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
        sides = row.shape[::-1] if format_ in row.transposed else row.shape
        value = torch.randn([length or 2 for length in sides], generator=draws)
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


def pytorch_pretrained_bert(folder: Path) -> None:
    """A checkpoint of the first port, with the old spelling of LayerNorm."""
    tensors = {
        f"bert.{name}".replace("LayerNorm.weight", "LayerNorm.gamma"): tensor
        for name, tensor in stored(names("encoder", "bert", SIZES), "huggingface").items()
    }
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    values = {**SIZES, "hidden_act": "gelu", "type_vocab_size": 2}
    (folder / "bert_config.json").write_text(json.dumps(values), encoding="utf-8")
    write_vocabulary(folder)


def tensorflow(folder: Path) -> None:
    """A checkpoint of Google's programs with a classifier, as bertmod writes it."""
    encoder = build_encoder(**SIZES)
    head = names("head", "classification", {}, encoder.shape)
    spec: Any = installed().get("encoder", "bert").spec
    content = CheckpointContent(
        encoder={"name": "bert", **spec.complete(spec.config(**SIZES)).model_dump()},
        tokenizer={"name": "wordpiece", "vocab": "vocab.txt"},
        files={"vocab.txt": ("\n".join(VOCABULARY) + "\n").encode()},
        tensors={
            "encoder": stored(names("encoder", "bert", SIZES), "tensorflow"),
            "heads.cola": stored(head, "tensorflow"),
        },
        heads={"cola": {"name": "bertmod/classification"}},
        infos={"cola": TaskInfo(labels=("0", "1"))},
    )
    writer: Any = installed().get("loader", "tensorflow").spec
    writer.writer.write(content, folder)


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


def tags(folder: Path) -> None:
    """Sentences with entities in column files and in tables."""
    (folder / "CoNLL2003").mkdir()
    for number, split in enumerate(("train", "dev", "test")):
        lines, rows = ["-DOCSTART- -X- O", ""], []
        for place in range(12):
            words = [
                "Ann",
                "Lee",
                "of",
                f"Town{(place + number) % 5}",
                *("runs" for _ in range(place)),
            ]
            own = ["I-PER", "I-PER", "O", "I-LOC", *("O" for _ in range(place))]
            lines += [*(f"{word} NN {tag}" for word, tag in zip(words, own, strict=True)), ""]
            rows.append(json.dumps({"words": words, "tags": own}))
        (folder / f"CoNLL2003/{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def choices(folder: Path) -> None:
    """Scenes with endings in SWAG's columns, and questions with choices in a table."""
    (folder / "SWAG").mkdir()
    for split in ("train", "val", "test"):
        endings = [f"ending{number}" for number in range(4)]
        header = ["", "sent1", "sent2", *endings, *(["label"] if split != "test" else [])]
        lines, rows = [",".join(header)], []
        for row in range(12):
            ends = [f'"falls, {row + number} times"' for number in range(4)]
            label = [str(row % 4)] if split != "test" else []
            lines.append(",".join([str(row), f"The cup {row} stands .", "It", *ends, *label]))
            some = [f"it falls {number} times" for number in range(2 + row % 3)]
            context = f"The cup {row} stands ."
            rows.append(json.dumps({"context": context, "choices": some, "label": row % 2}))
        (folder / f"SWAG/{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def write_rows(path: Path, rows: list[list[str]], *, separator: str = "\t") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def tables(folder: Path) -> None:
    """Tables of the user's own, with a class, a value and several labels in each row."""
    header = ["key", "title", "body", "kind", "grade", "topics", "hot", "cold"]
    for split, count in (("train", 30), ("dev", 20), ("test", 20)):
        rows = [header]
        for n in range(count):
            topics = [name for name, step in (("cups", 2), ("falls", 3)) if n % step == 0]
            flags = [str(int(n % 2 == 0)), str(int(n % 3 == 0))]
            text = [f"{split}{n}", f"The cup {n} fell", f"It fell {n} times"]
            rows.append(
                [*text, ("no", "yes", "maybe")[n % 3], str(n % 5), "|".join(topics), *flags]
            )
        write_rows(folder / f"{split}.csv", rows, separator=",")
    write_rows(folder / "semicolons.csv", rows, separator=";")


def xnli(folder: Path) -> None:
    """Rows of two languages in XNLI's columns."""
    labels = ("contradiction", "entailment", "neutral")
    rows = [["premise", "hypo", "label"]]
    rows += [
        [f"The cup {n}", f"It {n}", labels[n % 3].replace("ction", "ctory")] for n in range(18)
    ]
    for language in ("zh", "de"):
        write_rows(folder / f"XNLI/multinli.train.{language}.tsv", rows)
    for split in ("dev", "test"):
        header = ["language", "gold_label", *(["parse"] * 4), "sentence1", "sentence2", "pairID"]
        told = [header] + [
            [language, labels[n % 3], *([""] * 4), f"The cup {n}", f"It {n} {language}", str(n)]
            for n in range(9)
            for language in ("de", "zh")
        ]
        write_rows(folder / f"XNLI/xnli.{split}.tsv", told)


FILES = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv"}
TEXTS = {"text": ["title", "body"], "id_column": "key"}


def questions(folder: Path) -> None:
    """Questions about texts in SQuAD's form, with and without answers, and in tables."""
    (folder / "SQuAD").mkdir()
    for split in ("train", "dev", "test"):
        rows = [["question", "context", "answer"]]
        paragraphs: dict[str, list[Any]] = {"v1.1": [], "v2.0": []}
        for number in range(12):
            names = [f"cup{number}", f"jar{number + 5}", "the lid ."]
            context = f"The {names[0]} fell .\u202fA {names[1]} (not {names[0]}) kept {names[2]}"
            answer = names[number % 3]
            own = {"text": answer, "answer_start": context.find(answer)}
            about = {"question": f"What fell {number} times?", "id": f"{split}{number}"}
            known = [] if split == "test" else [own]
            rows.append([about["question"], context, answer if number % 4 else ""])
            first = {**about, "answers": known}
            second = {
                **about,
                "answers": known if number % 4 else [],
                "is_impossible": not number % 4,
            }
            paragraphs["v1.1"].append({"context": context, "qas": [first]})
            paragraphs["v2.0"].append({"context": context, "qas": [second]})
        for version, each in paragraphs.items():
            whole = {"version": version, "data": [{"title": "Cups", "paragraphs": each}]}
            path = folder / f"SQuAD/{split}-{version}.json"
            path.write_text(json.dumps(whole, indent=1), encoding="utf-8")
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


SPANS = {"max_query_length": 8, "doc_stride": 5}
SPAN_TABLE = {"train": "train.csv", "dev": "dev.csv", "test": "test.csv", "no_answers": True}

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
        "table": [
            {**FILES, **TEXTS, "label": "kind"},
            {**FILES, **TEXTS, "label": "grade", "value_range": [0, 4], "metrics": ["rmse", "mae"]},
            {**FILES, "text": "body", "label": "topics", "label_separator": "|"},
            {**FILES, "text": "body", "label": ["hot", "cold"], "metrics": ["exact_match"]},
            {
                "train": "semicolons.csv",
                "split": {"dev": 0.3, "test": 0.2},
                "delimiter": ";",
                "text": ["title", "kind", "body"],
                "label": "grade",
            },
        ],
        "xnli": [{"language": "de"}, {"language": "de", "train_language": "zh"}],
        "f1": [{"positive": "0"}],
        "classification": [{"class_weights": "balanced"}],
        "token_classification": [{"class_weights": {"yes": 3.0}}],
        "multi_label": [{"positive_weights": {"no": 2.0}}],
        "span": [{"mask_padding": False}],
        "masked_lm": [{"mask_id": 7, "hidden_act": "gelu_tanh", "top_k": 3}],
        "jsonl": [{"every_steps": 3}],
        "squad": [
            {**SPANS, "test": "SQuAD/test-v1.1.json"},
            {**SPANS, "version": "2.0", "n_best_size": 3},
        ],
        "span_table": [{**SPANS, **SPAN_TABLE}],
        "conll": [{"scheme": "none", "doc_stride": 3}],
        "tag_table": [{"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}],
        "choice_table": [{"train": "train.jsonl", "dev": "val.jsonl", "test": "test.jsonl"}],
    },
    data={
        "squad": questions,
        "span_table": questions,
        "conll": tags,
        "tag_table": tags,
        "swag": choices,
        "choice_table": choices,
        "wnli": wnli,
        "ax": diagnostic,
        "table": tables,
        "xnli": xnli,
    },
    checkpoint={
        "huggingface": huggingface,
        "pytorch_pretrained_bert": pytorch_pretrained_bert,
        "bert_n_pals": bert_n_pals,
        "bertmod": own_model,
        "tensorflow": tensorflow,
    },
)
