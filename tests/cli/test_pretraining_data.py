"""``bertmod pretraining-data`` as a user types it: kills, processes, bad input."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bertmod.data.pretraining_files import PretrainingData
from bertmod.pretraining.stored import ROW

SMALL = ("--vocab", "vocab.txt", "--output", "out", "--max-seq-length", "32")


def text(num_documents: int, *, seed: int = 0, sentences: int = 12) -> str:
    """Documents of random words."""
    draws = random.Random(seed)
    lines = []
    for _ in range(num_documents):
        for _ in range(draws.randint(1, sentences)):
            words = (draws.choice("abcdefgh") * draws.randint(1, 3) for _ in range(9))
            lines.append(" ".join(words))
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    letters = "abcdefgh"
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]) + "\n")
    return path


@pytest.fixture
def corpus(tmp_path: Path, vocab: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text(text(30))
    return path


@pytest.fixture
def large(tmp_path: Path, vocab: Path) -> Path:
    """So much text that a run is not over before a test stops it."""
    path = tmp_path / "large.txt"
    path.write_text(text(1000, sentences=60))
    return path


@pytest.fixture
def started(tmp_path, env) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program and comes back once files of a pattern are there."""

    def start(pattern: str, *words: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bertmod", "pretraining-data", *map(str, words)],
            cwd=tmp_path,
            env=dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        while not any(tmp_path.glob(pattern)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return process

    return start


def test_what_is_told(here, corpus, tmp_path) -> None:
    result = here("pretraining-data", corpus.name, *SMALL, "--dupe-factor", "2")
    assert (result.returncode, result.stdout) == (0, "")
    found = PretrainingData(tmp_path / "out")
    found.verify()
    statistics = found.header["statistics"]
    lines = result.stderr.splitlines()
    assert lines[0].startswith("corpus                 30 documents, ")
    assert lines[-1] == f"out: {len(found)} instances"
    assert statistics["instances"] == len(found)
    assert statistics["masked"] == sum(len(found[n]["masked_labels"]) for n in range(len(found)))
    assert found.header["options"]["random_seed"] == 12345
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "out", "vocab.txt"]


def test_how_the_vocabulary_cuts_the_corpus(here, corpus, tmp_path) -> None:
    """As ``bertmod vocab --check`` says it, words that are too long or unknown counted."""
    corpus.write_text(f"{corpus.read_text()}\n\nab {'a' * 300} zzz abz a\n")
    checked = here("vocab", corpus.name, "--check", "vocab.txt").stdout
    result = here("pretraining-data", corpus.name, *SMALL, "--workers", "2")
    statistics = PretrainingData(tmp_path / "out").header["statistics"]
    fertility = f"{statistics['fertility']:.3f} pieces a word"
    unknown = f"{statistics['unknown_words_share']:.3%} of the words"
    assert f"vocabulary             {fertility}, {unknown} are [UNK]\n" in result.stderr
    assert f"fertility    {fertility}\n" in checked
    assert f"unknown      {unknown}, such as" in checked
    assert f"{statistics['words']:,} words, " in checked


def test_the_same_with_any_number_of_processes(here, corpus, tmp_path, fingerprint) -> None:
    """Byte for byte, several files at once and compressed ones too."""
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(text(20, seed=1).encode()))
    words = ("pretraining-data", "*.txt.gz", corpus, "--vocab", "vocab.txt")
    words += ("--max-seq-length", "32", "--shard-instances", "100", "--do-whole-word-mask")
    for workers in ("1", "2", "3"):
        result = here(*words, "--output", f"out{workers}", "--workers", workers)
        assert result.returncode == 0, result.stderr
    found = [fingerprint(tmp_path / f"out{workers}") for workers in "123"]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 20


def test_interrupted_killed_and_gone_on_with(here, started, large, tmp_path, fingerprint) -> None:
    """Ctrl-C, then SIGKILL in each stage: the end is that of a run that nobody disturbed."""
    words = (large.name, *SMALL, "--shard-instances", "5000")
    process = started("out.partial/corpus/000000.json", *words)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("stopped; go on with --resume\ninterrupted\n")
    refused = here("pretraining-data", *words)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: out.partial: unfinished output\n"
        "  go on with it: --resume\n  start again: remove the folder\n"
    )
    other = here("pretraining-data", *words, "--dupe-factor", "3", "--resume")
    assert other.returncode == 2
    assert "\n  options.dupe_factor: 10 then, 3 now\n" in other.stderr
    for pattern in ("out.partial/plan/*.rows", "out.partial/output/shard-00003"):
        process = started(pattern, *words, "--resume", "--workers", "2")
        process.kill()
        process.communicate()
        assert not (tmp_path / "out").exists()
    assert here("pretraining-data", *words, "--resume").returncode == 0
    assert not list(tmp_path.glob("*.partial"))
    whole = tuple("whole" if word == "out" else word for word in words)
    assert here("pretraining-data", *whole).returncode == 0
    assert fingerprint(tmp_path / "out") == fingerprint(tmp_path / "whole")


def test_a_killed_worker(started, here, large, tmp_path) -> None:
    words = (large.name, *SMALL, "--shard-instances", "2000", "--workers", "2")
    process = started("out.partial/output/shard-00001", *words)
    os.kill(_children(process.pid)[-1], signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.endswith(
        "error: a worker process ended abruptly: killed by hand, or by the system for lack of "
        "memory\n  go on with --resume, with fewer --workers where memory is short\n"
    )
    assert "Traceback" not in err
    assert here("pretraining-data", *words[:-2], "--resume").returncode == 0


def _children(pid: int) -> list[int]:
    """The workers of a process, and nothing else that it started."""
    found = []
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes():
            found.append(int(each))
    return found


@pytest.mark.parametrize("form", ["bertmod", "tfrecord"])
def test_a_full_disk(bertmod, here, large, tmp_path, form) -> None:
    words = ("pretraining-data", large.name, *SMALL, "--dupe-factor", "2", "--format", form)
    words += ("--shard-instances", "3000")
    if form == "tfrecord":
        pytest.importorskip("tensorflow")
    result = bertmod(*words, largest_file=200_000)
    assert result.returncode == 1, result.stderr
    assert "\nerror: out: cannot be written: " in f"\n{result.stderr}"
    assert "File too large\n  make room there; then go on with --resume\n" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    if form == "bertmod":
        assert here(*words, "--resume").returncode == 0


def test_sentence_order_and_no_pairs(here, corpus, tmp_path) -> None:
    for kind, share in (("sop", "changed places"), ("none", "")):
        words = ("--vocab", "vocab.txt", "--output", kind, "--next-sentence", kind)
        result = here("pretraining-data", corpus, *words, "--masking", "dynamic")
        assert result.returncode == 0, result.stderr
        assert share in result.stderr
        assert "none yet: dynamic" in result.stderr
        assert "masked_labels" not in PretrainingData(tmp_path / kind)[0]
    assert "next_sentence_labels" not in PretrainingData(tmp_path / "none")[0]


def test_masks_that_are_cut_are_told(here, corpus) -> None:
    result = here("pretraining-data", corpus, *SMALL, "--max-predictions-per-seq", "2")
    assert result.returncode == 0
    assert f"WARNING: {corpus}: --max-predictions-per-seq 2 cut " in result.stderr
    assert "; 0.15 of 32 tokens are 5\n" in result.stderr


def test_dynamic_masks_are_not_cut_here(here, corpus) -> None:
    words = (corpus.name, *SMALL, "--masking", "dynamic", "--max-predictions-per-seq", "1")
    told = here("pretraining-data", *words).stderr
    assert "masked tokens          none yet: dynamic" in told
    assert "cut" not in told.replace("is cut off", "")


def test_a_line_of_a_million_characters(here, corpus, tmp_path) -> None:
    (tmp_path / "corpus.txt").write_text(text(3) + "ab " * 333_334 + "\n\n" + text(3, seed=2))
    result = here("pretraining-data", corpus, *SMALL, "--dupe-factor", "1")
    assert result.returncode == 0, result.stderr
    assert "line of more pieces than a row has place for, 29: what is too much is cut off (" in (
        result.stderr
    )
    assert ": 666,668 pieces); one sentence a line is expected\n" in result.stderr


def test_one_document(here, refused, corpus, tmp_path) -> None:
    corpus.write_text("a b c\nd e f\ng h a\n")
    refused(
        "error: corpus.txt: one document: no blank line stands between sentences, so that there "
        "is no other for random next sentences\n"
        "  put a blank line between documents, or make other pairs: --next-sentence sop or none\n",
        *("pretraining-data", "corpus.txt", *SMALL),
    )
    result = here("pretraining-data", "corpus.txt", *SMALL, "--random", "google")
    assert result.returncode == 0
    assert result.stderr.startswith(
        "WARNING: corpus.txt: one document: no blank line stands between sentences; every random "
        "next sentence is from that same document\n"
    )
    result = here(
        *("pretraining-data", "corpus.txt", "--vocab", "vocab.txt", "--output", "sop"),
        *("--next-sentence", "sop"),
    )
    assert result.returncode == 0
    assert "; rows go on across what may be several\n" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "corpus.txt: no text to make instances of"),
        (b"\n \n\n", "corpus.txt: no text to make instances of"),
        (
            b"a b\n\nc \xe9 d\n",
            "corpus.txt, line 3, byte 3 of the line: not UTF-8 (0xe9)\n  save the file as UTF-8",
        ),
        (
            b"\xff\xfea\x00\n\x00",
            "corpus.txt: the file is UTF-16, not UTF-8\n  save the file as UTF-8",
        ),
    ],
)
def test_bad_text(refused, corpus, content, message) -> None:
    corpus.write_bytes(content)
    refused(f"error: {message}\n", "pretraining-data", "corpus.txt", *SMALL)


def test_text_that_is_cut_off(refused, vocab, tmp_path) -> None:
    (tmp_path / "c.gz").write_bytes(gzip.compress(text(30).encode())[:-20])
    message = "Compressed file ended before the end-of-stream marker was reached"
    refused(f"error: c.gz: cannot be read: {message}\n", "pretraining-data", "c.gz", *SMALL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.txt", *SMALL), "nothing.txt: cannot be read: No such file or directory"),
        (("no*.txt", *SMALL), "no*.txt: no file is called so"),
        ((".", *SMALL), ".: is a folder\n  name its files: './*.txt'"),
        (
            ("corpus.txt", "c*.txt", *SMALL),
            "corpus.txt: is named twice\n  --dupe-factor says how often text is used",
        ),
        (
            ("corpus.txt", *SMALL[:4], "--max-seq-length", "4"),
            "--max-seq-length 4: a row is [CLS] A [SEP] B [SEP], 5 to 65,536 tokens",
        ),
        (
            ("corpus.txt", *SMALL, "--masked-lm-prob", "15"),
            "--masked-lm-prob 15.0: between 0 and 1",
        ),
        (
            ("corpus.txt", *SMALL, "--random", "google", "--next-sentence", "sop"),
            "--random google makes no pairs --next-sentence sop",
        ),
        (
            ("corpus.txt", *SMALL, "--random", "google", "--masking", "dynamic"),
            "--random google masks while it draws pairs: --masking static",
        ),
        (
            ("corpus.txt", *SMALL, "--format", "tfrecord", "--next-sentence", "none"),
            "--format tfrecord has a next-sentence label in every record: "
            "--next-sentence nsp or sop",
        ),
        (
            ("corpus.txt", *SMALL, "--segmenter", "jieba:lcut"),
            "--segmenter is for --do-whole-word-mask",
        ),
        (
            ("corpus.txt", *SMALL, "--do-whole-word-mask", "--segmenter", "no_such:cut"),
            "--segmenter no_such:cut: No module named 'no_such'\n"
            '  jieba:lcut is one for Chinese: pip install "bertmod[chinese]"',
        ),
        (
            ("corpus.txt", "--vocab", "corpus.txt", "--output", "vocab.txt"),
            "corpus.txt: ",
        ),
        (
            ("corpus.txt", "--vocab", "vocab.txt", "--output", "corpus.txt"),
            "corpus.txt: exists already; name another, or remove it",
        ),
        (("corpus.txt", *SMALL, "--resume"), "out.partial: nothing to go on with; leave --resume"),
    ],
)
def test_bad_options(here, corpus, tmp_path, words, message) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = here("pretraining-data", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_vocabulary_without_masks(refused, corpus, vocab) -> None:
    vocab.write_text(vocab.read_text().replace("[MASK]\n", ""))
    refused(
        "error: vocab.txt: the vocabulary lacks [MASK], which stands for masked pieces\n"
        "  is this the vocab.txt of a model that was pre-trained on masked pieces?\n",
        *("pretraining-data", "corpus.txt", *SMALL),
    )
    vocab.write_text(vocab.read_text().replace("[SEP]\n", ""))
    refused(
        "error: vocab.txt: the vocabulary lacks [SEP]\n"
        "  a BERT vocabulary has [PAD], [UNK], [CLS], [SEP], each on a line of its own\n"
        "  is this the vocab.txt that came with the model?\n",
        *("pretraining-data", "corpus.txt", *SMALL),
    )


def test_words_of_a_segmenter(here, vocab, tmp_path, monkeypatch) -> None:
    """A function of the user's own gives words that ``##`` does not know."""
    (tmp_path / "pairs.py").write_text(
        "def cut(line):\n    return [line[n : n + 4] for n in range(0, len(line), 4)]\n"
        "def wrong(line):\n    return line.split()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    lines = ["a b c d e f g h"] * 4  # words of two letters and their blanks
    (tmp_path / "c.txt").write_text("\n".join([*lines, "", *lines, ""]))
    words = ("pretraining-data", "c.txt", *SMALL, "--do-whole-word-mask", "--segmenter")
    assert here(*words, "pairs:cut", "--masking", "dynamic").returncode == 0
    data = PretrainingData(tmp_path / "out")
    row = data[0]
    inside = row["continues"][1 : int(row["first_lengths"]) - 1]
    assert inside[:8].tolist() in ([False, True] * 4, [True, False] * 4, [False, False] * 4) or (
        0.2 < inside.mean() < 0.8
    )
    result = here(*(word if word != "out" else "other" for word in words), "pairs:wrong")
    assert result.returncode == 2
    assert "the segmenter's words are not the text: 'a b c d e f g h' gave " in result.stderr


@pytest.mark.shared
def test_chinese_words(here, glue, tmp_path) -> None:
    """Words of several characters are masked together; not one by one as ``##`` would have it."""
    pytest.importorskip("jieba")
    (tmp_path / "c.txt").write_text("我来到北京清华大学。\n他在上海工作。\n\n中国是一个国家。\n")
    words = ("--vocab", glue / "vocab" / "chinese.txt", "--output", "out", "--dupe-factor", "20")
    result = here(
        *("pretraining-data", "c.txt", *words, "--do-whole-word-mask"),
        *("--segmenter", "jieba:lcut", "--masking", "dynamic"),
    )
    assert result.returncode == 0, result.stderr
    pieces = (glue / "vocab" / "chinese.txt").read_text(encoding="utf-8").split("\n")
    data = PretrainingData(tmp_path / "out")
    texts = set()
    for row in (data[number] for number in range(len(data))):
        joints = zip(row["tokens"], row["continues"], strict=True)
        texts.add("".join(("" if goes_on else " ") + pieces[token] for token, goes_on in joints))
    assert any("北京" in found and "我 来到" in found for found in texts)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(bertmod, tmp_path, vocab) -> None:
    """Ten times the text takes no more than what the mapped files of it add."""
    peaks, mapped = {}, {}
    for size in (5, 50):
        part, path = text(500, sentences=60), tmp_path / f"{size}.txt"
        path.write_text(part * (size * 1_000_000 // len(part)))
        out, report = tmp_path / f"out{size}", tmp_path / f"{size}.json"
        program = (
            "import json, resource, sys\nfrom bertmod.cli import main\n"
            "assert main(sys.argv[2:]) == 0\n"
            "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "json.dump(peak, open(sys.argv[1], 'w'))\n"
        )
        words = ("pretraining-data", path, "--vocab", vocab, "--output", out, "--dupe-factor", "5")
        done = subprocess.run(
            [sys.executable, "-c", program, str(report), *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks[size] = json.loads(report.read_text()) / 1024
        found = json.loads((out / "data.json").read_text())["statistics"]
        counted = 2 * found["pieces"] + 8 * found["sentences"] + ROW.itemsize * found["instances"]
        mapped[size] = counted / 2**20
    written = sum(path.stat().st_size for path in (tmp_path / "out50").rglob("*")) / 2**20
    assert written > 300
    # The system counts pages of mapped files, which it drops where it needs the room.
    assert peaks[50] - peaks[5] < mapped[50] - mapped[5] + 32, (peaks, mapped)


def test_records_become_instances(here, refused, corpus, vocab, tmp_path) -> None:
    """Array for array those that were written without records between; what is refused."""
    pytest.importorskip("tensorflow")
    words = ("pretraining-data", corpus.name, "--vocab", "vocab.txt", "--max-seq-length", "32")
    assert here(*words, "--output", "own").returncode == 0
    records = ("--format", "tfrecord", "--shard-instances", "500")
    assert here(*words, "--output", "records", *records).returncode == 0
    take = ("pretraining-data", "records/*.tfrecord", "--vocab", "vocab.txt")
    result = here(*take, "--output", "back")
    assert result.returncode == 0, result.stderr
    own, back = (PretrainingData(tmp_path / name) for name in ("own", "back"))
    back.verify()
    assert own.header["shards"] == back.header["shards"]
    assert result.stderr.startswith(f"back: {len(own):,} instances, ")

    made = "error: records/*.tfrecord: records are made already, and are taken as they are"
    assert here(*take, "--output", "b", "--dupe-factor", "3").stderr.startswith(made)
    mixed = here(*take[:2], corpus.name, *take[2:], "--output", "b")
    assert "text and TFRecord files together" in mixed.stderr
    first, *_, last = sorted((tmp_path / "records").glob("*.tfrecord"))
    last.write_bytes(last.read_bytes()[:-7])
    cut = here(*take, "--output", "b")
    assert (cut.returncode, f"{last.name}: cannot be read behind record " in cut.stderr) == (
        2,
        True,
    )
    pieces = vocab.read_text().replace("[CLS]\n[SEP]", "[SEP]\n[CLS]")
    (tmp_path / "other.txt").write_text(pieces)
    other = here("pretraining-data", first, "--vocab", "other.txt", "--output", "b")
    assert f"{first}, record 1: does not begin with [CLS] and end with [SEP]" in other.stderr
    last.write_bytes(b"")
    empty = here("pretraining-data", last, "--vocab", "vocab.txt", "--output", "b")
    assert f"error: {last}: no record in it" in empty.stderr
    assert not [*tmp_path.glob("b*.partial"), *tmp_path.glob("b"), *tmp_path.glob(".*")]
