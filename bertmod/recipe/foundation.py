"""Checkpoint, tokenizer and encoder: what the rest of a recipe stands on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

import platformdirs

from bertmod.errors import BertmodError
from bertmod.model.embedding_rows import suits
from bertmod.recipe.draft import Draft, Half
from bertmod.recipe.schema import AUTO
from bertmod.recipe.suspects import content, neighbours, suspects, unreachable
from bertmod.recipe.validate import json_schema
from bertmod.registry import Entry, UnknownNameError
from bertmod.wording import did_you_mean, shown

COMMAND_LINE = "--checkpoint"
"""Origin of a checkpoint that the command line names: it replaces what the recipe states."""


MOST_NEAR = 3
"""Checkpoints named near a path that is none."""


def cached_sample() -> FilePath:
    """The folder of the built-in sample in the user's cache, generated if it is not there.

    Raises:
        OSError: If the cache cannot be written.
    """
    from bertmod.sample import sample_folder  # with its word lists, which few commands need

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
    where = ("checkpoint", "path")
    half = draft.slot("loader", draft.value("checkpoint"), ("checkpoint",))
    keys = half.keys
    if keys.path is not None:
        path = draft.raw.absolute(where, keys.path)
        half.keys = keys.model_copy(update={"path": path})
        if why := unreachable(path):
            draft.add(where, f"{path} cannot be looked at: {why}")
            half.entry = None
        elif half.written == AUTO:
            half.entry = _claimant(draft, path, keys.path)
    elif "path" not in half.wrong:
        draft.add(
            where,
            "null: the recipe does not say where the checkpoint is",
            "give --checkpoint PATH, or write the path here",
        )
    draft.validate_options(half)
    return half


def _claimant(draft: Draft, path: str, written: str) -> Entry[Any] | None:
    """The one loader that knows a checkpoint."""
    where = ("checkpoint", "path")
    claims = _claims(draft, path)
    if len(claims) == 1:
        entry, reason = claims[0]
        draft.notes.append(f"checkpoint.path: read as {entry.spec.name} ({reason})")
        return entry
    if claims:
        owners = " and ".join(f"{entry.full_name} ({reason})" for entry, reason in claims)
        choice = " or ".join(f'"name": "{entry.full_name}"' for entry, _ in claims)
        draft.add(
            where,
            f"more than one loader claims {path}: {owners}",
            f"put each in a folder of its own, or write {choice} in the recipe's checkpoint slot",
        )
        return None
    draft.add(where, *_unknown(draft, path, written))
    return None


def _claims(draft: Draft, path: str) -> list[tuple[Entry[Any], str]]:
    """The loaders that know a checkpoint, and by what."""
    asked = (
        (entry, Half("loader", (), entry=entry).ask(_spec(entry).can_load, path))
        for entry in draft.registry.entries("loader")
    )
    return [(entry, reason) for entry, reason in asked if reason is not None]


def _unknown(draft: Draft, path: str, written: str) -> list[str]:
    """What to say of a checkpoint that no loader knows."""
    place = FilePath(path)
    if os.path.lexists(path):
        what = f"no loader knows {path}"
    else:
        beside = [each.name for each in content(place.parent)]
        what = f"there is no {path}{did_you_mean(place.name, beside)}"
    near = (
        f"{entry.spec.name} knows {other} ({reason}); name that instead"
        for other in neighbours(path)
        for entry, reason in _claims(draft, other)
    )
    entries = draft.registry.entries("loader")
    looked = [f"  {entry.spec.name}: {entry.spec.summary}" for entry in entries] or ["  nothing"]
    return [what, *suspects(path, written), *islice(near, MOST_NEAR), "looked for:", *looked]


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
        draft.add(("checkpoint", "path"), first, *(line.removeprefix("  ") for line in more))
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
        f"{shown(stated)} is stated, the checkpoint says {shown(found)}",
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
        f"{shown(value)} is stated, the checkpoint has {has}",
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
                f"the checkpoint {draft.checkpoint.keys.path} has no vocabulary",
                "name the vocab.txt that belongs to it, or put it beside the checkpoint's files",
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
    elif size is not None and stated is not None:
        _check_rows(draft, entries=size, rows=stated)
    half.config = half.ask(half.spec.complete, half.config)
    if draft.checkpoint is None or draft.description is not None:
        draft.shape = half.ask(half.spec.shape, half.config)


def _check_rows(draft: Draft, *, entries: int, rows: int) -> None:
    """Refuse a vocabulary that the word embeddings are not for.

    Of a vocabulary that the checkpoint brings, its loader knows whether rows may be left over.
    """
    taken = "vocab_size" in draft.encoder.taken
    if taken and "vocab" not in draft.tokenizer.taken and not suits(entries, rows=rows):
        draft.add(
            ("tokenizer", "vocab"),
            f"the vocabulary has {entries:,} entries, the checkpoint {rows:,} word embeddings",
            "use the vocabulary that belongs to the checkpoint",
        )
    elif entries > rows:
        draft.add(
            ("tokenizer", "vocab"),
            f"the vocabulary has {entries:,} entries, the encoder {rows:,} word embeddings",
            "use the vocabulary that belongs to the encoder"
            + ("" if taken else ", or leave encoder.vocab_size out"),
        )


def _vocab_size(draft: Draft) -> int | None:
    half = draft.tokenizer
    if not half.ready():
        return None
    try:
        return int(half.ask(half.spec.vocab_size, half.config))
    except BertmodError as error:
        draft.add(("tokenizer", "vocab"), str(error))
        return None
