"""What GLUE's server takes: its files, the splits they answer, how many rows each has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SubmissionFile:
    """One file of a submission to GLUE.

    Attributes:
        name: Its name in the zip.
        task: Registered name of the task whose test split it answers.
        split: That test split.
        rows: Published rows of the split.
        lender: Registered name of the task whose head answers; empty: the task's own.
    """

    name: str
    task: str
    split: str
    rows: int
    lender: str = ""


SUBMISSION: tuple[SubmissionFile, ...] = (
    SubmissionFile("AX.tsv", "ax", "test", 1_104, lender="mnli"),
    SubmissionFile("CoLA.tsv", "cola", "test", 1_063),
    SubmissionFile("MNLI-m.tsv", "mnli", "test_matched", 9_796),
    SubmissionFile("MNLI-mm.tsv", "mnli", "test_mismatched", 9_847),
    SubmissionFile("MRPC.tsv", "mrpc", "test", 1_725),
    SubmissionFile("QNLI.tsv", "qnli", "test", 5_463),
    SubmissionFile("QQP.tsv", "qqp", "test", 390_965),
    SubmissionFile("RTE.tsv", "rte", "test", 3_000),
    SubmissionFile("SST-2.tsv", "sst2", "test", 1_821),
    SubmissionFile("STS-B.tsv", "stsb", "test", 1_379),
    SubmissionFile("WNLI.tsv", "wnli", "test", 146),
)
"""Every file of a submission, by name."""
