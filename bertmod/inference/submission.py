"""A trained run's answers as the zip that GLUE's server takes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bertmod.contracts.task import Example
from bertmod.data.glue import SUBMISSION, SubmissionFile
from bertmod.data.tables import replace_bytes
from bertmod.errors import DataError
from bertmod.inference.progress import Progress
from bertmod.inference.states import choose_tasks
from bertmod.inference.trained import TrainedRun

PROVIDER = "bertmod/"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state


@dataclass(frozen=True)
class SubmissionPart:
    """A file that can be answered.

    Attributes:
        file: The file.
        task: Id of the task of the run that answers it.
        examples: Every row of the test split.
    """

    file: SubmissionFile
    task: str
    examples: Sequence[Example]


@dataclass(frozen=True)
class SubmissionPlan:
    """What a submission would hold.

    Attributes:
        parts: The files that can be answered, those of one encoder together.
        missing: Names of the other files, and why each cannot be answered.
        uneven: Names of files whose rows are not as many as published, and how many there are.
    """

    parts: tuple[SubmissionPart, ...]
    missing: Mapping[str, str]
    uneven: Mapping[str, str]

    def require_complete(self) -> None:
        """Refuse a submission that the benchmark's server would not take.

        Raises:
            DataError: If a file or a row lacks; the message names every one.
        """
        problems = {**self.missing, **self.uneven}
        if problems:
            told = "".join(f"\n  {name}: {problems[name]}" for name in sorted(problems))
            raise DataError(
                f"the submission would not be complete{told}\n"
                f"  GLUE's server takes all {len(SUBMISSION)} files with every row; --partial "
                "writes what there is"
            )


def plan_submission(
    trained: TrainedRun, data: Path | None = None, *, tasks: Sequence[str] = ()
) -> SubmissionPlan:
    """Read every test split of GLUE that a run can answer.

    The diagnostic set is answered by the head of MNLI, whether the run has a task for it or not.

    Args:
        trained: The run.
        data: Data folder; None: the one that the run was trained on.
        tasks: Ids of the tasks that answer; none means all.

    Raises:
        DataError: If the run has no such task, two tasks would answer one file, or a file is
            malformed.
    """
    _lend(trained, tasks)
    chosen = choose_tasks(trained.tasks, tasks)
    owners, missing = _owners(trained, chosen)
    order = [task for group in trained.together(chosen) for task in group]
    parts, uneven = [], {}
    for file, task in sorted(owners.items(), key=lambda owner: order.index(owner[1])):
        (path,) = trained.files(task, file.split, data)
        if not path.is_file():
            missing[file.name] = f"there is no {path}"
            continue
        examples = trained.examples(task, file.split, data)
        parts.append(SubmissionPart(file, task, examples))
        if len(examples) != file.rows:
            uneven[file.name] = f"{path} has {len(examples):,} rows, {file.rows:,} are published"
    return SubmissionPlan(tuple(parts), missing, uneven)


def write_submission(
    trained: TrainedRun, plan: SubmissionPlan, path: Path, *, progress: Progress
) -> None:
    """Answer a plan's files and write them as one zip, which is there whole or not at all.

    Equal answers give equal bytes: names are sorted, times fixed.

    Args:
        trained: The run that the plan was made for.
        plan: What to answer.
        path: The zip.
        progress: Shows how far the answering of each file is.

    Raises:
        DataError: If the zip cannot be written.
    """
    with TemporaryDirectory(prefix="bertmod-") as name:
        folder = Path(name)
        for part in plan.parts:
            with progress(len(part.examples), part.file.name) as advance:
                predictions = trained.predict(part.task, part.examples, advance=advance)
            task = trained.task(part.task).task
            written = task.write(part.file.split, part.examples, predictions, folder)
            _check_rows(part, written)
        replace_bytes(path, _zipped(sorted(folder.iterdir())))


def _lend(trained: TrainedRun, tasks: Sequence[str]) -> None:
    """Let the run's MNLI head answer the diagnostic set if the run has no task for it."""
    for file in SUBMISSION:
        if not file.lender or PROVIDER + file.task in trained.kinds.values():
            continue
        lenders = [task for task, kind in trained.kinds.items() if kind == PROVIDER + file.lender]
        named = [task for task in lenders if task in tasks] or lenders
        if len(named) == 1:
            trained.lend(named[0], PROVIDER + file.task, id=file.task)


def _owners(
    trained: TrainedRun, chosen: Sequence[str]
) -> tuple[dict[SubmissionFile, str], dict[str, str]]:
    """The task that answers each file, and why nobody answers the others."""
    owners: dict[SubmissionFile, str] = {}
    missing: dict[str, str] = {}
    for file in SUBMISSION:
        able = [task for task, kind in trained.kinds.items() if kind == PROVIDER + file.task]
        asked = [task for task in able if task in chosen]
        if len(asked) > 1:
            raise DataError(
                f"{file.name}: tasks {' and '.join(asked)} of the run would answer it\n"
                "  choose with --task"
            )
        if asked:
            owners[file] = asked[0]
        elif able:
            missing[file.name] = f"--task leaves out {' and '.join(able)}"
        else:
            missing[file.name] = f'the run has no task "{file.lender or file.task}"'
    return owners, missing


def _check_rows(part: SubmissionPart, written: Sequence[Path]) -> None:
    """See that a file was written and holds a header and every row of the test split."""
    lines = [path.read_bytes().count(b"\n") for path in written if path.name == part.file.name]
    if lines != [len(part.examples) + 1]:
        raise DataError(
            f"{part.file.name}: {lines[0] - 1 if lines else 0:,} rows were written for "
            f"{len(part.examples):,} of the test split"
        )


def _zipped(paths: Sequence[Path]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return stream.getvalue()
