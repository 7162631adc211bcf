"""Pictures of how well null odds tell questions without answer from the others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.data.tables import make_folder, replace_bytes
from bertmod.errors import DataError
from bertmod.metrics.squad_official import Curve, Golds, Numbers

_BLUE, _ORANGE, _GREY = "#3b6fb6", "#d9822b", "#666666"
_TITLES = {
    "exact": "Exact match",
    "f1": "F1",
    "oracle": "Oracle: right wherever there is an answer",
}
_BINS = 20


def require_matplotlib() -> None:
    """Refuse to draw before any work is done where the library for it is not installed.

    Raises:
        DataError: If it is not; the message says how to install it.
    """
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise DataError(
            '--plots: matplotlib is not installed\n  pip install "bertmod[plots]"'
        ) from error


def draw_squad(
    folder: Path,
    curves: Mapping[str, Curve],
    golds: Golds,
    null_odds: Numbers,
    *,
    thresholds: Mapping[str, float],
) -> list[Path]:
    """Draw the curves and the null odds of the questions with and without answer, as PNG.

    The files have the names that the official program of SQuAD 2.0 gives them: ``pr_exact.png``,
    ``pr_f1.png``, ``pr_oracle.png``, ``na_prob_hist_hasAns.png``, ``na_prob_hist_noAns.png``.

    Args:
        folder: Where they go; made if it is not there.
        curves: As ``precision_recall_curves`` gives them.
        golds: Question id to the texts of its right answers.
        null_odds: Question id to its odds, any unit.
        thresholds: What a threshold is called to its value; drawn where they are in sight.

    Returns:
        The files.

    Raises:
        DataError: If the folder cannot be made or a file cannot be written.
    """
    make_folder(folder)
    written = [_curve(folder / f"pr_{name}.png", name, curve) for name, curve in curves.items()]
    low, high = _range(list(null_odds.values()))
    for name, kind, wanted in (("hasAns", "with", True), ("noAns", "without", False)):
        odds = [value for id_, value in null_odds.items() if bool(golds[id_]) == wanted]
        if odds:
            path = folder / f"na_prob_hist_{name}.png"
            title = f"Null odds of {len(odds):,} questions {kind} an answer"
            written.append(_histogram(path, title, odds, edges=(low, high), thresholds=thresholds))
    return written


def _curve(path: Path, name: str, curve: Curve) -> Path:
    title = f"{_TITLES[name]}\naverage precision {curve.average_precision:.1f}"
    with _axes(path, title) as axes:
        axes.fill_between(
            curve.recalls, curve.precisions, step="pre", color=_BLUE, alpha=0.15, linewidth=0
        )
        axes.step(curve.recalls, curve.precisions, where="pre", color=_BLUE, linewidth=1.6)
        axes.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1.05), ylim=(0, 1.05))
    return path


def _histogram(
    path: Path,
    title: str,
    odds: Sequence[float],
    *,
    edges: tuple[float, float],
    thresholds: Mapping[str, float],
) -> Path:
    low, high = edges
    with _axes(path, title) as axes:
        weights = np.full(len(odds), 1 / len(odds))
        axes.hist(odds, bins=_BINS, range=edges, weights=weights, color=_BLUE, alpha=0.75)
        styles = zip(thresholds.items(), (_ORANGE, _GREY), ("-", "--"), strict=False)
        for (name, value), color, line in styles:
            if low <= value <= high:
                label = f"{name}: {value:.4g}"
                axes.axvline(value, color=color, linestyle=line, linewidth=1.6, label=label)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False)
        axes.set(xlabel="Null odds: the higher, the surer that there is no answer")
        axes.set(ylabel="Share of these questions", xlim=edges)
    return path


@contextmanager
def _axes(path: Path, title: str) -> Iterator[Any]:
    """Axes of a picture that is written when the block ends, in one instant."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    yield axes
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    replace_bytes(path, stream.getvalue())


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Between what values lie; [0, 1] if they could be probabilities, as in the original."""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if low < high else (low - 0.5, high + 0.5)
