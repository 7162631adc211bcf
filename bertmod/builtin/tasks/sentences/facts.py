"""What is known of published tasks: files, columns, labels, metrics; GLUE's among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bertmod import Role
from bertmod.data.glue import SUBMISSION


@dataclass(frozen=True)
class SplitFile:
    """One file of a task.

    Attributes:
        role: What the split is for.
        paths: Paths inside the data folder, the usual one first.
        texts: Columns of the first text and, for pairs, the second: names in the header, or
            positions from 0.
        label: Column of the label; None for a test file.
        id: The file's own index column; None: rows are numbered from 0.
        num_columns: Columns of a file without header; None: the first line is a header.
        only: Column and the value in it of the rows that belong to the split; None: all rows.
    """

    role: Role
    paths: tuple[str, ...]
    texts: tuple[str | int, ...]
    label: str | int | None = None
    id: str | None = None
    num_columns: int | None = None
    only: tuple[str | int, str] | None = None


@dataclass(frozen=True)
class SentenceFacts:
    """One task about a text or a pair of texts.

    Attributes:
        name: Registered name.
        summary: What is asked.
        source: The paper that the data comes from.
        splits: Split name to file.
        metrics: Metrics of its splits with labels, the main one first.
        labels: Label names in the order of the logits; None for a regression.
        value_range: Lowest and highest label of a regression.
        fields: Further names of the first and the second text when an example is given by hand.
        renamed: What files write for some labels, to the label's name.
    """

    name: str
    summary: str
    source: str
    splits: Mapping[str, SplitFile]
    metrics: tuple[str, ...]
    labels: tuple[str, ...] | None = ("0", "1")
    value_range: tuple[float, float] | None = None
    fields: tuple[tuple[str, ...], ...] = field(default=(("text",), ("text_pair",)))
    renamed: Mapping[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> Mapping[str, Role]:
        """What each split is for."""
        return {name: file.role for name, file in self.splits.items()}

    @property
    def scored(self) -> Mapping[str, tuple[str, ...]]:
        """The metrics of each split with labels that is not trained on."""
        return {
            name: self.metrics
            for name, file in self.splits.items()
            if file.role != "train" and file.label is not None
        }

    @property
    def target(self) -> str:
        """The kind of the target of its features."""
        return "class" if self.labels else "value"

    @property
    def num_texts(self) -> int:
        """1 for single texts, 2 for pairs."""
        return max(len(file.texts) for file in self.splits.values())

    @property
    def head(self) -> str:
        """Name of the head that it uses unless the recipe states one."""
        return "classification" if self.labels else "regression"

    @property
    def submissions(self) -> Mapping[str, str]:
        """Test split to the name of GLUE's submission file."""
        return {file.split: file.name for file in SUBMISSION if file.task == self.name}


def _usual_files(
    folder: str,
    texts: tuple[str | int, ...],
    label: str,
    *,
    id: str | None = "index",
    test_id: str = "index",
    test_texts: tuple[str | int, ...] | None = None,
) -> dict[str, SplitFile]:
    """``train.tsv``, ``dev.tsv`` and ``test.tsv`` with a header."""
    return {
        "train": SplitFile("train", (f"{folder}/train.tsv",), texts, label, id),
        "dev": SplitFile("dev", (f"{folder}/dev.tsv",), texts, label, id),
        "test": SplitFile("test", (f"{folder}/test.tsv",), test_texts or texts, None, test_id),
    }


_SINGLE = (("text", "sentence"),)
_PAIR = (("text", "sentence1"), ("text_pair", "sentence2"))
_PREMISE = (("text", "sentence1", "premise"), ("text_pair", "sentence2", "hypothesis"))
_QUESTIONS = (
    ("text", "question1", "sentence1"),
    ("text_pair", "question2", "sentence2"),
)
_ENTAILMENT_2 = ("not_entailment", "entailment")
_ENTAILMENT_3 = ("contradiction", "entailment", "neutral")
_SENTENCES = ("sentence1", "sentence2")

_COLA = SentenceFacts(
    name="cola",
    summary="Is the sentence grammatical? (CoLA: 0 no, 1 yes)",
    source="Warstadt et al. 2018, arXiv:1805.12471",
    splits={
        "train": SplitFile("train", ("CoLA/train.tsv",), (3,), 1, num_columns=4),
        "dev": SplitFile("dev", ("CoLA/dev.tsv",), (3,), 1, num_columns=4),
        "test": SplitFile("test", ("CoLA/test.tsv",), ("sentence",), None, "index"),
    },
    metrics=("matthews", "accuracy"),
    fields=_SINGLE,
)
_SST2 = SentenceFacts(
    name="sst2",
    summary="Does the film review praise or blame? (SST-2: 0 blame, 1 praise)",
    source="Socher et al. 2013, EMNLP, D13-1170",
    splits=_usual_files("SST-2", ("sentence",), "label", id=None),
    metrics=("accuracy",),
    fields=_SINGLE,
)
_MRPC = SentenceFacts(
    name="mrpc",
    summary="Do two sentences from the news say the same? (MRPC: 0 no, 1 yes)",
    source="Dolan and Brockett 2005, IWP, I05-5002",
    splits=_usual_files("MRPC", ("#1 String", "#2 String"), "Quality", id=None),
    metrics=("accuracy", "f1"),
    fields=(("text", "sentence1", "#1 String"), ("text_pair", "sentence2", "#2 String")),
)
_STSB = SentenceFacts(
    name="stsb",
    summary="How alike in meaning are two sentences? (STS-B: 0 to 5)",
    source="Cer et al. 2017, arXiv:1708.00055",
    splits=_usual_files("STS-B", _SENTENCES, "score"),
    metrics=("pearson", "spearman"),
    labels=None,
    value_range=(0.0, 5.0),
    fields=_PAIR,
)
_QQP = SentenceFacts(
    name="qqp",
    summary="Do two questions ask the same? (QQP: 0 no, 1 yes)",
    source="Quora 2017, First Quora Dataset Release: Question Pairs",
    splits=_usual_files("QQP", ("question1", "question2"), "is_duplicate", id="id", test_id="id"),
    metrics=("accuracy", "f1"),
    fields=_QUESTIONS,
)
_MNLI = SentenceFacts(
    name="mnli",
    summary="Does the second sentence follow from the first, contradict it, or neither? (MNLI)",
    source="Williams et al. 2018, arXiv:1704.05426",
    splits={
        "train": SplitFile("train", ("MNLI/train.tsv",), _SENTENCES, "gold_label", "index"),
        "dev_matched": SplitFile(
            "dev", ("MNLI/dev_matched.tsv",), _SENTENCES, "gold_label", "index"
        ),
        "dev_mismatched": SplitFile(
            "dev", ("MNLI/dev_mismatched.tsv",), _SENTENCES, "gold_label", "index"
        ),
        "test_matched": SplitFile("test", ("MNLI/test_matched.tsv",), _SENTENCES, None, "index"),
        "test_mismatched": SplitFile(
            "test", ("MNLI/test_mismatched.tsv",), _SENTENCES, None, "index"
        ),
    },
    metrics=("accuracy",),
    labels=_ENTAILMENT_3,
    fields=_PREMISE,
)
_QNLI = SentenceFacts(
    name="qnli",
    summary="Does the sentence answer the question? (QNLI)",
    source="Rajpurkar et al. 2016, arXiv:1606.05250, recast by Wang et al. 2018, arXiv:1804.07461",
    splits=_usual_files("QNLI", ("question", "sentence"), "label"),
    metrics=("accuracy",),
    labels=_ENTAILMENT_2,
    fields=(("text", "question"), ("text_pair", "sentence")),
)
_RTE = SentenceFacts(
    name="rte",
    summary="Does the second sentence follow from the first? (RTE)",
    source="Bentivogli et al. 2009, TAC, and the three RTE challenges before",
    splits=_usual_files("RTE", _SENTENCES, "label"),
    metrics=("accuracy",),
    labels=_ENTAILMENT_2,
    fields=_PREMISE,
)
_WNLI = SentenceFacts(
    name="wnli",
    summary="Does the sentence with the pronoun replaced follow? (WNLI: 0 no, 1 yes)",
    source="Levesque et al. 2011, recast by Wang et al. 2018, arXiv:1804.07461",
    splits=_usual_files("WNLI", _SENTENCES, "label"),
    metrics=("accuracy",),
    fields=_PREMISE,
)
_AX = SentenceFacts(
    name="ax",
    summary="GLUE's diagnostic pairs, answered by a head trained on MNLI; no training data (AX)",
    source="Wang et al. 2018, arXiv:1804.07461",
    splits={
        "test": SplitFile(
            "test", ("diagnostic/diagnostic.tsv", "AX/AX.tsv"), _SENTENCES, None, "index"
        )
    },
    metrics=("accuracy",),
    labels=_ENTAILMENT_3,
    fields=_PREMISE,
)

GLUE: tuple[SentenceFacts, ...] = (
    *(_COLA, _SST2, _MRPC, _STSB, _QQP),
    *(_MNLI, _QNLI, _RTE, _WNLI, _AX),
)
"""Every task of GLUE."""
