"""Archives: what is unpacked and where, what is refused."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bertmod import CheckpointError
from bertmod.builtin.loaders.archive import members, unpacked

FILES = {"bert_config.json": b"{}", "pytorch_model.bin": os.urandom(5000)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/bertmod/archives"


def write(path: Path, files=FILES, *, inside="", odd=()) -> Path:
    """An archive of files, in a folder of it or at the top, with further tar members."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in files.items():
                made.writestr(inside + name, content)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as made:
        if inside:
            folder = tarfile.TarInfo(inside)
            folder.type = tarfile.DIRTYPE
            made.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(inside + name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        for info in odd:
            made.addfile(info)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("inside", ["", "./", "uncased_L-2/"])
@pytest.mark.parametrize("name", ["m.tar.gz", "m.tgz", "m.tar", "m.zip"])
def test_an_archive_is_unpacked_once(tmp_path: Path, cache: Path, name, inside) -> None:
    path = write(tmp_path / name, inside=inside)
    assert members(path) == tuple(FILES)
    folder = unpacked(path)
    assert folder.is_relative_to(cache)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    before = (folder / "bert_config.json").stat().st_ino
    assert unpacked(path) == folder
    assert (folder / "bert_config.json").stat().st_ino == before
    assert [each.name for each in cache.iterdir()] == [folder.relative_to(cache).parts[0]]


def test_an_archive_moved_elsewhere_finds_its_files_again(tmp_path: Path) -> None:
    path = write(tmp_path / "m.tar.gz")
    folder = unpacked(path)
    assert unpacked(path.rename(tmp_path / "n.tar.gz")) == folder
    assert unpacked(write(tmp_path / "m.tar.gz", {"a": b"other"})) != folder


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"half")])
def test_a_cache_that_somebody_cleaned_is_made_whole(tmp_path: Path, cache: Path, harm) -> None:
    path = write(tmp_path / "m.zip")
    harm(unpacked(path) / "pytorch_model.bin")
    assert (unpacked(path) / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]
    assert len(list(cache.iterdir())) == 1


def test_unpacking_at_the_same_time(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "m.tar.gz")
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(unpacked, [path] * 8))
    assert len(set(folders)) == 1
    assert (folders[0] / "pytorch_model.bin").read_bytes() == FILES["pytorch_model.bin"]
    assert list(cache.iterdir()) == [folders[0]]


def test_what_was_left_by_a_kill_is_not_used(tmp_path: Path, cache: Path) -> None:
    abandoned = cache / ".writing-abc"
    abandoned.mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    unpacked(write(tmp_path / "m.tar.gz"))
    assert not abandoned.exists()


OUTSIDE = "would be written outside of the folder that it is unpacked into"


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (special("../evil", tarfile.REGTYPE), OUTSIDE),
        (special("a/../../evil", tarfile.REGTYPE), OUTSIDE),
        (special("/evil", tarfile.REGTYPE), OUTSIDE),
        (special("vocab.txt", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (special("vocab.txt", tarfile.LNKTYPE, "bert_config.json"), "is a link"),
        (special("tty", tarfile.CHRTYPE), "is a device"),
        (special("pipe", tarfile.FIFOTYPE), "is a device"),
        (special("bert_config.json", tarfile.REGTYPE), "is in it twice"),
    ],
)
def test_members_that_are_refused(tmp_path: Path, cache: Path, odd, why) -> None:
    path = write(tmp_path / "m.tar.gz", odd=[odd])
    with pytest.raises(CheckpointError) as caught:
        unpacked(path)
    assert str(caught.value) == (
        f'{path}: refused: "{odd.name}" {why}\n  only plain files inside are unpacked'
    )
    assert not cache.exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_a_zip_with_a_path_outside(tmp_path: Path, name) -> None:
    path = write(tmp_path / "m.zip", {name: b"x"})
    with pytest.raises(CheckpointError, match=r"refused: .*evil.* would be written outside"):
        unpacked(path)


def test_a_zip_with_a_link(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as made:
        link = zipfile.ZipInfo("vocab.txt")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    with pytest.raises(CheckpointError, match=r'refused: "vocab\.txt" is a link'):
        unpacked(path)


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    files = {f"model/{name}": content for name, content in FILES.items()}
    path = write(tmp_path / "m.zip", files | {"__MACOSX/model/._bert_config.json": b"?"})
    assert members(path) == tuple(FILES)
    assert {file.name for file in unpacked(path).iterdir()} == set(FILES)


def test_far_too_many_members(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zip", {f"f{n}": b"" for n in range(1001)})
    with pytest.raises(CheckpointError, match=r"more than 1,000 files in it; a checkpoint has a"):
        unpacked(path)


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tar", "m.zip"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_an_archive_cut_off(tmp_path: Path, cache: Path, name, share) -> None:
    path = write(tmp_path / name, FILES | {"vocab.txt": os.urandom(9000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert set(members(path)) <= {*FILES, "vocab.txt"}
    with pytest.raises(CheckpointError, match=rf"{name}: (damaged or cut off: |nothing in it)"):
        unpacked(path)
    assert not cache.exists()


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip"])
def test_an_archive_with_a_flipped_byte(tmp_path: Path, cache: Path, name) -> None:
    path = write(tmp_path / name)
    content = bytearray(path.read_bytes())
    content[3000] ^= 255
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged or cut off"):
        unpacked(path)
    assert not cache.exists() or not list(cache.iterdir())


def test_the_checksum_at_the_end_of_gzip_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "m.tar.gz")
    content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0)
    place = content.index(FILES["pytorch_model.bin"][:50])
    path.write_bytes(content[:place] + b"\0\0\0\0" + content[place + 4 :])
    with pytest.raises(CheckpointError, match="damaged or cut off: CRC check failed"):
        unpacked(path)


@pytest.mark.parametrize("name", ["notes.txt", "a.zip", "a.tar.gz", "folder.zip", "absent.zip"])
def test_what_is_no_archive_has_no_members(tmp_path: Path, name) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    elif not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"garbage" * 9)
    assert members(tmp_path / name) == ()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = write(tmp_path / "m.tar.gz")
    with pytest.raises(CheckpointError) as caught:
        unpacked(path)
    folder = tmp_path / "file/bertmod/archives"
    assert str(caught.value) == (
        f"{path}: cannot be unpacked into {folder}: Not a directory\n"
        "  make room or make it writable, set XDG_CACHE_HOME to another folder, or unpack the "
        "archive yourself and name the folder"
    )


def test_a_disk_without_room(tmp_path: Path, cache: Path) -> None:
    """A few bytes that say that they are a petabyte with holes in it."""
    bomb = tarfile.TarInfo("pytorch_model.bin")
    bomb.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(10**15)}
    path = write(tmp_path / "m.tar.gz", {}, odd=[bomb])
    with pytest.raises(CheckpointError, match="1,000,000,000,000,000 bytes once unpacked, but on"):
        unpacked(path)
    assert list(cache.iterdir()) == []
