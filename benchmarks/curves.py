"""Curves of held-out loss and accuracy, as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Curve:
    """Evaluations of one run.

    Attributes:
        title: What the reader is told of it.
        minutes: Time of each evaluation since the start.
        losses: Held-out masked loss, nats.
        accuracies: Held-out masked accuracy, in [0, 1].
        unigram: Loss and accuracy of the pieces' frequencies alone.
    """

    title: str
    minutes: Sequence[float]
    losses: Sequence[float]
    accuracies: Sequence[float]
    unigram: tuple[float, float]


def draw_curves(curves: Sequence[Curve], path: Path) -> None:
    """Draw a panel of losses and one of accuracies for each run.

    Raises:
        OSError: If the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "bertmod", "font.size": 9}):
        figure = Figure(figsize=(8, 2.9 * len(curves)), layout="constrained")
        axes = figure.subplots(len(curves), 2, squeeze=False)
        for row, curve in zip(axes, curves, strict=True):
            for number, (axis, values, unit) in enumerate(
                zip(row, (curve.losses, curve.accuracies), ("loss, nats", "accuracy"), strict=True)
            ):
                axis.plot(curve.minutes, values, color="#3f51b5")
                axis.axhline(curve.unigram[number], color="#888888", linestyle="--", linewidth=1)
                axis.text(
                    curve.minutes[-1],
                    curve.unigram[number],
                    "frequencies alone",
                    color="#666666",
                    ha="right",
                    va=("top", "bottom")[number],
                )
                axis.set(xlabel="minutes", ylabel=f"masked {unit}", title=curve.title)
                axis.set_xlim(left=0)
                axis.set_ylim(bottom=0)
                axis.grid(alpha=0.3)
        figure.savefig(path, format="svg", metadata={"Date": None})
