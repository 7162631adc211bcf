"""Where rows come from: folders of instances, and text files of which such folders are made."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

import bertmod
from bertmod import DataError
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.cache import file_hash, remove_abandoned
from bertmod.data.pretraining_files import HEADER_FILE, PretrainingData
from bertmod.pretraining.corpus import line_blocks, slices
from bertmod.pretraining.make import Vocabulary, make_pretraining_data
from bertmod.pretraining.options import PretrainingOptions

Part = Literal["all", "train", "dev"]
"""Of the documents of a text: all, or what is left when some are held out, or those."""

_log = logging.getLogger("bertmod")


@dataclass(frozen=True)
class Wanted:
    """What rows must be like.

    Attributes:
        owner: Whose they are, for messages: ``task "pretraining"``.
        tokenizer: The run's tokenizer.
        max_length: Longest row, tokens.
        next_sentence: ``nsp``, ``sop`` or ``none``.
        dupe_factor: How often rows are made of a text.
        held_out: Share of a text's documents that is held out where that is asked for.
        masked: Whether masks must be in the data: those of a folder are to be kept.
    """

    owner: str
    tokenizer: Tokenizer
    max_length: int
    next_sentence: Literal["nsp", "sop", "none"]
    dupe_factor: int
    held_out: float
    masked: bool


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of instances, or is meant to be one."""
    return path.is_dir()


def file_of(path: Path) -> Path:
    """The file that tells whether data has changed: a folder's header has every file's hash."""
    return path / HEADER_FILE if is_folder(path) else path


def open_rows(path: Path, wanted: Wanted, *, part: Part = "all") -> PretrainingData:
    """The rows of a folder; of a text file, those that are made of it once and kept in the cache.

    Args:
        path: The folder or the file.
        wanted: What they must be like.
        part: Of which documents; a folder has all.

    Raises:
        DataError: If there is no such data, or it is not what is wanted.
    """
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder, {wanted.owner} needs it\n"
            "  accepted: a text file with a sentence a line and a blank line between documents, "
            "or a folder that bertmod pretraining-data wrote"
        )
    if not is_folder(path):
        return PretrainingData(_made(path, wanted, part))
    data = PretrainingData(path)
    _require_fitting(data, wanted)
    return data


def _require_fitting(data: PretrainingData, wanted: Wanted) -> None:
    """Refuse a folder whose rows are not what is wanted."""
    made, again = data.header["options"], "make the data again with bertmod pretraining-data"
    if made["form"] != "bertmod":
        raise DataError(f"{data.folder}: TFRecord files\n  {again}, without --format")
    _require_vocabulary(data, wanted.tokenizer)
    if not len(data):
        raise DataError(f"{data.folder}: no instances in it\n  {again}")
    longest = made["max_seq_length"]
    if longest > wanted.max_length:
        raise DataError(
            f"{data.folder}: rows of up to {longest} tokens, but those of {wanted.owner} have at "
            f"most {wanted.max_length}\n  set data.max_length to {longest}, as far as the encoder "
            f"has positions, or {again} --max-seq-length {wanted.max_length}"
        )
    if wanted.next_sentence not in ("none", made["next_sentence"]):
        raise DataError(
            f"{data.folder}: made with --next-sentence {made['next_sentence']}, but "
            f'{wanted.owner} has "next_sentence": "{wanted.next_sentence}"\n'
            "  state the one that the data has, or none"
        )
    if wanted.masked and made["masking"] != "static":
        raise DataError(
            f"{data.folder}: nothing is masked in it (--masking {made['masking']}), but "
            f'{wanted.owner} has "masking": {{"kind": "static"}}\n'
            '  state "dynamic", which masks anew in each pass'
        )


def _require_vocabulary(data: PretrainingData, tokenizer: Tokenizer) -> None:
    """Refuse another vocabulary; a tokenizer that gives equal pieces is never another."""
    if data.header["vocabulary"]["tokenizer"] == tokenizer.fingerprint:
        return
    hashes = {hashlib.sha256(text).hexdigest() for text in tokenizer.files().values()}
    if data.header["vocabulary"]["sha256"] not in hashes:
        data.require_vocabulary("")


def _made(path: Path, wanted: Wanted, part: Part) -> Path:
    """Folder in the cache with the instances of a text file, made if it is not there."""
    options = PretrainingOptions(
        max_seq_length=wanted.max_length,
        max_predictions_per_seq=wanted.max_length,
        dupe_factor=wanted.dupe_factor,
        masking="dynamic",
        next_sentence=wanted.next_sentence,
    )
    made_of = {
        "version": bertmod.__version__,
        "text": file_hash(path),
        "compressed": path.suffix,
        "tokenizer": wanted.tokenizer.fingerprint,
        "options": options.as_json(),
        "part": [part, None if part == "all" else wanted.held_out],
    }
    name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:40]
    cache = Path(platformdirs.user_cache_dir("bertmod")) / "pretraining"
    entry = cache / name
    if not (entry / HEADER_FILE).is_file():
        try:
            _make(path, entry, wanted, options, part=part)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(
                f"{cache}: instances of {path} cannot be kept: {reason}\n"
                "  make room there, set XDG_CACHE_HOME to another folder, or write them with "
                "bertmod pretraining-data"
            ) from error
    return entry


def _make(
    path: Path, entry: Path, wanted: Wanted, options: PretrainingOptions, *, part: Part
) -> None:
    """Write instances aside, then give them their name; who comes second finds them there."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(entry.parent)
    _log.info("%s: making instances of %s", wanted.owner, path)
    aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=entry.parent))
    try:
        vocab = aside / "vocab.txt"
        files = wanted.tokenizer.files()
        vocab.write_bytes(files.get("vocab.txt", b"".join(files.values())))
        text = path if part == "all" else _parted(path, aside, wanted)[part]
        vocabulary = Vocabulary(vocab, False, wanted.tokenizer)
        out = aside / "instances"
        make_pretraining_data([str(text)], vocabulary, out, options, title=str(path))
        out.rename(entry)
    except OSError:
        if not (entry / HEADER_FILE).is_file():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _parted(path: Path, folder: Path, wanted: Wanted) -> dict[Part, Path]:
    """A text as two files: every so-manieth document, and the rest.

    What is in the other is blank, so that each line keeps its number.
    """
    every = max(2, round(1 / wanted.held_out))
    parts: dict[Part, Path] = {"train": folder / "train.txt", "dev": folder / "dev.txt"}
    counts = {"train": 0, "dev": 0}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(part.open("w", encoding="utf-8", newline="\n"))
            for name, part in parts.items()
        }
        for number, line in _numbered(path):
            name: Part = "dev" if number % every == every // 2 else "train"
            counts[name] = max(counts[name], number + 1)
            for each, file in files.items():
                file.write(f"{line}\n" if each == name else "\n")
    _require_enough(path, wanted, every, documents=max(counts.values()))
    return parts


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Every line of a text with the number of its document; blank ones are of the one before."""
    number, blank = 0, False
    begun = False
    for part in slices([path]):
        for lines in line_blocks(part):
            for line in lines:
                if line and blank and begun:
                    number += 1
                begun, blank = begun or bool(line), not line
                yield number, line


def _require_enough(path: Path, wanted: Wanted, every: int, *, documents: int) -> None:
    """Refuse a text of which too few documents would be held out."""
    held = (documents + every - every // 2 - 1) // every
    needed = 2 if wanted.next_sentence == "nsp" else 1
    if held < needed or documents - held < needed:
        raise DataError(
            f"{path}: {documents} {'document' if documents == 1 else 'documents'}: too few to hold "
            f"{wanted.held_out:g} of them out for evaluation\n"
            "  a blank line stands between documents\n"
            f'  name other text with "dev", or raise "held_out" of {wanted.owner}'
        )
