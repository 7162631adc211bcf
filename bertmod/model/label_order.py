"""The order of a head's labels in a file, by their names."""

from __future__ import annotations

from collections.abc import Sequence

from bertmod.errors import CheckpointError


def label_order(
    wanted: Sequence[str], found: Sequence[str], *, source: str
) -> tuple[int, ...] | None:
    """Where each label of a task stands in a file.

    Programs order the same labels differently: MNLI's are known in three orders. Names that
    differ in case alone are the same, unless one side tells such names apart.

    Args:
        wanted: The task's label names, in the order of its logits.
        found: The file's, in the order of the logits there.
        source: The head, for messages: path and task.

    Returns:
        Index in the file of each of the task's labels; None if they are in order already.

    Raises:
        CheckpointError: If the names are not the same, whatever their order.
    """
    for one, other in ((wanted, found), (_folded(wanted), _folded(found))):
        places = {name: place for place, name in enumerate(other)}
        if len(places) == len(other) == len(one) and places.keys() == set(one):
            order = tuple(places[name] for name in one)
            return None if order == tuple(range(len(order))) else order
    raise CheckpointError(
        f"{source}: the labels are not the task's\n"
        f"  in the file: {', '.join(found)}\n"
        f"  of the task: {', '.join(wanted)}\n"
        "  if they mean the same, name them so in a copy: bertmod convert ... --to bertmod "
        "--labels A,B\n"
        "  else leave the head out of the checkpoint's use, so that it starts afresh"
    )


def _folded(names: Sequence[str]) -> list[str]:
    return [name.casefold() for name in names]
