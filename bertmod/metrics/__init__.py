"""Scores over whole splits, as plain functions of labels and predictions."""

from bertmod.metrics.classification import accuracy, f1, matthews
from bertmod.metrics.correlation import pearson, spearman
from bertmod.metrics.distance import mae, rmse
from bertmod.metrics.label_sets import exact_match, macro_f1, micro_f1

__all__ = [
    "accuracy",
    "exact_match",
    "f1",
    "macro_f1",
    "mae",
    "matthews",
    "micro_f1",
    "pearson",
    "rmse",
    "spearman",
]
