"""``eval_results.txt``, as google-research/bert writes it."""

from __future__ import annotations

from bertmod.inference.scored_split import ScoredSplit

RESULT_FILE = "eval_results.txt"


def result_text(split: ScoredSplit, step: int) -> str:
    """The file of a dev split: lines ``key = value``, in order of the keys.

    The keys are ``eval_<metric>`` of each metric, ``global_step``, and ``eval_loss`` and ``loss``,
    both the mean loss over the split's targets. The original's ``loss`` is a mean over batches, of
    which the last may be smaller. A head of several losses gives their mean, as the original does
    of start and end.

    Args:
        split: A dev split, with losses.
        step: Optimizer steps done.
    """
    values: dict[str, float] = {f"eval_{name}": score for name, score in split.scores.items()}
    if split.losses:
        loss = sum(split.losses.values()) / len(split.losses)
        values |= {"eval_loss": loss, "loss": loss}
    values["global_step"] = step
    return "".join(f"{key} = {values[key]}\n" for key in sorted(values))
