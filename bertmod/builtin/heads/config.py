"""Options of the heads on the pooled output and what follows from them without a tensor."""

from __future__ import annotations

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Part, TensorName

STORED = {"huggingface": "classifier", "bert_n_pals": "classifier.{task}"}
"""Format to the name that its linear layer has there."""


class PooledConfig(ComponentConfig):
    """Options of a linear layer on the pooled output."""

    dropout: float = Field(
        0.1, ge=0, lt=1, description="Dropout of the pooled output while training, in [0, 1)."
    )


class ClassificationConfig(PooledConfig):
    """Options of ``classification``."""


class RegressionConfig(PooledConfig):
    """Options of ``regression``."""


def want(config: PooledConfig) -> frozenset[Part]:
    """The parts of the encoder's output that the head reads."""
    del config
    return frozenset({"pooled"})


def num_parameters(config: PooledConfig, shape: EncoderShape, num_outputs: int) -> int:
    """Parameters of a linear layer from the hidden size to ``num_outputs``."""
    del config
    return (shape.hidden_size + 1) * num_outputs


def names(shape: EncoderShape, num_outputs: int | None) -> tuple[TensorName, ...]:
    """Weight and bias; ``num_outputs`` None leaves their first length free."""
    return tuple(
        TensorName(
            f"classifier.{kind}",
            (num_outputs, *rest),
            {name: f"{stored}.{kind}" for name, stored in STORED.items()},
        )
        for kind, rest in (("weight", (shape.hidden_size,)), ("bias", ()))
    )
