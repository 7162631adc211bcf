"""How tensors in files and tensors of components find each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.contracts.head import TaskInfo

if TYPE_CHECKING:
    from torch import Tensor

    from bertmod.contracts.encoder import Part

Slot = Mapping[str, Any]

UNASKED = "that nobody asked for"
"""How the reasons end for which trained values were left."""


@dataclass(frozen=True)
class TensorName:
    """One tensor of a component, and what it is called in each format.

    Attributes:
        canonical: Name within the component, unfused: ``layer.0.attention.query.weight``.
        shape: Shape; None for a length that the recipe does not fix (labels, for one).
        stored: Format to name in that format; ``{task}`` stands for the task's index in the file.
        transposed: Formats that store it transposed.
        copies: Format to further names under which the format stores the same values; written
            too where the file's dialect does.
        also_read: Format to further names, read but never written.
        fused: The module's own parameter and this tensor's place in it, if the module holds
            several canonical tensors stacked along the first axis; None if names are equal.
        tied: Canonical name within the encoder that it borrows, or None.
        part: The part of the encoder's output that it serves, if it serves one alone.
        depth: How far from the input it lies in an encoder: 0 embeddings, 1 first layer, and so
            on, one more than the layers for what is above them; None outside of encoders.
        norm: Whether it is the gain or offset of a LayerNorm or the like.
    """

    canonical: str
    shape: tuple[int | None, ...]
    stored: Mapping[str, str]
    transposed: frozenset[str] = frozenset()
    copies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    also_read: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fused: tuple[str, int] | None = None
    tied: str | None = None
    part: Part | None = None
    depth: int | None = None
    norm: bool = False

    @property
    def parameter(self) -> str:
        """Name of the module's parameter that holds it, alone or with others."""
        return self.canonical if self.fused is None else self.fused[0]


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, not yet read.

    Attributes:
        name: Its name in the format, the file's dialect (prefix, gamma and beta) removed.
        shape: Shape in the file.
        load: Reads it.
    """

    name: str
    shape: tuple[int, ...]
    load: Callable[[], Tensor]


@dataclass(frozen=True)
class CheckpointDescription:
    """What a checkpoint says of itself, known without torch.

    Attributes:
        format: Name of its naming format, a key of ``TensorName.stored``.
        encoder: Encoder slot found in it: ``name`` and structural options; None if none.
        tokenizer: Tokenizer slot found in it: ``name``, ``vocab`` and casing; None if none.
        adapters: Adapter slots found in it, as a recipe would write them.
        heads: Task id (or index in the file, as text) to head slot.
        tasks: Task ids in the order of the file; empty if the file does not say.
        infos: Key of ``heads`` to the label names, in the order of the logits in the file, and
            whatever else the file says of the task; absent where it says nothing.
        facts: Key of ``heads`` to what bertmod's own record of a trained task says beside (task
            slot, metric, score, step ...); empty for other formats.
        encoder_hash: SHA-256 that its encoder must have; empty if the file does not say.
        pinned: A path that means this very checkpoint for ever, where the one that was given may
            mean another tomorrow: ``hf:NAME@COMMIT``. It takes that path's place in what is
            recorded and read; empty where the path will do.
        skipped: Pattern of a format name to the reason why such tensors may be left. A reason that
            ends in ``UNASKED`` is that of trained values whose owner the file does not tell, such
            as a head: what must lose nothing then asks first.
        files: Every file that belongs to it.
    """

    format: str
    encoder: Slot | None = None
    tokenizer: Slot | None = None
    adapters: tuple[Slot, ...] = ()
    heads: Mapping[str, Slot] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    infos: Mapping[str, TaskInfo] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    encoder_hash: str = ""
    pinned: str = ""
    skipped: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class CheckpointContent:
    """A whole checkpoint in memory, ready to be written in some format.

    Attributes:
        encoder: Encoder slot, every option stated.
        tokenizer: Tokenizer slot, every option stated; paths in it are names among ``files``.
        files: Name to content of the tokenizer's files.
        tensors: Component (``encoder``, ``heads.TASK``, ``adapters.TASK.ID``) to its tensors: name
            in the format, without dialect, to a contiguous fp32 CPU tensor, transposed where the
            format does so.
        heads: Task id to head slot, in the order of the tasks.
        adapters: Task id to adapter slots, in the order in which they act.
        infos: Task id to label names or value range.
        facts: Task id to what bertmod's own record says beside; see ``CheckpointDescription``.
        pipeline: The tokenizer for the ``tokenizers`` library, as ``TokenizerSpec.pipeline`` gives
            it; empty if it has none.
    """

    encoder: Slot
    tokenizer: Slot
    files: Mapping[str, bytes]
    tensors: Mapping[str, Mapping[str, Tensor]]
    heads: Mapping[str, Slot] = field(default_factory=dict)
    adapters: Mapping[str, tuple[Slot, ...]] = field(default_factory=dict)
    infos: Mapping[str, TaskInfo] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pipeline: str = ""


@dataclass(frozen=True)
class CheckpointWriter:
    """How a loader's format is written.

    Attributes:
        format: Name of its naming format, a key of ``TensorName.stored``.
        write: (content, folder): fills an existing empty folder and returns how to use it with
            the programs whose format it is: Markdown for the README that bertmod puts beside,
            ``{folder}`` standing for the folder; empty if there is nothing to say. Raises
            ``CheckpointError`` for content that the format cannot hold, saying what and what to
            do.
        library: What loads the folder, as the hub calls it.
    """

    format: str
    write: Callable[[CheckpointContent, Path], str]
    library: str = "bertmod"


@dataclass(frozen=True)
class LoadReport:
    """What became of every tensor of a checkpoint and of every parameter of the model.

    Attributes:
        used: Name in the file to canonical name.
        skipped: Name in the file to the reason.
        initialised: Canonical names built fresh because the file has nothing of their component.
        missing: Canonical names of a component that the file has in part.
        unexpected: Names in the file that no component knows.
        unequal: Names in the file of copies that differ from the tensor they copy.
        misshaped: Canonical name to (shape in the file, shape in the model).
        rounded: Names in the file of float64 tensors with values that fp32 cannot hold.
        reordered: Canonical names of tensors whose rows were put into the order of the task's
            label names.
        unnamed: Head (``heads.mnli``) to the task's label names, whose order was taken for that
            of a file that does not name its labels.
    """

    used: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    initialised: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unequal: tuple[str, ...] = ()
    misshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    rounded: tuple[str, ...] = ()
    reordered: tuple[str, ...] = ()
    unnamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
