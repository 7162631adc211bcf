"""The tokenizer of a folder in the hub's layout, as a tokenizer slot."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from bertmod import CheckpointError
from bertmod.builtin.loaders.dialect import WORDPIECE, json_object, wordpiece_slot
from bertmod.builtin.loaders.huggingface_folder import ADDED_TOKENS, VOCABULARY
from bertmod.data.durable import WRITING
from bertmod.model.tokenizer_files import OPTIONS, OWN_KEY, PIPELINE

Json = Mapping[str, Any]

SAME_TOKENS = {
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "ElectraTokenizer",
    "ElectraTokenizerFast",
}
"""Classes that read a ``vocab.txt`` as BERT does."""

OWN_OPTIONS = ("lower_case", "split_cjk", "drop_unassigned", "max_word_length")


def tokenizer_slot(folder: Path, encoder: Json) -> tuple[dict[str, Any] | None, tuple[Path, ...]]:
    """The tokenizer slot of a folder, and its files.

    Where there is no ``vocab.txt``, the vocabulary in ``tokenizer.json`` is written into the
    user's cache.

    Args:
        folder: The folder.
        encoder: The encoder slot, with ``vocab_size``.

    Returns:
        The slot, in which casing and vocabulary are left out where the folder does not say them,
        None if it says neither; and the files.

    Raises:
        CheckpointError: If the vocabulary does not belong to the encoder, or if the folder cuts
            texts in a way that WordPiece does not.
    """
    vocab, pipeline = folder / VOCABULARY, _object(folder / PIPELINE)
    options = _object(folder / OPTIONS) or {}
    if pipeline is None:
        _check_class(folder / OPTIONS, options)
        slot = _cutting(options, {}, folder / OPTIONS)
        added = _object(folder / ADDED_TOKENS) or {}
        known = _lines(vocab) if added and vocab.is_file() else ()
        _refuse_added(folder / ADDED_TOKENS, added, known)
    else:
        slot = _of_pipeline(folder / PIPELINE, pipeline, options)
        vocab = _vocabulary(folder, pipeline)
    files = [folder / name for name in (VOCABULARY, PIPELINE, OPTIONS)]
    whole = wordpiece_slot(vocab, encoder, options=slot)
    without = {"name": WORDPIECE, **slot} if slot else None
    return whole or without, tuple(file for file in files if file.is_file())


def _object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None if there is no file; a damaged one is refused."""
    if not path.is_file():
        return None
    values = json_object(path)
    if values is None:
        raise CheckpointError(f"{path}: not a JSON object")
    return values


def _check_class(path: Path, options: Json) -> None:
    stated = options.get("tokenizer_class")
    if stated is not None and str(stated) not in SAME_TOKENS:
        raise CheckpointError(
            f'{path}: a "{stated}", which may cut texts unlike BERT\n'
            f"  accepted: {', '.join(sorted(SAME_TOKENS))}, or a {PIPELINE} that says how"
        )
    if options.get("do_basic_tokenize") is False:
        raise CheckpointError(f"{path}: do_basic_tokenize is false; wordpiece has no such option")


def _cutting(options: Json, normalizer: Json, source: Path) -> dict[str, Any]:
    """Casing and splitting, the tokenizer's configuration before its pipeline.

    Args:
        options: ``tokenizer_config.json``.
        normalizer: The pipeline's normalizer; empty without one.
        source: The file that says so, for messages.
    """

    def stated(key: str, there: str) -> bool | None:
        value = options[key] if key in options else normalizer.get(there)
        return value if isinstance(value, bool) else None

    lower = stated("do_lower_case", "lowercase")
    accents = stated("strip_accents", "strip_accents")
    if accents is not None and accents != (lower is not False):
        raise CheckpointError(
            f"{source}: strip_accents is {_json(accents)}, but lower-casing {_json(not accents)}\n"
            "  wordpiece strips accents when it lower-cases, and only then"
        )
    slot = {} if lower is None else {"lower_case": lower}
    if stated("tokenize_chinese_chars", "handle_chinese_chars") is False:
        slot["split_cjk"] = False
    return slot


def _of_pipeline(path: Path, pipeline: Json, options: Json) -> dict[str, Any]:
    """Options of a tokenizer whose whole pipeline is known."""
    model = _part(path, pipeline, "model")
    for key, value in (("unk_token", "[UNK]"), ("continuing_subword_prefix", "##")):
        if model.get(key, value) != value:
            raise CheckpointError(f'{path}: {key} is {_json(model[key])}; wordpiece has "{value}"')
    if model.get("type", "WordPiece") != "WordPiece":
        raise CheckpointError(f'{path}: a "{model["type"]}" model; this loader reads WordPiece')
    longest = model.get("max_input_chars_per_word")
    slot = {"max_word_length": longest} if isinstance(longest, int) else {}
    kinds = [_part(path, pipeline, key).get("type") for key in ("normalizer", "pre_tokenizer")]
    own = options.get(OWN_KEY)
    if kinds == ["Sequence", "Split"] and isinstance(own, dict):
        return {**slot, **{key: own[key] for key in OWN_OPTIONS if key in own}}
    if kinds != ["BertNormalizer", "BertPreTokenizer"]:
        raise CheckpointError(
            f"{path}: texts are cut by {kinds[0]} and {kinds[1]}\n"
            "  accepted: BertNormalizer and BertPreTokenizer, as BERT's own tokenizer has them"
        )
    normalizer = _part(path, pipeline, "normalizer")
    if normalizer.get("clean_text") is False:
        raise CheckpointError(f"{path}: clean_text is false; wordpiece has no such option")
    return {**_cutting(options, normalizer, path), **slot}


def _part(path: Path, pipeline: Json, key: str) -> Json:
    found = pipeline.get(key)
    if found is None and key != "model":
        return {"type": f"no {key}"}
    if not isinstance(found, dict):
        raise CheckpointError(f'{path}: damaged: no "{key}" in it')
    return found


def _vocabulary(folder: Path, pipeline: Json) -> Path:
    """The vocabulary's file: the one in the folder, which must agree, or one in the cache."""
    path, vocab = folder / PIPELINE, folder / VOCABULARY
    pieces = _pieces(path, _part(path, pipeline, "model").get("vocab"))
    _refuse_added(path, _added(path, pipeline), pieces)
    if not vocab.is_file():
        return _cached(path, "".join(f"{piece}\n" for piece in pieces).encode("utf-8"))
    for number, (one, other) in enumerate(zip(_lines(vocab), pieces, strict=False), 1):
        if one != other:
            raise CheckpointError(
                f'{vocab}: line {number:,} has "{one}", {PIPELINE} "{other}" at its place\n'
                "  remove the one that does not belong to the checkpoint"
            )
    return vocab


def _lines(vocab: Path) -> list[str]:
    """The entries of a ``vocab.txt``, blanks around them taken off."""
    lines = vocab.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
    return [line.strip(" \t\r") for line in (lines if lines[-1] else lines[:-1])]


def _pieces(path: Path, vocab: Any) -> list[str]:
    """Pieces of a vocabulary in the order of their indices."""
    if not isinstance(vocab, dict) or sorted(map(str, vocab.values())) != sorted(
        map(str, range(len(vocab)))
    ):
        raise CheckpointError(f"{path}: damaged: its vocabulary does not number its pieces from 0")
    pieces: list[str] = sorted(vocab, key=lambda piece: int(vocab[piece]))
    if odd := [piece for piece in pieces if "\n" in piece]:
        raise CheckpointError(f"{path}: the piece {odd[0]!r} has a line feed in it")
    return pieces


def _added(path: Path, pipeline: Json) -> list[str]:
    try:
        return [str(each["content"]) for each in pipeline.get("added_tokens") or ()]
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged: added_tokens without content") from error


def _refuse_added(path: Path, added: Iterable[str], pieces: Iterable[str]) -> None:
    """Refuse tokens outside of the vocabulary, which wordpiece would cut like any other text."""
    known = set(pieces)
    if odd := [token for token in added if token not in known]:
        raise CheckpointError(
            f'{path}: "{odd[0]}" is a token of its own outside of the vocabulary; wordpiece would '
            "cut it like any other text\n"
            "  give it the place of an [unused] entry, or train with the vocabulary alone"
        )


def _cached(path: Path, content: bytes) -> Path:
    """A vocabulary as a file of the user's cache, called by its hash."""
    folder = Path(platformdirs.user_cache_dir("bertmod")) / "vocabularies"
    target = folder / f"{hashlib.sha256(content).hexdigest()}.txt"
    try:
        if not target.is_file() or target.read_bytes() != content:
            folder.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(prefix=WRITING, dir=folder)  # others may write it too
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(aside).replace(target)
    except OSError as error:
        raise CheckpointError(
            f"{path}: its vocabulary cannot be written into {folder}: {error.strerror or error}\n"
            "  make it writable, or set XDG_CACHE_HOME to another folder"
        ) from error
    return target


def _json(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, f'"{value}"')
