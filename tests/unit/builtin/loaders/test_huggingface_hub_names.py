"""Names on the hub: its cache, no network, and a hub on this machine that says no."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod import CheckpointError, EmptyConfig
from bertmod.builtin.loaders import huggingface
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.recipe.opened import open_checkpoint

COMMIT, OLDER = "a" * 40, "b" * 40
NAME = "someone/tiny-bert"
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e", "f")


@pytest.fixture
def model(tmp_path, values, state) -> Path:
    """A tiny model as its owner would push it."""
    folder = tmp_path / "pushed"
    folder.mkdir()
    config = {**values, "model_type": "bert", "architectures": ["BertModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    save_file(state, folder / "model.safetensors")
    (folder / "flax_model.msgpack").write_bytes(b"nobody needs this")
    return folder


@pytest.fixture
def cached(tmp_path, model, monkeypatch):
    """Puts the model into a cache as the hub's library lays it out, without a network."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(commit=COMMIT, *, name=NAME, revision="main", files=None) -> Path:
        repo = cache / f"models--{name.replace('/', '--')}"
        snapshot = repo / "snapshots" / commit
        for folder in (repo / "blobs", repo / "refs", snapshot):
            folder.mkdir(parents=True, exist_ok=True)
        (repo / "refs" / revision).write_text(commit)
        for file in model.iterdir():
            if files is None or file.name in files:
                blob = repo / "blobs" / f"{commit[:4]}-{file.name}"
                shutil.copy(file, blob)
                (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
        return snapshot

    return put


def describe(path: str):
    return huggingface.describe(EmptyConfig(), path, None)


def test_a_name_is_known_without_looking(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    claims = {spec.name: spec.can_load(f"hf:{NAME}") for spec in bertmod_loaders()}
    assert {name: why for name, why in claims.items() if why} == {
        "huggingface": "a name on the Hugging Face hub"
    }


def test_a_cached_name_opens_without_a_network_and_is_pinned(cached, state) -> None:
    snapshot = cached()
    opened = open_checkpoint(f"hf:{NAME}")
    assert opened.notes == ("read as huggingface (a name on the Hugging Face hub)",)
    assert opened.path == f"hf:{NAME}@{COMMIT}"
    assert opened.tokenizer.config.vocab == str(snapshot / "vocab.txt")
    assert [file.parent for file in opened.description.files] == [snapshot] * 4
    found = {stored.name: stored.load() for stored in opened.tensors().values()}
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_branch_that_moved_on_is_another_checkpoint(cached) -> None:
    cached(OLDER)
    assert describe(f"hf:{NAME}").pinned == f"hf:{NAME}@{OLDER}"
    new = cached()
    assert describe(f"hf:{NAME}").files[0].parent == new
    assert describe(f"hf:{NAME}@main").pinned == f"hf:{NAME}@{COMMIT}"
    old = describe(f"hf:{NAME}@{OLDER}")
    assert (old.pinned, old.files[0].parent.name) == (f"hf:{NAME}@{OLDER}", OLDER)


def test_a_name_without_an_owner_and_a_tag(cached) -> None:
    cached(name="bert-tiny", revision="v1.0")
    assert describe("hf:bert-tiny@v1.0").pinned == f"hf:bert-tiny@{COMMIT}"


def test_weights_that_are_pickles_alone(cached, model, state) -> None:
    (model / "model.safetensors").unlink()
    torch.save(state, model / "pytorch_model.bin")
    snapshot = cached()
    assert snapshot / "pytorch_model.bin" in describe(f"hf:{NAME}").files


def refused(path: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        describe(path)
    return str(caught.value)


def test_neither_cached_nor_to_be_had(cached, tmp_path) -> None:
    cached()
    for path in ("hf:someone/other", f"hf:{NAME}@dev", f"hf:{NAME}@{'c' * 40}"):
        command = f"hf download {path.removeprefix('hf:')}".replace("@", " --revision ")
        assert refused(path) == (
            f"{path}: not in the cache {tmp_path / 'hub'}, or not all of it, and HF_HUB_OFFLINE is "
            "set\n"
            f"  where there is a network: {command}, or bertmod with the same name; then "
            "copy the cache (HF_HUB_CACHE, else HF_HOME/hub) here\n"
            "  or write the path of a folder in place of the name"
        )


def test_a_cache_with_a_part_of_it_alone(cached) -> None:
    snapshot = cached(files=("config.json", "vocab.txt"))
    assert refused(f"hf:{NAME}") == (
        f"hf:{NAME}: no weights among its files in {snapshot}\n"
        "  accepted: a BERT model with config.json and model.safetensors or pytorch_model.bin\n"
        "  if there was no network, the cache may have a part of it alone: hf download "
        f"{NAME}"
    )


@pytest.mark.parametrize(
    "path",
    ["hf:a/b/c", "hf:a b", "hf:a/", "hf:-a", "hf:a@", "hf:a@../..", "hf:a@b@c", "hf:a..b/-"],
)
def test_malformed_names(path) -> None:
    assert refused(path) == (
        f"{path}: not a name on the Hugging Face hub\n"
        "  accepted: hf:OWNER/MODEL or hf:OWNER/MODEL@REVISION, as in "
        "hf:google-bert/bert-base-uncased"
    )


def test_without_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refused(f"hf:{NAME}") == (
        f"hf:{NAME}: names on the hub need the package huggingface_hub\n"
        '  pip install "bertmod[hub]"'
    )


ASK = """
import json, sys
from bertmod import BertmodError, EmptyConfig
from bertmod.builtin.loaders import huggingface
for path in sys.argv[1:]:
    try:
        found = huggingface.describe(EmptyConfig(), path, None)
        print(json.dumps([found.pinned, sorted(file.name for file in found.files)]))
    except BertmodError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def hub(model):
    """A hub on this machine with one model; yields its address and the files it was asked for."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if "gated" in path:
                self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
            elif NAME not in path:
                self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            elif "absent" in path:
                self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            elif "/tree/" in path:
                self.answer(200, json.dumps([entry(file) for file in model.iterdir()]).encode())
            elif path.startswith("/api/"):
                names = [{"rfilename": file.name} for file in model.iterdir()]
                about = {"id": NAME, "sha": COMMIT, "siblings": names, "private": False}
                self.answer(200, json.dumps(about).encode())
            else:
                file = model / Path(path).name
                headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{entry(file)["oid"]}"'}
                asked.append(file.name)
                self.answer(200, file.read_bytes(), headers)

        def answer(self, status, content, headers=()) -> None:
            self.send_response(status)
            for key, value in dict(headers).items():
                self.send_header(key, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *args) -> None:
            """Keep quiet."""

    def entry(file: Path) -> dict[str, object]:
        size = file.stat().st_size
        return {"type": "file", "path": file.name, "size": size, "oid": f"{size:040x}"}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def ask(home: Path, address: str, *paths: str, **more: str) -> list[object]:
    """What describing some names gives in a process of its own."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        **{"HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"},
        **{"HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", **more},
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK, *paths],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_that_can_be_reached(hub, tmp_path) -> None:
    address, asked = hub
    home = tmp_path / "home"
    found, *errors = ask(
        home, address, f"hf:{NAME}", "hf:someone/none", "hf:a/gated", f"hf:{NAME}@absent"
    )
    needed = ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    assert found == [f"hf:{NAME}@{COMMIT}", needed]
    assert set(asked) == set(needed)
    assert errors == [
        "hf:someone/none: the hub has no such model, or it is private\n"
        f"  look for it at {address}/someone/none; for a private one log in: hf auth login, or "
        "HF_TOKEN",
        "hf:a/gated: access is not granted\n"
        f"  ask for it at {address}/a/gated, then log in: hf auth login, or HF_TOKEN",
        f'hf:{NAME}@absent: the model has no revision "absent"\n'
        f"  branches, tags and commits: {address}/{NAME}/commits/main",
    ]
    asked.clear()
    nowhere = "http://127.0.0.1:9"
    again, missing = ask(home, nowhere, f"hf:{NAME}", "hf:someone/none")
    assert again == found, "from the cache"
    assert str(missing).startswith(
        f"hf:someone/none: not in the cache {home}/hub, or not all of it, and the hub cannot be "
        "reached\n"
    )
    assert ask(home, address, f"hf:{NAME}@{COMMIT}", HF_HUB_OFFLINE="1") == [found]
    assert asked == []
