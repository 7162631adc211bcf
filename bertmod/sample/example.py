"""One example of a task, before it becomes a row of a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """Texts with their label.

    Args:
        texts: One sentence, or two to compare.
        label: The label as GLUE's file spells it.
        genre: Topic of the texts, or empty where the task has no genres.
    """

    texts: tuple[str, ...]
    label: str
    genre: str = ""
