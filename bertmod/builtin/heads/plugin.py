"""The heads that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bertmod import EncoderShape, HeadContext, HeadSpec, TensorName, hookimpl
from bertmod.builtin.heads import config as pooled
from bertmod.builtin.heads.config import ClassificationConfig, RegressionConfig

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1

__all__ = ["ClassificationConfig", "RegressionConfig", "bertmod_heads"]


def build_classification(config: ClassificationConfig, context: HeadContext) -> Module:
    """A fresh classification head."""
    from bertmod.builtin.heads.modules import Classification

    return Classification(config, context)


def build_regression(config: RegressionConfig, context: HeadContext) -> Module:
    """A fresh regression head."""
    from bertmod.builtin.heads.modules import Regression

    return Regression(config, context)


def classification_targets(config: ClassificationConfig) -> Mapping[str, str]:
    """``labels``: a class."""
    del config
    return {"labels": "class"}


def regression_targets(config: RegressionConfig) -> Mapping[str, str]:
    """``labels``: a number."""
    del config
    return {"labels": "value"}


def classification_names(config: ClassificationConfig, shape: EncoderShape) -> Sequence[TensorName]:
    """Weight and bias, with as many rows as the task has labels."""
    del config
    return pooled.names(shape, None)


def regression_names(config: RegressionConfig, shape: EncoderShape) -> Sequence[TensorName]:
    """Weight and bias of one output."""
    del config
    return pooled.names(shape, 1)


def regression_parameters(config: RegressionConfig, shape: EncoderShape, labels: int) -> int:
    """Parameters of a linear layer to one output, however many labels a task states."""
    del labels
    return pooled.num_parameters(config, shape, 1)


@hookimpl
def bertmod_heads() -> Iterator[HeadSpec]:
    """Heads: ``classification`` and ``regression``."""
    yield HeadSpec(
        name="classification",
        config=ClassificationConfig,
        build=build_classification,
        want=pooled.want,
        targets=classification_targets,
        num_parameters=pooled.num_parameters,
        names=classification_names,
        summary="One of several classes from the pooled output, by cross entropy.",
        source="google-research/bert run_classifier.py",
    )
    yield HeadSpec(
        name="regression",
        config=RegressionConfig,
        build=build_regression,
        want=pooled.want,
        targets=regression_targets,
        num_parameters=regression_parameters,
        names=regression_names,
        summary="One number from the pooled output, by squared error.",
        source="Bert-n-Pals run_multi_task.py",
    )
