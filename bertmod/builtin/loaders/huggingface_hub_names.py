"""Checkpoints by their name on the Hugging Face hub: ``hf:NAME`` and ``hf:NAME@REVISION``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bertmod import CheckpointError
from bertmod.builtin.loaders.container import weight_files
from bertmod.builtin.loaders.huggingface_folder import (
    ADDED_TOKENS,
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    weights_in,
)
from bertmod.model.tokenizer_files import OPTIONS, PIPELINE

SCHEME = "hf:"
COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")
"""Branches, tags and commits; never a path that leads elsewhere."""

BESIDE = (CONFIG, VOCABULARY, PIPELINE, OPTIONS, ADDED_TOKENS)
"""What is fetched whatever the weights are stored in."""

SAFETENSORS = (*WEIGHTS[:2], "model-*-of-*.safetensors")
PICKLES = (*WEIGHTS[2:], "pytorch_model-*-of-*.bin")

LOG_IN = "log in: hf auth login, or HF_TOKEN"
HOW_TO_GET_IT = (
    "  where there is a network: {download}, or bertmod with the same name; then copy the "
    "cache (HF_HUB_CACHE, else HF_HOME/hub) here\n"
    "  or write the path of a folder in place of the name"
)


class HubName(NamedTuple):
    """What stands behind ``hf:``.

    Attributes:
        name: ``OWNER/MODEL``, or ``MODEL`` alone as the oldest ones are called.
        revision: Branch, tag or commit; None for the main branch.
    """

    name: str
    revision: str | None

    @property
    def download(self) -> str:
        """The command that gets it."""
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.name}{revision}"

    @property
    def asked(self) -> str:
        """The name as the user wrote it."""
        return SCHEME + self.name + (f"@{self.revision}" if self.revision else "")


def is_hub_name(path: str) -> bool:
    """Whether a path is a name on the hub."""
    return path.startswith(SCHEME)


def snapshot(path: str) -> Path:
    """The folder in the hub's cache that has the files of a name, fetched if need be.

    The network is asked which commit a branch means now, and the cache where there is no network
    or ``HF_HUB_OFFLINE`` is set. A commit that is in the cache is taken from there. The folder is
    called like the commit.

    Args:
        path: ``hf:NAME`` or ``hf:NAME@REVISION``.

    Raises:
        CheckpointError: If the package huggingface_hub is missing, the name is malformed or
            unknown to the hub, access is not granted, or the files are neither in the cache nor
            to be had.
    """
    hub = _parsed(path)
    if hub.revision is not None and COMMIT.fullmatch(hub.revision):
        cached = _cached(hub)
        if cached is not None:
            return cached
    folder = _fetch(hub, SAFETENSORS)
    if weights_in(folder) is None:
        folder = _fetch(hub._replace(revision=folder.name), PICKLES, shown=hub.asked)
    if not _complete(folder):
        lacking = "weights" if (folder / CONFIG).is_file() else CONFIG
        raise CheckpointError(
            f"{path}: no {lacking} among its files in {folder}\n"
            "  accepted: a BERT model with config.json and model.safetensors or pytorch_model.bin\n"
            "  if there was no network, the cache may have a part of it alone: "
            f"{hub.download}"
        )
    return folder


def pinned(path: str, folder: Path) -> str:
    """A hub name with the commit of its snapshot in place of the revision.

    Args:
        path: ``hf:NAME`` or ``hf:NAME@REVISION``.
        folder: What ``snapshot`` gave for it.
    """
    return f"{SCHEME}{_parsed(path).name}@{folder.name}"


def _parsed(path: str) -> HubName:
    name, at, revision = path.removeprefix(SCHEME).partition("@")
    parts = name.split("/")
    well_formed = len(parts) <= 2 and all(re.fullmatch(r"\w[\w.-]*", part) for part in parts)
    if not well_formed or (at and not REVISION.fullmatch(revision)):
        raise CheckpointError(
            f"{path}: not a name on the Hugging Face hub\n"
            "  accepted: hf:OWNER/MODEL or hf:OWNER/MODEL@REVISION, as in "
            "hf:google-bert/bert-base-uncased"
        )
    return HubName(name, revision or None)


def _cached(hub: HubName) -> Path | None:
    """The snapshot of a commit, if all of it is in the cache."""
    for patterns in (SAFETENSORS, PICKLES):
        try:
            folder = _download(hub, patterns, local_files_only=True)
        except CheckpointError:
            raise
        except Exception:  # whatever is wrong with the cache, the network may help
            continue
        if _complete(folder):
            return folder
    return None


def _fetch(hub: HubName, weights: Sequence[str], *, shown: str = "") -> Path:
    """The snapshot with the weights that match; every failure in the user's words."""
    asked = shown or hub.asked
    try:
        return _download(hub, weights)
    except CheckpointError:
        raise
    except Exception as error:  # the library raises its own, those of its client and the system's
        raise CheckpointError(f"{asked}: {_why(error, hub)}") from error


def _download(hub: HubName, weights: Sequence[str], *, local_files_only: bool = False) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(
            f"{hub.asked}: names on the hub need the package huggingface_hub\n"
            '  pip install "bertmod[hub]"'
        ) from error
    return Path(
        snapshot_download(
            hub.name,
            revision=hub.revision,
            allow_patterns=[*BESIDE, *weights],
            local_files_only=local_files_only,
        )
    )


def _why(error: Exception, hub: HubName) -> str:
    """What a failure of the library means, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{hub.name}"
    if isinstance(error, GatedRepoError):
        return f"access is not granted\n  ask for it at {page}, then {LOG_IN}"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no such model, or it is private\n  look for it at {page}; for a private "
            f"one {LOG_IN}"
        )
    if isinstance(error, RevisionNotFoundError):
        return (
            f'the model has no revision "{hub.revision}"\n'
            f"  branches, tags and commits: {page}/commits/main"
        )
    if isinstance(error, LocalEntryNotFoundError):
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        return (
            f"not in the cache {constants.HF_HUB_CACHE}, or not all of it, and {why}\n"
            + HOW_TO_GET_IT.format(download=hub.download)
        )
    first = str(error).strip().partition("\n")[0]
    return f"cannot be fetched: {type(error).__name__}: {first}"


def _complete(folder: Path) -> bool:
    """Whether a configuration and weights are there, every shard of them."""
    weights = weights_in(folder)
    if weights is None or not (folder / CONFIG).is_file():
        return False
    try:
        weight_files(weights)
    except CheckpointError:
        return False
    return True
