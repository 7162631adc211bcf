"""Pre-training as a user types it: on text, on a folder, from a checkpoint, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import transformers

from bertmod.library import installed
from bertmod.pretraining.make import make_pretraining_data, open_vocabulary
from bertmod.pretraining.options import PretrainingOptions

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"{letter}{number}" for letter in "abcd" for number in range(8)]
PIECES = [*SPECIAL, *"abcd01234567", *(f"##{n}" for n in range(8)), *WORDS]
RECIPE: dict[str, Any] = {
    "data": {"dir": "data", "max_length": 32},
    "tokenizer": {"name": "wordpiece", "vocab": "data/vocab.txt"},
    "encoder": {
        "name": "bert",
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 32,
    },
    "tasks": [{"name": "pretraining", "held_out": 0.1}],
    "optimizer": {"name": "adamw", "learning_rate": 5e-3},
    "training": {
        "num_epochs": 1,
        "steps_per_epoch": 250,
        "global_batch_size": 32,
        "precision": "fp32",
        "device": "cpu",
    },
    "trackers": [],
}


def text(documents: int) -> str:
    """Documents about one of some words each, and nothing else."""
    draws = random.Random(0)
    lines = []
    for _ in range(documents):
        about = draws.choice(WORDS)
        for _ in range(6):
            lines.append(" ".join([about] * 5))
        lines.append("")
    return "\n".join(lines)


def prepare(folder: Path) -> None:
    """Text, vocabulary and recipe."""
    (folder / "data").mkdir()
    (folder / "data/vocab.txt").write_text("\n".join(PIECES) + "\n")
    (folder / "data/corpus.txt").write_text(text(200))
    (folder / "recipe.json").write_text(json.dumps(RECIPE))


def make_folder(folder: Path, name: str, **options: Any) -> None:
    """What ``bertmod pretraining-data`` writes."""
    vocabulary = open_vocabulary(folder / "data/vocab.txt", installed(), lower_case=None)
    chosen = PretrainingOptions(**{"max_seq_length": 32, "dupe_factor": 1, **options})
    corpus = str(folder / "data/corpus.txt")
    make_pretraining_data([corpus], vocabulary, folder / "data" / name, chosen)


@pytest.fixture
def place(tmp_path) -> Path:
    prepare(tmp_path)
    return tmp_path


def scores(run: Path) -> dict[str, float]:
    lines = (run / "predictions/eval_results.txt").read_text().splitlines()
    return {name: float(value) for name, value in (line.split(" = ") for line in lines)}


SHORT = ("--set", "training.steps_per_epoch=3")


@pytest.mark.slow
def test_it_learns_what_is_masked_and_what_follows(here, place) -> None:
    result = here("run", "recipe.json", "--output", "run", "--quiet")
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("pretraining"))
    _, metric, last, _, _, baseline, *_ = line.split()
    assert metric == "dev/masked_lm_accuracy"
    assert float(baseline) < 0.2  # the most frequent piece
    assert float(last) > 0.5
    found = scores(place / "run")
    assert found["global_step"] == 250
    assert found["masked_lm_accuracy"] == pytest.approx(float(last), abs=1e-4)
    assert found["loss"] == pytest.approx(found["masked_lm_loss"] + found["next_sentence_loss"])
    text = "a2 a2 [MASK] a2 a2"
    told = json.loads(here("predict", "run", "--text", text).stdout)
    (mask,) = told["masks"]
    assert mask["token"] == 3
    assert mask["pieces"][0] == "a2"


def test_what_was_learnt_goes_on_in_other_programs_files(here, place) -> None:
    """Through a folder of transformers, which knows both heads, to a run that goes on."""
    result = here("run", "recipe.json", "--output", "run", "--quiet", *SHORT)
    assert result.returncode == 0, result.stderr
    words = ("convert", "run", "there", "--to", "huggingface", "--task", "pretraining")
    assert here(*words).returncode == 0
    model, info = transformers.BertForPreTraining.from_pretrained(
        place / "there", output_loading_info=True
    )
    assert not any(info.values())
    assert type(model).__name__ == "BertForPreTraining"
    shipped = Path(__file__).parents[2] / "recipes/continue_pretraining.json"
    again = here(
        *("run", shipped, "--data", "data", "--checkpoint", "there", "--output", "more"),
        *("--quiet", "--set", "data.max_length=32", "--set", "tasks[0].held_out=0.1"),
        *("--set", "optimizer.learning_rate=1e-12", "--set", "training.num_epochs=1", *SHORT),
    )
    assert again.returncode == 0, again.stderr
    before, after = scores(place / "run"), scores(place / "more")
    assert after["masked_lm_loss"] == pytest.approx(before["masked_lm_loss"], abs=1e-4)
    assert after["next_sentence_loss"] == pytest.approx(before["next_sentence_loss"], abs=1e-4)


def test_folders_with_static_masks_and_no_pairs(here, place) -> None:
    make_folder(place, "train", next_sentence="none")
    task = {"name": "pretraining", "dev": "train", "next_sentence": "none"}
    task |= {"masking": {"kind": "static"}}
    words = ("--set", f"tasks=[{json.dumps(task)}]")
    result = here("run", "recipe.json", "--output", "run", "--quiet", *SHORT, *words)
    assert result.returncode == 0, result.stderr
    assert scores(place / "run").keys() == {
        *("global_step", "loss", "masked_lm_accuracy", "masked_lm_loss")
    }


def test_beside_other_tasks_by_one_sampler(here) -> None:
    shipped = Path(__file__).parents[2] / "recipes/pretrain_with_tasks.json"
    more = ("training.num_epochs=1", "training.steps_per_epoch=4", "training.global_batch_size=4")
    settings = [word for option in more for word in ("--set", option)]
    result = here("run", shipped, "--output", "run", "--quiet", *settings)
    assert result.returncode == 0, result.stderr
    shown = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert {"pretraining", "cola", "sst2", "mrpc"} <= set(shown)


def test_what_is_refused(here, place) -> None:
    """Status 2, one message, and no run folder."""
    make_folder(place, "dynamic", masking="dynamic")
    make_folder(place, "long", max_seq_length=64)
    make_folder(place, "damaged")
    path = place / "data/damaged/shard-00000/tokens.npy"
    path.write_bytes(path.read_bytes()[:-1])
    (place / "data/empty.txt").write_text("")
    for task, told in (
        ({"train": ["long"], "dev": "long"}, "rows of up to 64 tokens"),
        ({"train": ["damaged"], "dev": "damaged"}, "make the data again"),
        ({"train": ["empty.txt"]}, "0 documents: too few to hold"),
        ({"train": ["absent.txt"]}, "no such file or folder"),
        ({"train": ["dynamic"], "dev": "long", "masking": {"kind": "static"}}, "tokens"),
        (
            {"train": ["dynamic"], "dev": "dynamic", "masking": {"kind": "static"}},
            "nothing is masked in it (--masking dynamic)",
        ),
        ({"train": ["dynamic"]}, "nothing to evaluate on"),
        ({"train": []}, "tasks[0].train"),
        ({"phases": [{"share": 0.5, "train": ["dynamic"]}]}, "the shares sum to 0.5, not to 1"),
    ):
        slot = json.dumps([{"name": "pretraining", **task}])
        result = here("run", "recipe.json", "--output", "run", "--set", f"tasks={slot}")
        assert (result.returncode, result.stdout) == (2, ""), task
        assert told in result.stderr
        assert "Traceback" not in result.stderr
        assert not (place / "run").exists()


def test_a_vocabulary_other_than_that_of_the_data(here, place) -> None:
    make_folder(place, "train")
    (place / "other.txt").write_text("\n".join([*SPECIAL, *PIECES[5:30]]) + "\n")
    slot = json.dumps([{"name": "pretraining", "dev": "train"}])
    words = ("--set", f"tasks={slot}", "--set", 'tokenizer.vocab="other.txt"')
    result = here("run", "recipe.json", "--output", "run", *words)
    assert result.returncode == 2
    assert "made with another vocabulary" in result.stderr


def test_the_plan_says_how_the_vocabulary_fits(here, place) -> None:
    """Of text and of folders, once each, whatever the phases."""
    make_folder(place, "folder")
    phases = [{"share": 0.5, "train": ["corpus.txt"]}, {"share": 0.5, "train": ["folder"]}]
    slot = json.dumps([{"name": "pretraining", "phases": phases, "dev": "corpus.txt"}])
    result = here("plan", "recipe.json", *SHORT, "--set", f"tasks={slot}")
    assert result.returncode == 0, result.stderr
    told = "1.000 pieces a word, 0.000% of the words are [UNK]"
    lines = [line for line in result.stdout.splitlines() if "pieces a word" in line]
    assert lines == [
        f"task pretraining: {place / 'data' / each}: {told}" for each in ("corpus.txt", "folder")
    ]


def test_warnings_of_text_name_its_lines(here, place) -> None:
    """The file and the line that the user knows, also where documents are held out of it."""
    path = place / "data/corpus.txt"
    lines = [*path.read_text().splitlines(), "", " ".join(WORDS), "a1 a1", ""]
    path.write_text("\n".join(lines))
    told = here("plan", "recipe.json", *SHORT).stderr
    assert f"WARNING: {path}: 1 line of more pieces than a row has place for" in told
    assert f"({path}, line {len(lines) - 2}: {len(WORDS)} pieces)" in told
