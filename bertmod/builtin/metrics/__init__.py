"""Metrics: of classes, values and sets of labels."""
