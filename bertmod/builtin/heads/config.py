"""Options of the heads and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, TensorName

TENSORFLOW = "tensorflow"
"""The format of Google's checkpoints, where a head's two tensors are ``output_weights`` and
``output_bias``, its name before them."""

PER_TASK = {"huggingface": "classifier", "bert_n_pals": "classifier.{task}", TENSORFLOW: ""}
"""Format to the name there of a linear layer on the pooled output."""

ALONE = {"huggingface": "classifier", "bert_n_pals": "classifier"}
"""Format to the name there of a classifier in a model of one task."""

SPAN = {"huggingface": "qa_outputs", "bert_n_pals": "qa_outputs", TENSORFLOW: "cls/squad/"}
"""Format to the name there of the linear layer of starts and ends."""

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ClassWeights = Literal["balanced"] | dict[str, Weight]


class DropoutConfig(ComponentConfig):
    """Options of dropout and a linear layer."""

    dropout: float = Field(
        0.1, ge=0, lt=1, description="Dropout of what the head reads while training, in [0, 1)."
    )


class WeightedConfig(DropoutConfig):
    """Options of a head whose classes may weigh unequally in the loss."""

    class_weights: ClassWeights | None = Field(
        None,
        description="Label name to its weight in the loss, unitless, above 0, 1 where none is "
        'stated; "balanced" for weights inverse to how often each label stands in the training '
        "data; null for equal ones.",
    )


class ClassificationConfig(WeightedConfig):
    """Options of ``classification``."""


class RegressionConfig(DropoutConfig):
    """Options of ``regression``."""


class MultiLabelConfig(DropoutConfig):
    """Options of ``multi_label``."""

    positive_weights: dict[str, Weight] | None = Field(
        None,
        description="Label name to the weight in the loss of its being there, unitless, above 0, "
        "1 where none is stated; null for 1.",
    )


class MultipleChoiceConfig(DropoutConfig):
    """Options of ``multiple_choice``."""


class TokenClassificationConfig(WeightedConfig):
    """Options of ``token_classification``."""


class SpanConfig(ComponentConfig):
    """Options of ``span``."""

    mask_padding: bool = Field(
        True,
        description="Whether padding is kept out of the softmax over a row's tokens; false pads "
        "every row to the task's max_length and takes it in, as the original programs did.",
    )


def num_parameters(shape: EncoderShape, num_outputs: int) -> int:
    """Parameters of a linear layer from the hidden size to ``num_outputs``."""
    return (shape.hidden_size + 1) * num_outputs


def names(
    layer: str, shape: EncoderShape, num_outputs: int | None, *, stored: Mapping[str, str]
) -> tuple[TensorName, ...]:
    """Weight and bias of a linear layer.

    Args:
        layer: Its name in the head.
        shape: The encoder's shape.
        num_outputs: Its outputs; None leaves their number free.
        stored: Format to its name there.
    """
    return tuple(
        TensorName(
            f"{layer}.{kind}",
            (num_outputs, *rest),
            {name: _stored(name, there, kind) for name, there in stored.items()},
        )
        for kind, rest in (("weight", (shape.hidden_size,)), ("bias", ()))
    )


def _stored(format_: str, layer: str, kind: str) -> str:
    """What a linear layer's weight or bias is called in a format."""
    if format_ != TENSORFLOW:
        return f"{layer}.{kind}"
    return f"{layer}output_weights" if kind == "weight" else f"{layer}output_bias"
