"""What the commands beside transformers have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import known_names, say, seed_numbers, weights_folder
from benchmarks.peers import PeerError, peer_python

if TYPE_CHECKING:
    from benchmarks.settings import FineTuning
    from benchmarks.single_task import Discipline


def beside_transformers(
    measure: Callable[..., str], environment: Path, checkpoint: Path | None
) -> None:
    """Make the measurements of a benchmark that needs nothing else, and print the page."""
    from benchmarks.contenders import RunFailed
    from bertmod import BertmodError

    try:
        python = peer_python("transformers", environment)
        print(measure(checkpoint=weights_folder(checkpoint), python=python))
    except (BertmodError, OSError, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error


def train_alike(
    discipline: Discipline,
    settings: FineTuning,
    *,
    data: Path,
    environment: Path,
    checkpoint: Path | None,
    seeds: str,
    output: Path,
    tools: str,
    busy: bool,
    num_rows: Mapping[str, int | None] | None = None,
) -> None:
    """Make the runs of a task that bertmod and transformers train alike, and print the page."""
    from benchmarks.contenders import RunFailed
    from benchmarks.results import OtherResults
    from benchmarks.series import make_runs
    from benchmarks.single_task import Comparison
    from bertmod import BertmodError

    chosen, work = known_names(tools, discipline.tools), output.resolve().with_suffix("")
    try:
        if discipline.cut is not None:
            data = discipline.cut.folder(data, work / "data", num_rows=num_rows or {})
        comparison = Comparison(
            discipline=discipline,
            data=str(data.resolve()),
            checkpoint=weights_folder(checkpoint),
            python=peer_python("transformers", environment),
            work=work,
            settings=settings,
        )
        results = make_runs(
            comparison, output, seeds=seed_numbers(seeds), tools=chosen, busy=busy, say=say
        )
    except (BertmodError, OtherResults, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error
    print(comparison.page(results))
