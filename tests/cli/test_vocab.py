"""``bertmod vocab`` as a user types it: learn, look, extend; bad input."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SENTENCES = """\
The chloroplasts of Ctenophores are, naively, INVISIBLE.
Chloroplasts absorb light; ctenophores absorb chloroplasts.

Le café naïf: 日本 and 中国, 12.5 percent of the chloroplasts.
"""
DIGEST = "74824dacf68b394cfda9217608db30605681dd9bf3853ee30c5611f498e68abf"
"""Of a vocabulary of random words: no machine, no release of the library changes it."""

LEARN = ("vocab", "corpus.txt", "--size", "100", "--output")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(SENTENCES * 3, encoding="utf-8")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny BERT of transformers with both heads of pre-training, padded word embeddings."""
    from transformers import BertConfig, BertForPreTraining

    folder = tmp_path / "model"
    letters = "abcdefghijklmnopqrstuvwxyz.,;:"
    marks = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*marks, *letters, *(f"##{letter}" for letter in letters[:26]), "[unused2]"]
    torch.manual_seed(0)
    made = BertForPreTraining(
        BertConfig(
            vocab_size=64,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    )
    torch.nn.init.normal_(made.cls.predictions.bias)
    made.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    return folder


def pieces_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def test_a_file(here, corpus, tmp_path):
    result = here(*LEARN, "vocab.txt", "--unused", "3")
    assert (result.returncode, result.stdout) == (0, "")
    pieces = pieces_of(tmp_path / "vocab.txt")
    assert len(pieces) == len(set(pieces)) == 100
    assert pieces[:9] == [
        *("[PAD]", "[unused0]", "[unused1]", "[unused2]"),
        *("[UNK]", "[CLS]", "[SEP]", "[MASK]", ","),
    ]
    assert "chloroplasts" in pieces
    assert result.stderr.splitlines()[0] == "corpus       108 words, 24 different"
    assert result.stderr.splitlines()[3] == "unknown      0.000% of the words"
    assert result.stderr.endswith("vocab.txt: 100 pieces\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "vocab.txt"]


def test_cased(here, corpus, tmp_path):
    assert here(*LEARN, "v.txt", "--unused", "0", "--no-do-lower-case").returncode == 0
    pieces = pieces_of(tmp_path / "v.txt")
    assert {"I", "##V", "é"} < set(pieces) | {"é"}
    assert "##é" in pieces


def test_the_same_bytes_on_any_threads(corpus, env, tmp_path):
    draws = random.Random(1)
    words = ["".join(draws.choices("abcdef", k=draws.randint(2, 7))) for _ in range(3000)]
    corpus.write_text(" ".join(words) + "\n")
    found = set()
    for threads in ("1", "2", "4"):
        out = f"v{threads}.txt"
        subprocess.run(
            [
                *(sys.executable, "-m", "bertmod", "vocab", "corpus.txt", "--size", "700"),
                *("--output", out),
            ],
            cwd=tmp_path,
            env={**env, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            check=True,
            capture_output=True,
        )
        found.add((tmp_path / out).read_bytes())
    assert len(found) == 1
    (content,) = found
    assert hashlib.sha256(content).hexdigest() == DIGEST


def test_compressed_and_in_parts(here, corpus, tmp_path):
    assert here(*LEARN, "whole.txt", "--unused", "0").returncode == 0
    for number in range(3):
        part = tmp_path / f"part{number}.txt.gz"
        part.write_bytes(gzip.compress(SENTENCES.encode()))
    words = ("vocab", "part*.gz", "--size", "100", "--unused", "0", "--output", "parts.txt")
    assert here(*words).returncode == 0
    assert (tmp_path / "parts.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.parametrize("cased", [True, False])
def test_a_folder_that_transformers_loads(here, corpus, tmp_path, cased):
    from transformers import AutoTokenizer, BertTokenizerFast

    from bertmod.pretraining.vocabularies import wordpiece
    from bertmod.registry import load_registry

    options = ("--no-do-lower-case",) if cased else ()
    assert here(*LEARN, "made", "--unused", "0", *options).returncode == 0
    folder = tmp_path / "made"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt")
    ]
    assert json.loads((folder / "tokenizer_config.json").read_text())["do_lower_case"] is not cased
    own = wordpiece(load_registry(), folder / "vocab.txt", lower_case=not cased).build()
    for line in [*filter(None, SENTENCES.split("\n")), "Unseen words, and 1,234 of them."]:
        ids = own.texts([line]).ids.tolist()
        for loaded in (
            AutoTokenizer.from_pretrained(folder),
            BertTokenizerFast.from_pretrained(folder),
            BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=not cased),
        ):
            assert loaded(line, add_special_tokens=False)["input_ids"] == ids


def test_check(here, corpus, model):
    result = here("vocab", "corpus.txt", "--check", "model/vocab.txt")
    assert (result.returncode, result.stderr) == (0, "")
    shown = result.stdout.splitlines()
    assert shown[:3] == [
        "corpus       108 words, 24 different",
        "whole words  25.0% of the words are one piece",
        "fertility    4.194 pieces a word",
    ]
    assert shown[3] == "unknown      16.667% of the words, such as 12 5 中 国 日"
    assert shown[4] == "pieces used  31 of 64"


def test_extend_a_vocabulary(here, corpus, model, tmp_path):
    words = ("vocab", "corpus.txt", "--extend", "model/vocab.txt", "--output", "new.txt")
    result = here(*words)
    assert result.returncode == 0
    old, new = pieces_of(model / "vocab.txt"), pieces_of(tmp_path / "new.txt")
    changed = {index: new[index] for index in range(len(new)) if new[index] != old[index]}
    assert changed == {1: "chloroplasts", 2: "ctenophores", 63: "absorb"}
    assert len(new) == len(old)


@pytest.mark.parametrize("num_words", [2, 5])
@pytest.mark.parametrize("to", [None, "bertmod", "tensorflow"])
def test_extend_a_checkpoint(here, corpus, model, tmp_path, num_words, to):
    if to == "tensorflow":
        pytest.importorskip("tensorflow")
    more = () if to is None else ("--to", to)
    words = ("vocab", "corpus.txt", "--checkpoint", "model", "--output", "new", *more)
    result = here(*words, "--words", num_words)
    assert result.returncode == 0, result.stderr
    assert here("convert", "new", "back", "--to", "huggingface").returncode == 0
    check_rows(model, tmp_path / "back", num_words)


def check_rows(model, made, num_words):
    """Rows of new words are means of their pieces' rows, and nothing else has changed."""
    old, new = load_file(model / "model.safetensors"), load_file(made / "model.safetensors")
    pieces = {piece: index for index, piece in enumerate(pieces_of(model / "vocab.txt"))}
    vocab = pieces_of(made / "vocab.txt")
    rows = {vocab.index(word): word for word in set(vocab) - set(pieces)}
    assert len(rows) == num_words
    assert len(vocab) == max(64, 64 + num_words - 3)
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        assert len(new[name]) == len(vocab)
        for row, word in rows.items():
            made_of = [pieces[word[0]], *(pieces[f"##{letter}"] for letter in word[1:])]
            mean = old[name][made_of].double().mean(0).float()
            assert torch.equal(new[name][row], mean)
        kept = [index for index in range(64) if index not in rows]
        assert torch.equal(new[name][kept], old[name][kept])
    others = set(old) - {"bert.embeddings.word_embeddings.weight", "cls.predictions.bias"}
    assert others <= set(new)
    assert all(torch.equal(new[name], old[name]) for name in others)


def test_an_extended_checkpoint_is_used(here, corpus, model):
    words = ("vocab", "corpus.txt", "--checkpoint", "model", "--output", "new", "--words", "5")
    done = here(*words)
    assert done.stderr.splitlines()[-1] == "new: 5 words put in, 2 of them appended"
    assert here("vocab", "corpus.txt", "--check", "new/vocab.txt").returncode == 0
    assert here("features", "new", "corpus.txt", "features.jsonl", "--layers", "-1").returncode == 0
    assert "- taken into the vocabulary: 5 words" in Path("new/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("corpus.txt",),
            "--size, --output: wanted for a new vocabulary\n  --check VOCAB looks at a"
            " vocabulary; --extend VOCAB and --checkpoint CKPT add to one",
        ),
        (
            ("corpus.txt", "--check", "v.txt", "--size", "9"),
            "--size: not for --check; leave it out",
        ),
        (("corpus.txt", "--extend", "v.txt"), "--output: wanted for --extend"),
        (
            ("corpus.txt", "--size", "99", "--output", "o", "--to", "bertmod"),
            "--to: not for a new vocabulary; leave it out",
        ),
        (
            ("no.txt", "--size", "99", "--output", "o"),
            "no.txt: cannot be read: No such file or directory",
        ),
        (
            ("corpus.txt", "c*.txt", "--size", "99", "--output", "o"),
            "corpus.txt: is named twice\n  name it once",
        ),
        (("empty.txt", "--size", "99", "--output", "o"), "empty.txt: no words there"),
        (
            ("latin.txt", "--size", "99", "--output", "o"),
            "latin.txt, line 2, byte 7 of the line: not UTF-8 (0xe9)\n  save the file as UTF-8",
        ),
        (
            ("corpus.txt", "--size", "99", "--output", "o"),
            "--size 99: too small, 152 places",
        ),
        (
            ("corpus.txt", "--size", "9999", "--output", "o", "--unused", "0"),
            "--size 9999: the corpus gives 112 pieces with --min-frequency 2\n"
            "  give --size 112 or less, a lower --min-frequency, or more text",
        ),
        (
            ("corpus.txt", "--size", "99", "--output", "corpus.txt"),
            "corpus.txt: exists already; name another, or remove it",
        ),
        (
            ("corpus.txt", "--size", "99", "--output", "model"),
            "model: exists already; name another folder",
        ),
        (("corpus.txt", "--size", "99", "--output", "no/v.txt"), "no/v.txt: there is no folder no"),
        (
            ("corpus.txt", "--check", "no.txt"),
            "no.txt: the vocabulary cannot be read: No such file or directory",
        ),
        (
            ("corpus.txt", "--checkpoint", "model", "--output", "o", "--to", "nothing"),
            '--to: no format "nothing" is written',
        ),
        (("corpus.txt", "--checkpoint", "nothing", "--output", "o"), "there is no "),
    ],
)
def test_bad_input(here, corpus, model, tmp_path, words, message):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes("a word\nun café\n".encode("latin-1"))
    before = sorted(tmp_path.rglob("*"))
    result = here("vocab", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_vocabulary_without_places(refused, corpus, tmp_path):
    (tmp_path / "v.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##a\n")
    refused(
        "error: v.txt: no [unusedN] place to put words in\n"
        "  --words N appends N words, so that the word embeddings grow\n",
        *("vocab", "corpus.txt", "--extend", "v.txt", "--output", "o.txt"),
    )


def test_a_disk_that_is_full(bertmod, corpus, tmp_path):
    result = bertmod(*LEARN, "v.txt", "--unused", "0", largest_file=100)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "v.txt").exists()
