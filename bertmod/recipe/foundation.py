"""Checkpoint, tokenizer and encoder: what the rest of a recipe stands on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import platformdirs

from bertmod.errors import BertmodError
from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.schema import AUTO
from bertmod.recipe.suspects import suspects
from bertmod.recipe.validate import json_schema
from bertmod.registry import Entry, UnknownNameError
from bertmod.sample import sample_folder
from bertmod.wording import shown

COMMAND_LINE = "--checkpoint"
"""Origin of a checkpoint that the command line names: it replaces what the recipe states."""


def cached_sample() -> FilePath:
    """The folder of the built-in sample in the user's cache, generated if it is not there.

    Raises:
        OSError: If the cache cannot be written.
    """
    return sample_folder(FilePath(platformdirs.user_cache_dir("bertmod")))


def lay_foundation(draft: Draft) -> None:
    """Resolve checkpoint, tokenizer and encoder of a draft, as far as they are right."""
    if draft.value("checkpoint") is not None:
        draft.checkpoint = _checkpoint(draft)
        _describe(draft, draft.checkpoint)
    described = draft.description
    draft.tokenizer = _founded(draft, "tokenizer", described.tokenizer if described else None)
    draft.encoder = _founded(draft, "encoder", described.encoder if described else None)
    _tokenizer(draft)
    _encoder(draft)


def _checkpoint(draft: Draft) -> Half:
    half = draft.slot("loader", draft.value("checkpoint"), ("checkpoint",))
    keys = half.keys
    if keys.path is not None:
        path = draft.raw.absolute(("checkpoint", "path"), keys.path)
        half.keys = keys.model_copy(update={"path": path})
        if half.written == AUTO:
            half.entry = _claimant(draft, path)
    elif "path" not in half.wrong:
        draft.add(
            ("checkpoint", "path"),
            "null: the recipe does not say where the checkpoint is",
            "give --checkpoint PATH, or write the path here",
        )
    draft.validate_options(half)
    return half


def _claimant(draft: Draft, path: str) -> Entry[Any] | None:
    """The one loader that knows a checkpoint."""
    where = ("checkpoint", "path")
    entries = draft.registry.entries("loader")
    claims: list[tuple[Entry[Any], str]] = []
    for entry in entries:
        reason = Half("loader", where, entry=entry).ask(_spec(entry).can_load, path)
        if reason is not None:
            claims.append((entry, reason))
    if len(claims) == 1:
        entry, reason = claims[0]
        draft.notes.append(f"checkpoint.path: read as {entry.spec.name} ({reason})")
        return entry
    if claims:
        owners = " and ".join(f"{entry.full_name} ({reason})" for entry, reason in claims)
        choice = " or ".join(f'"name": "{entry.full_name}"' for entry, _ in claims)
        draft.add(where, f"more than one loader claims {path}: {owners}", f"write {choice}")
        return None
    what = f"no loader knows {path}" if os.path.lexists(path) else f"there is no {path}"
    looked = [f"{entry.spec.name}: {entry.spec.summary}" for entry in entries]
    lines = [*suspects(path), "looked for:", *(f"  {line}" for line in looked or ["nothing"])]
    draft.add(where, what, *lines)
    return None


def _spec(entry: Entry[Any]) -> Any:
    return entry.spec


def _describe(draft: Draft, half: Half) -> None:
    if not half.ready() or half.keys.path is None:
        return
    try:
        draft.description = half.ask(
            half.spec.describe, half.config, half.keys.path, half.keys.tasks
        )
    except BertmodError as error:
        first, *more = str(error).splitlines()
        draft.add(("checkpoint", "path"), first, *more)
        return
    if draft.description is not None and draft.description.pinned:
        half.keys = half.keys.model_copy(update={"path": draft.description.pinned})


def _founded(draft: Draft, kind: str, found: Mapping[str, Any] | None) -> Half:
    """The encoder's or tokenizer's slot with what the checkpoint says of it merged in."""
    stated = kind in draft.raw.values
    value = draft.value(kind)
    if found is None:
        return draft.slot(kind, value, (kind,))
    entry = _found_entry(draft, kind, str(found["name"]))
    if not stated and entry is not None:
        value = {"name": entry.full_name}
    half = draft.slot(kind, value, (kind,))
    if entry is None or half.entry is None:
        return half
    if half.entry.full_name != entry.full_name:
        what = (half.written, str(found["name"]))
        if not _replaced(draft, half, "name", *what):
            return half
        half = draft.slot(kind, {"name": entry.full_name}, (kind,))
    _merge(draft, half, {key: found[key] for key in found if key != "name"})
    return half


def _found_entry(draft: Draft, kind: str, name: str) -> Entry[Any] | None:
    loader = draft.checkpoint.entry if draft.checkpoint else None
    try:
        return draft.registry.get(kind, name, near=loader.provider if loader else None)
    except UnknownNameError as error:
        draft.add(("checkpoint", "path"), f"it holds something unknown: {error.what}", *error.more)
        return None


def _merge(draft: Draft, half: Half, found: Mapping[str, Any]) -> None:
    """Fill null options with the checkpoint's values; a different value needs a rule."""
    wins = getattr(half.spec, "may_state", None)
    found = {key: value for key, value in found.items() if value is not None}
    found = json.loads(json.dumps(found, default=list))
    for option, value in found.items():
        stated = half.options.get(option)
        if stated is not None and stated == value:
            continue
        if stated is not None and wins is not None and half.ask(wins, option, stated, value):
            continue
        if stated is not None:
            _replaced(draft, half, option, stated, value)
        half.options[option] = value  # also after a problem: the rest is checked against the file
        half.taken.add(option)
    for option in shorthands(half, found):
        _drop_shorthand(draft, half, option, found)


def _replaced(draft: Draft, half: Half, option: str, stated: Any, found: Any) -> bool:
    """Whether the command line's checkpoint replaces what the recipe states; else a problem."""
    path = (*half.path, option)
    by_command_line = draft.raw.origin(("checkpoint", "path")).label == COMMAND_LINE
    if by_command_line and draft.raw.origin(path).label != "--set":
        where = f"{half.path[0]}.{option}"
        draft.notes.append(
            f"{where}: {shown(found)} from the checkpoint, in place of the recipe's {shown(stated)}"
        )
        return True
    draft.add(
        path,
        f"the recipe says {shown(stated)}, the checkpoint {shown(found)}",
        "leave it out to take the checkpoint's",
    )
    return False


def shorthands(half: Half, found: Mapping[str, Any]) -> list[str]:
    """Options, such as an encoder's ``size``, that only choose values for other options."""
    if half.kind != "encoder":
        return []
    spec = half.spec
    empty = half.ask(spec.complete, half.ask(spec.config))
    return [
        option
        for option, value in half.options.items()
        if value is not None
        and option not in found
        and hasattr(empty, option)
        and getattr(empty, option) is None
        and _choices(spec.config, option)
    ]


def _choices(model: Any, option: str) -> list[Any]:
    schema = json_schema(model)["properties"][option]
    parts = [schema, *schema.get("anyOf", ())]
    return [value for part in parts for value in part.get("enum", ())]


def _drop_shorthand(draft: Draft, half: Half, option: str, found: Mapping[str, Any]) -> None:
    """Leave a shorthand alone if it means what the checkpoint has, else replace it or complain."""
    spec = half.spec
    meanings = {
        choice: half.ask(spec.complete, spec.config(**{option: choice}))
        for choice in _choices(spec.config, option)
    }
    meant = meanings.get(half.options[option])
    if meant is None:
        return  # not a choice at all: validation says so
    chosen = [
        key
        for key in found
        if hasattr(meant, key) and len({getattr(m, key) for m in meanings.values()}) > 1
    ]
    differs = {key: found[key] for key in chosen if getattr(meant, key) != found[key]}
    if not differs:
        return
    has = ", ".join(f"{key} {shown(value)}" for key, value in differs.items())
    by_command_line = draft.raw.origin(("checkpoint", "path")).label == COMMAND_LINE
    value = half.options[option]
    if by_command_line and draft.raw.origin((*half.path, option)).label != "--set":
        where = f"{half.path[0]}.{option}"
        draft.notes.append(
            f"{where}: the checkpoint's {has} in place of the recipe's {shown(value)}"
        )
        half.options[option] = None
        return
    draft.add(
        (*half.path, option),
        f"the recipe says {shown(value)}, the checkpoint has {has}",
        "leave it out to take the checkpoint's",
    )


def _tokenizer(draft: Draft) -> None:
    half = draft.tokenizer
    if half.entry is None:
        return
    wants = "vocab" in half.spec.config.model_fields
    if wants and half.options.get("vocab") is None:
        if draft.checkpoint is None:
            half.options["vocab"] = _sample_vocabulary(draft)
        elif draft.description is not None:
            draft.add(
                ("tokenizer", "vocab"),
                "the checkpoint has no vocabulary",
                "name the vocab.txt that belongs to it",
            )
    draft.validate_options(half)
    unknown = wants and half.options.get("vocab") is None
    if unknown or not draft.check_options(half):
        half.config = None
    else:
        half.config = half.ask(half.spec.complete, half.config)


def _sample_vocabulary(draft: Draft) -> str | None:
    try:
        return str(cached_sample() / "vocab.txt")
    except OSError as error:
        draft.add(
            ("tokenizer", "vocab"),
            f"the built-in sample's vocabulary cannot be written: {error}",
            "name a vocab.txt here, or set XDG_CACHE_HOME to a folder that can be written",
        )
        return None


def _encoder(draft: Draft) -> None:
    half = draft.encoder
    draft.validate_options(half)
    if not draft.check_options(half) or half.entry is None:
        half.config = None
        return
    size = _vocab_size(draft)
    stated = getattr(half.config, "vocab_size", None)
    if size is not None and stated is None and "vocab_size" in type(half.config).model_fields:
        half.config = half.config.model_copy(update={"vocab_size": size})
    elif size is not None and stated is not None and size > stated:
        draft.add(
            ("tokenizer", "vocab"),
            f"the vocabulary has {size:,} entries, the encoder {stated:,} word embeddings",
            "use the vocabulary that belongs to the encoder"
            + ("" if "vocab_size" in half.taken else ", or leave encoder.vocab_size out"),
        )
    half.config = half.ask(half.spec.complete, half.config)
    if draft.checkpoint is None or draft.description is not None:
        draft.shape = half.ask(half.spec.shape, half.config)


def _vocab_size(draft: Draft) -> int | None:
    half = draft.tokenizer
    if not half.ready():
        return None
    try:
        return int(half.ask(half.spec.vocab_size, half.config))
    except BertmodError as error:
        draft.add(("tokenizer", "vocab"), str(error))
        return None
