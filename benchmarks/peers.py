"""The tools that bertmod is compared with, each in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PEERS = {
    # Its examples read their data with datasets.
    "transformers": ("transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0"),
    "peft": ("peft==0.21.2", "transformers==5.23.0", "accelerate==1.15.0"),
    # The newest transformers that this version of adapters takes.
    "adapters": ("adapters==1.3.0", "transformers==4.57.6", "accelerate==1.15.0"),
    "onnxruntime": ("onnxruntime==1.31.1", "tokenizers==0.23.3", "numpy"),
}
"""Name of a peer to what is installed for it; PyTorch is bertmod's own, of constraints.txt."""

MARK = "bertmod-peer.txt"
"""File in a finished environment that says what it was made from."""


class PeerError(Exception):
    """An environment is missing, or could not be made."""


def torch_requirement() -> str:
    """The exact PyTorch of constraints.txt, as pip takes it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.strip() for line in lines if line.startswith("torch=="))


def make_environment(peer: str, folder: Path, *, torch_index: str | None = None) -> None:
    """Make a peer's environment, or leave a finished one as it is.

    PyTorch goes in first, alone and at its exact version: what is installed later finds it there
    instead of choosing another build.

    Args:
        peer: One of ``PEERS``.
        folder: Where the environment goes; one that was made from other versions is replaced.
        torch_index: Package index that PyTorch is taken from; None for pip's own.

    Raises:
        PeerError: If something else is in the folder, or an installation fails.
    """
    wanted = "\n".join((torch_requirement(), *PEERS[peer])) + "\n"
    if _made_from(folder) == wanted:
        return
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        raise PeerError(f"{folder}: holds other files; name a new folder")
    _run(sys.executable, "-m", "venv", "--clear", str(folder))
    index = ("--index-url", torch_index) if torch_index else ()
    _install(folder, *index, torch_requirement())
    _install(folder, "--constraint", str(ROOT / "constraints.txt"), *PEERS[peer])
    (folder / MARK).write_text(wanted, encoding="utf-8")


def peer_python(peer: str, folder: Path) -> Path:
    """The interpreter of a peer's environment.

    Raises:
        PeerError: If the environment is not there or was not finished.
    """
    if _made_from(folder) is None:
        raise PeerError(
            f"{folder}: no environment of {peer}\n"
            f"  make it with: python -m benchmarks environment {peer} {folder}"
        )
    return folder / "bin" / "python"


def _made_from(folder: Path) -> str | None:
    mark = folder / MARK
    return mark.read_text(encoding="utf-8") if mark.is_file() else None


def _install(folder: Path, *arguments: str) -> None:
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(str(folder / "bin" / "python"), *pip, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise PeerError(f"exit status {done.returncode} of: {' '.join(command)}")
