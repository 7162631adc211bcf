"""Scores over whole splits, as plain functions of labels and predictions."""

from bertmod.metrics.classification import accuracy, f1, matthews
from bertmod.metrics.correlation import pearson, spearman

__all__ = ["accuracy", "f1", "matthews", "pearson", "spearman"]
