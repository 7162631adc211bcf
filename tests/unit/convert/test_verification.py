"""Two checkpoints side by side, one of them run by the real transformers."""

from __future__ import annotations

import json
import math
import shutil
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod.convert import verify
from bertmod.convert.differences import Differences
from bertmod.convert.sides import States
from bertmod.convert.verification import TEXTS
from bertmod.convert.verification_text import render_verification, verification_json
from bertmod.errors import BertmodError, CheckpointError, DataError

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
ENTRIES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *CHARACTERS,
    *(f"##{character}" for character in string.ascii_letters + string.digits),
]
SIZES = {
    "vocab_size": len(ENTRIES),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
PARTS = ["embedding output", "layer 0", "layer 1", "pooled output"]
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a checkpoint with transformers and a vocabulary beside it; gives its path."""

    def write_folder(
        name: str = "a",
        architecture: str = "BertModel",
        *,
        entries: list[str] = ENTRIES,
        tokenizer: dict[str, Any] | None = None,
        model: dict[str, Any] | None = None,
        **config: Any,
    ) -> str:
        import transformers

        torch.manual_seed(0)
        values = transformers.BertConfig(**{**SIZES, **config})
        folder = tmp_path / name
        getattr(transformers, architecture)(values, **(model or {})).save_pretrained(folder)
        (folder / "vocab.txt").write_text("".join(f"{entry}\n" for entry in entries))
        options = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, **(tokenizer or {})}
        (folder / "tokenizer_config.json").write_text(json.dumps(options))
        return str(folder)

    return write_folder


def changed(folder: str, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Change one tensor of a checkpoint."""
    path = Path(folder) / "model.safetensors"
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file(tensors, path, metadata={"format": "pt"})


def test_equal_to_transformers(write: Write) -> None:
    a = write()
    for one, two in ((a, f"transformers:{a}"), (f"transformers:{a}", a)):
        found = verify(one, two)
        assert found.equal
        assert [each.part for each in found.parts] == PARTS
        assert 0 < found.maximum < 1e-5
        assert all(each.deviation < 1e-6 for each in found.parts)
        assert (found.unlike, found.notes) == ((), ())
        assert (found.num_texts, found.num_tokens > 200) == (len(TEXTS), True)


def test_one_layer_that_differs(write: Write, tmp_path: Path) -> None:
    a = write()
    b = shutil.copytree(a, tmp_path / "b")
    changed(str(b), "encoder.layer.1.output.LayerNorm.bias", lambda tensor: tensor + 0.5)
    found = verify(a, str(b), texts=["a b", ("c", "d!")])
    by_part = {each.part: each for each in found.parts}
    assert by_part["embedding output"].maximum == by_part["layer 0"].maximum == 0.0
    assert by_part["layer 1"].maximum == pytest.approx(0.5)
    assert by_part["layer 1"].mean == pytest.approx(0.5)
    assert by_part["layer 1"].deviation < 1e-6
    assert not found.equal
    assert found.maximum == max(each.maximum for each in found.parts)
    assert verify(a, str(b), texts=["a b"], tolerance=2.0).equal


def test_numbers_are_those_of_numpy() -> None:
    random = np.random.default_rng(0)
    batches = [
        [random.normal(size=(count, 3)).astype(np.float32) for _ in "ab"] for count in (4, 7)
    ]
    differences = Differences()
    for one, two in batches:
        differences.add(*(States([torch.from_numpy(each)], None, {}) for each in (one, two)))
    (part,) = differences.parts
    every = np.concatenate([two.astype(np.float64) - one for one, two in batches])
    assert part.maximum == pytest.approx(np.abs(every).max(), rel=1e-12)
    assert part.mean == pytest.approx(every.mean(), rel=1e-12)
    assert part.deviation == pytest.approx(every.std(), rel=1e-12)


def test_nan_is_never_equal(write: Write) -> None:
    a = write()
    changed(a, "encoder.layer.0.output.dense.bias", lambda tensor: tensor * math.nan)
    found = verify(f"transformers:{a}", f"transformers:{a}", tolerance=1e9)
    assert not found.equal
    assert "max |B - A| nan is beyond the tolerance" in render_verification(found)
    values = json.loads(json.dumps(verification_json(found), allow_nan=False))
    assert values["parts"][1]["maximum"] is None


@pytest.mark.parametrize(
    ("architecture", "logits"),
    [
        ("BertForSequenceClassification", ["logits"]),
        ("BertForQuestionAnswering", ["start logits", "end logits"]),
        ("BertForTokenClassification", ["logits"]),
        ("BertForMultipleChoice", ["logits"]),
        ("BertForMaskedLM", ["logits"]),
        ("BertForNextSentencePrediction", ["logits"]),
    ],
)
def test_logits(write: Write, architecture: str, logits: list[str]) -> None:
    """Every head that a Hugging Face folder says it has gives transformers' own logits."""
    of_spans = architecture == "BertForQuestionAnswering"
    a = write("a", architecture, num_labels=2 if of_spans else 3)
    found = verify(a, f"transformers:{a}", task="anything")
    assert found.equal, render_verification(found)
    assert [each.part for each in found.parts][-len(logits) :] == logits
    assert found.maximum > 0


@pytest.mark.parametrize("task", ["masked_lm", "next_sentence"])
def test_both_heads_of_pre_training(write: Write, task: str) -> None:
    a = write("a", "BertForPreTraining")
    found = verify(a, f"transformers:{a}", task=task)
    assert found.equal, render_verification(found)
    assert found.parts[-1].part == "logits"
    assert found.parts[-1].maximum > 0


def test_as_many_labels_as_tokens(write: Write) -> None:
    a = write("a", "BertForSequenceClassification", num_labels=3)
    found = verify(a, f"transformers:{a}", texts=["b"], task="t")
    assert (found.num_tokens, found.equal) == (3, True)


def test_labels_in_another_order(write: Write) -> None:
    """The same head with its rows in another order gives the same logits by name."""
    labels = {0: "entailment", 1: "neutral", 2: "contradiction"}
    order = [2, 0, 1]
    a = write("a", "BertForSequenceClassification", id2label=labels)
    b = write(
        "b",
        "BertForSequenceClassification",
        id2label={number: labels[old] for number, old in enumerate(order)},
    )
    for name in ("classifier.weight", "classifier.bias"):
        changed(b, name, lambda tensor: tensor[order].contiguous())
    for two in (b, f"transformers:{b}"):
        found = verify(a, two, task="mnli")
        assert found.equal
        assert found.notes == ("B has the labels in another order: logits are compared by name",)


def test_other_labels(write: Write) -> None:
    a = write("a", "BertForSequenceClassification", id2label={0: "no", 1: "yes"})
    b = write("b", "BertForSequenceClassification", id2label={0: "bad", 1: "good"})
    found = verify(a, b, task="t")
    assert found.unlike == ("label names: no, yes in A, bad, good in B",)
    assert not found.equal
    c = write("c", "BertForSequenceClassification", num_labels=5)
    assert "logits: 2 in A, 5 in B" in verify(a, c, task="t").unlike


def test_another_head(write: Write) -> None:
    a = write("a", "BertForSequenceClassification")
    b = write("b", "BertForQuestionAnswering")
    found = verify(a, b, task="t")
    assert set(found.unlike) == {
        "logits: only in A",
        "start logits: only in B",
        "end logits: only in B",
    }


def test_without_pooler(write: Write) -> None:
    a, b = write(), write("b", model={"add_pooling_layer": False})
    for two in (b, f"transformers:{b}"):
        found = verify(a, two)
        assert [each.part for each in found.parts] == PARTS[:-1]
        assert found.notes == ("B has no pooled output",)
    assert verify(b, a).notes == ("A has no pooled output",)


def test_other_sizes(write: Write) -> None:
    a, b = write(), write("b", num_hidden_layers=3, hidden_size=64)
    found = verify(a, b)
    assert not found.equal
    assert found.unlike == ("layers: 2 in A, 3 in B", "hidden size: 32 in A, 64 in B")
    assert render_verification(found) == (
        "different layers: 2 in A, 3 in B\n"
        "different hidden size: 32 in A, 64 in B\n"
        "not equal: hidden states of these sizes cannot be compared"
    )


def test_other_vocabulary(write: Write) -> None:
    shorter = ENTRIES[:-20]
    a, b = write(), write("b", entries=shorter, vocab_size=len(shorter))
    found = verify(a, b, texts=["a9"])
    highest = ENTRIES.index("##9")
    assert found.unlike[0] == (
        f"ids: A's tokenizer gives {highest}, the highest of B is {len(shorter) - 1}"
    )
    assert found.unlike[1] == f"vocabulary: {len(ENTRIES)} entries in A, {len(shorter)} in B"
    assert found.parts == ()
    swapped = [*ENTRIES[:5], *reversed(ENTRIES[5:])]
    found = verify(a, write("c", entries=swapped), texts=["a"])
    assert found.unlike == (
        f'vocabulary: entry 5 is "a" in A, "{ENTRIES[-1]}" in B',
        "tokens of text 1: 3 tokens with other ids",
    )
    assert found.maximum == 0.0
    assert not found.equal


def test_other_tokens(write: Write) -> None:
    a, b = write(), write("b", tokenizer={"do_lower_case": True})
    found = verify(a, f"transformers:{b}", texts=["a", "b C", "D"])
    assert found.unlike == ('tokens of text 2: token 3 is "C" in A, "c" in B',)
    assert not found.equal
    whole = write("c", tokenizer={"tokenize_chinese_chars": False})
    found = verify(a, whole, texts=["中文"])
    assert found.unlike == ('tokens of text 1: token 3 is "[UNK]" in A, "[SEP]" in B',)
    assert render_verification(found).splitlines()[-2:] == [
        'different tokens of text 1: token 3 is "[UNK]" in A, "[SEP]" in B',
        "not equal: what is different stands above; max |B - A| 0.00e+00 is within the "
        "tolerance 1e-05, on 1 text of 4 tokens",
    ]


def test_hidden_act(write: Write) -> None:
    a = write()
    b = write("b", hidden_act="gelu_new")
    assert not verify(a, b).equal
    assert verify(a, b, hidden_act="gelu_tanh").equal
    assert verify(a, f"transformers:{b}", hidden_act="gelu_tanh").equal


def test_without_tokenizer(write: Write, tmp_path: Path) -> None:
    a = write()
    b = shutil.copytree(a, tmp_path / "b")
    for name in ("vocab.txt", "tokenizer_config.json"):
        (b / name).unlink()
    found = verify(a, f"transformers:{b}")
    assert found.equal
    assert found.notes == ("B has no tokenizer to compare",)
    with pytest.raises(DataError, match="no tokenizer, so it cannot be A\n  put it second"):
        verify(f"transformers:{b}", a)


def test_one_token_type(write: Write) -> None:
    a, b = write(), write("b", type_vocab_size=1)
    for one, two in ((a, b), (b, a), (a, f"transformers:{b}")):
        message = refusal(write, DataError, one, two)
        assert message == (
            f"{two if two.endswith('b') else b}: its type_vocab_size is 1, so it takes no pairs "
            "of texts\n  compare on single texts: --text TEXT or --input FILE"
        )
    assert verify(b, f"transformers:{b}", texts=["a b"]).equal


def test_long_rows(write: Write) -> None:
    a, b = write(), write("b", max_position_embeddings=128)
    with pytest.raises(DataError) as caught:
        verify(b, a, max_length=100)
    assert str(caught.value) == f"--max-length 100: {a} takes rows of 64 tokens at most"
    for one in (a, f"transformers:{a}"):
        assert verify(one, a, texts=["ab " * 500], max_length=40).num_tokens == 40
        assert verify(one, a, texts=["ab " * 500]).num_tokens == 64


def refusal(write: Write, error: type[BertmodError], *words: str, **options: Any) -> str:
    with pytest.raises(error) as caught:
        verify(*words, **options)
    return str(caught.value)


def test_no_text(write: Write) -> None:
    a = write()
    message = refusal(write, DataError, a, a, texts=[])
    assert message == "there is no text to compare two checkpoints on"


def test_bad_transformers(write: Write, tmp_path: Path) -> None:
    import transformers

    for name in (f"transformers:{tmp_path}/nothing", "transformers:", "transformers:./nothing"):
        assert refusal(write, CheckpointError, name, name) == (
            f"{name}: there is no such folder\n"
            "  accepted: transformers:FOLDER, or transformers: and a name on the hub"
        )
    name = f"transformers:{tmp_path}"
    assert refusal(write, CheckpointError, name, name) == (
        f"{name}: no config.json there, so it is nothing that transformers loads\n"
        f"  bertmod convert {tmp_path} FOLDER --to huggingface writes a folder that is"
    )
    other = tmp_path / "roberta"
    transformers.RobertaConfig().save_pretrained(other)
    name = f"transformers:{other}"
    assert refusal(write, CheckpointError, name, name) == (
        f'{name}: a "roberta" model; "bert" can be compared'
    )
    (other / "config.json").write_text("{")
    assert refusal(write, CheckpointError, name, name).startswith(
        f"{name}: transformers cannot load it: "
    )
    name = f"transformers:{write()}"
    assert refusal(write, CheckpointError, name, name, task="t") == (
        f'{name}: no head for task "t" that can be compared: its architecture is BertModel\n'
        "  accepted: BertForSequenceClassification, BertForTokenClassification, "
        "BertForMultipleChoice, BertForMaskedLM, BertForNextSentencePrediction, "
        "BertForQuestionAnswering, and BertForPreTraining for masked_lm and next_sentence"
    )


def test_transformers_would_draw_values(write: Write) -> None:
    a = write()
    path = Path(a) / "model.safetensors"
    tensors = load_file(path)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    name = f"transformers:{a}"
    assert refusal(write, CheckpointError, name, name) == (
        f"{name}: not in the file, or of another shape: encoder.layer.1.output.dense.weight\n"
        "  transformers would give them random values"
    )


def test_without_transformers(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    name = "transformers:anything"
    assert refusal(write, CheckpointError, name, name) == (
        f"{name}: the library transformers is not installed\n  pip install transformers"
    )


def test_no_such_task(write: Write) -> None:
    a = write()
    assert refusal(write, CheckpointError, a, a, task="cola") == (
        f'{a}: no task "cola" there\n  there: none'
    )
