"""Writing the sample to disk, once per version."""

import os
import shutil
import tempfile
from pathlib import Path

from bertmod.sample.splits import TASKS, Row, TaskFiles, examples
from bertmod.sample.stories import corpus_text
from bertmod.sample.vocabulary import vocabulary

SAMPLE_VERSION = "2"

README = """\
This data is synthetic. bertmod generated it (sample version {version}) from word lists and a small
grammar of its own, so that a recipe can run without a download. It has the layout of GLUE's files
and eight of its tasks, but no sentence of GLUE or any other data set: scores on it say nothing
about GLUE. corpus.txt is text of the same making, a sentence a line, for pre-training.
"""


def write_sample(folder: Path) -> None:
    """Write the eight tasks, text, vocabulary and README; the same bytes on every machine.

    Args:
        folder: Where to write, created if absent; files of the same names are overwritten.
    """
    texts: list[str] = []
    for task in TASKS:
        texts += _write_task(folder / task.name, task)
    _write_text(folder / "vocab.txt", "".join(f"{piece}\n" for piece in vocabulary(texts)))
    _write_text(folder / "corpus.txt", corpus_text())
    _write_text(folder / "README.txt", README.format(version=SAMPLE_VERSION))


def sample_folder(cache: Path) -> Path:
    """Give the sample's folder below ``cache``, generating it first if it is not there.

    Processes may call this at the same time: each generates a folder of its own and the first to
    finish renames it into place.

    Args:
        cache: Folder for generated data, created if absent.

    Returns:
        ``cache/sample-<version>``, complete.
    """
    target = cache / f"sample-{SAMPLE_VERSION}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=cache))
    try:
        write_sample(aside)
        aside.chmod(0o755)
        _rename(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _rename(aside: Path, target: Path) -> None:
    """Rename a folder into place; losing the race against an equal folder is no error."""
    try:
        os.replace(aside, target)
    except OSError:
        if not target.is_dir():
            raise


def _write_task(folder: Path, task: TaskFiles) -> list[str]:
    """Write the files of one task and give their texts."""
    texts: list[str] = []
    for split, rows in examples(task):
        fields = [task.row(split.name, index, example) for index, example in enumerate(rows)]
        header = task.header(split.name)
        lines = [header, *fields] if header else fields
        _write_text(folder / f"{split.name}.tsv", task.mark(split.name) + _table(lines))
        texts += [text for example in rows for text in example.texts]
    return texts


def _table(rows: list[Row]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
