"""Files of features: Google's lines, shards of arrays, and going on after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from bertmod.data.unfinished import Unfinished
from bertmod.errors import DataError
from bertmod.inference import (
    FeatureOptions,
    LineFeatures,
    extract,
    load_adapter,
    load_encoder,
)
from bertmod.inference.feature_files import FileOptions, json_line, write_features
from bertmod.inference.feature_lines import LineFile
from bertmod.inference.features import Extractor

OPTIONS = FeatureOptions(layers=(-1, 1), pooled=True, mean=True, max_length=12, batch_size=2)
JSONL, SHARDS = FileOptions(), FileOptions("safetensors", words=True, shard_lines=20)
NPZ = replace(SHARDS, form="npz")
LINES = [f"{'the cat sat . ' * (n % 4)}{'a ||| dog' if n % 3 else ''}" for n in range(50)]


@pytest.fixture(scope="module")
def base(state):
    return load_encoder(state.folder / "encoder", device="cpu")


@pytest.fixture
def source(tmp_path) -> LineFile:
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in LINES))
    return LineFile.of(str(tmp_path / "in.txt"))


@pytest.fixture
def write(base, source, tmp_path):
    def run(
        name: str, files: FileOptions, *, options: Any = OPTIONS, stop: int = 999, **more: Any
    ) -> Path:
        """Write features, pressing Ctrl-C after so many lines."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if done >= stop:
                raise KeyboardInterrupt

        unfinished = Unfinished(tmp_path / name, resume=more.pop("resume", False))
        extractor = Extractor(base, options, task=more.pop("task", None))
        given = {"checkpoint": "here", "advance": advance, **more}
        assert write_features(source, extractor, unfinished, files, **given) == len(LINES)
        assert done == len(LINES)
        return tmp_path / name

    return run


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


def test_lines_have_googles_form(base, write) -> None:
    lines = write("out.jsonl", JSONL, options=replace(OPTIONS, pooled=False, mean=False))
    text = lines.read_text(encoding="ascii").splitlines()
    found = list(extract(LINES, base, OPTIONS))
    assert len(text) == len(found) == 50
    for row, line in zip(text, found, strict=True):
        features = [
            {"token": token, "layers": [state(line, layer, place) for layer in (-1, 1)]}
            for place, token in enumerate(line.tokens)
        ]
        assert row == json.dumps({"linex_index": line.index, "features": features})


def state(line: LineFeatures, layer: int, place: int) -> dict[str, Any]:
    """A token's states as Google's program has them before they are written."""
    return {"index": layer, "values": [round(float(x), 6) for x in line.layers[layer][place]]}


def test_tokens_that_json_must_escape(base) -> None:
    line = replace(next(extract(["the"], base, OPTIONS)), tokens=["[CLS]", '"\\', "é"])
    assert [each["token"] for each in json.loads(json_line(line))["features"]] == line.tokens
    assert json_line(line).isascii()


def test_further_keys_when_asked(base) -> None:
    line = next(extract(["the cat"], base, OPTIONS))
    assert list(json.loads(json_line(line))) == ["linex_index", "features", "pooled", "mean"]
    values = json.loads(json_line(line, words=True))
    assert list(values)[4:] == ["words", "word_starts", "word_ends"]
    assert values["words"] == [-1, 0, 1, -1]
    assert (values["word_starts"], values["word_ends"]) == ([-1, 0, 4, -1], [-1, 3, 7, -1])
    alone = next(extract(["the cat"], base, replace(OPTIONS, layers=(), pooled=False)))
    assert list(json.loads(json_line(alone))) == ["linex_index", "mean"]


@pytest.mark.parametrize("form", ["safetensors", "npz"])
def test_shards(base, write, form) -> None:
    folder = write("out", replace(SHARDS, form=form))
    names = [f"features-0000{number}.{form}" for number in range(3)]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "features.json"]
    manifest = json.loads((folder / "features.json").read_text())
    assert manifest["rows"] == 50
    assert manifest["shards"] == [
        {"file": name, "first_row": 20 * number, "rows": rows}
        for number, (name, rows) in enumerate(zip(names, (20, 20, 10), strict=True))
    ]
    assert manifest["encoder_hash"] == base.hash
    found = list(extract(LINES, base, OPTIONS))
    for number, name in enumerate(names):
        arrays = load_file(folder / name) if form == "safetensors" else dict(np.load(folder / name))
        rows = found[20 * number : 20 * number + 20]
        assert set(arrays) == {
            *("input_ids", "row_bounds", "words", "word_starts", "word_ends"),
            *("layer_-1", "layer_1", "pooled", "mean"),
        }
        assert np.diff(arrays["row_bounds"]).tolist() == [len(row.tokens) for row in rows]
        assert len(arrays["row_bounds"]) == len(rows) + 1
        for column in ("input_ids", "words", "word_starts", "word_ends"):
            wanted = np.concatenate([getattr(row, column) for row in rows])
            assert np.array_equal(arrays[column], wanted)
            assert arrays[column].dtype == np.int32
        for layer in (-1, 1):
            wanted = np.concatenate([row.layers[layer] for row in rows])
            np.testing.assert_allclose(arrays[f"layer_{layer}"], wanted, atol=1e-5)
        for vector in ("pooled", "mean"):
            wanted = np.stack([getattr(row, vector) for row in rows])
            np.testing.assert_allclose(arrays[vector], wanted, atol=1e-5)


@pytest.mark.parametrize("files", [SHARDS, NPZ])
def test_half_precision(write, files) -> None:
    whole = write("whole", files)
    half = write("half", files, options=replace(OPTIONS, dtype="float16"))
    for path in sorted(whole.glob("features-*")):
        one, two = (
            load_file(each) if path.suffix == ".safetensors" else dict(np.load(each))
            for each in (path, half / path.name)
        )
        for name in ("layer_-1", "layer_1", "pooled", "mean"):
            assert two[name].dtype == np.float16
            assert np.array_equal(two[name], one[name].astype(np.float16))
        assert two["row_bounds"].dtype == np.int64


def test_vectors_alone(write) -> None:
    folder = write("out", SHARDS, options=replace(OPTIONS, layers=(), pooled=False))
    assert set(load_file(folder / "features-00002.safetensors")) == {"mean"}


@pytest.mark.parametrize("files", [JSONL, SHARDS, NPZ], ids=lambda files: files.form)
@pytest.mark.parametrize("stop", [24, 40, 50])
def test_going_on_gives_the_same_bytes(write, tmp_path, files, stop) -> None:
    whole = write("whole", files)
    with pytest.raises(KeyboardInterrupt):
        write("cut", files, stop=stop)
    assert not (tmp_path / "cut").exists()
    again = write("cut", files, resume=True)
    assert content(again) == content(whole)
    assert not (tmp_path / "cut.partial").exists()


@pytest.mark.parametrize("length", [1, 700, 5000, -1])
def test_a_line_that_was_cut_is_written_anew(write, tmp_path, length) -> None:
    whole = write("whole", JSONL)
    with pytest.raises(KeyboardInterrupt):
        write("cut", JSONL, stop=32)
    path = tmp_path / "cut.partial" / "features.jsonl"
    path.write_bytes(path.read_bytes()[:length])
    assert content(write("cut", JSONL, resume=True)) == content(whole)


def test_zeros_that_a_power_cut_leaves_are_written_anew(write, tmp_path) -> None:
    whole = write("whole", JSONL)
    with pytest.raises(KeyboardInterrupt):
        write("cut", JSONL, stop=32)
    path = tmp_path / "cut.partial" / "features.jsonl"
    path.write_bytes(path.read_bytes()[:6000] + b"\0" * 999 + b"\n")
    assert content(write("cut", JSONL, resume=True)) == content(whole)


def test_other_options_are_told(write, state, base, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write("cut", JSONL, stop=20)
    begun = content(tmp_path / "cut.partial")
    with pytest.raises(DataError) as error:
        write("cut", JSONL, options=replace(OPTIONS, layers=(-1,), batch_size=4), resume=True)
    assert str(error.value) == (
        f"{tmp_path}/cut.partial: begun with other options or input than these\n"
        "  layers: [-1, 1] then, [-1] now\n"
        "  batch_size: 2 then, 4 now\n"
        "  give what it was begun with, or remove the folder to start again"
    )
    task = load_adapter(state.folder / "cola", base)
    with pytest.raises(DataError, match='  task: null then, "cola" now\n  adapters_hash: '):
        write("cut", JSONL, task=task, resume=True)
    assert content(tmp_path / "cut.partial") == begun
    write("cut", JSONL, resume=True, checkpoint="moved")


def test_another_input_is_told(write, source, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write("cut", JSONL, stop=20)
    object.__setattr__(source, "sha256", "0" * 64)
    with pytest.raises(DataError, match="\n  input_sha256: "):
        write("cut", JSONL, resume=True)


def test_interrupted_before_the_first_shard(write, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write("cut", SHARDS, stop=16)
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_what_is_there_is_not_touched(write, tmp_path) -> None:
    write("out", JSONL)
    for resume in (False, True):
        with pytest.raises(DataError, match="out: exists already; name another, or remove it"):
            write("out", JSONL, resume=resume)
    with pytest.raises(DataError, match="nothing to go on with; leave --resume out"):
        write("new", JSONL, resume=True)
    with pytest.raises(KeyboardInterrupt):
        write("new", JSONL, stop=20)
    with pytest.raises(DataError, match="unfinished output\n  go on with it: --resume\n"):
        write("new", JSONL)
    with pytest.raises(DataError, match="nowhere"):
        write("nowhere/out", JSONL)


@pytest.mark.parametrize("resume", [False, True])
def test_what_others_put_there_is_not_touched(write, tmp_path, resume) -> None:
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "notes.txt").write_text("mine")
    message = "nothing to go on with" if resume else "new.partial: is there already, and output"
    with pytest.raises(DataError, match=message):
        write("new", JSONL, resume=resume)
    assert content(tmp_path / "new.partial") == {"notes.txt": b"mine"}


@pytest.mark.parametrize("left", [".lock", ".writing-.begun.json"])
def test_what_a_kill_at_the_beginning_leaves_is_in_nobodys_way(write, tmp_path, left) -> None:
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / left).write_text("")
    write("new", SHARDS)
    assert not (tmp_path / "new.partial").exists()


def test_standard_input_that_was_killed_cannot_be_gone_on_with(tmp_path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / ".begun.json").write_text("{}")
    with pytest.raises(DataError) as error:
        Unfinished(tmp_path / "out", resume=False, keep=False)
    assert str(error.value) == (
        f"{tmp_path}/out.partial: unfinished output\n  start again: remove the folder"
    )


def test_one_process_at_a_time(tmp_path) -> None:
    with Unfinished(tmp_path / "out", resume=False).opened({}, free=frozenset()) as folder:
        (folder / "begun").write_text("x")
        second = Unfinished(tmp_path / "out", resume=True)
        with (
            pytest.raises(DataError, match="another process writes there"),
            second.opened({}, free=frozenset()),
        ):
            pass


def test_nothing_is_left_of_what_failed_at_once(tmp_path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Unfinished(tmp_path / "out", resume=False).opened({}, free=frozenset()),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
