"""Options of the heads and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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

NEXT_SENTENCE = {"huggingface": "cls.seq_relationship", TENSORFLOW: "cls/seq_relationship/"}
"""Format to the name there of the linear layer that tells whether a text follows."""

NEXT_OR_RANDOM = ("next", "random")
"""Labels of what follows and what does not, in the order of the logits of released models."""

WORDS = "embeddings.word_embeddings.weight"
"""The encoder's tensor that a head of masked pieces borrows."""

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


class MaskedLmConfig(ComponentConfig):
    """Options of ``masked_lm``."""

    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = Field(
        "gelu",
        description="Activation of the dense layer before the word embeddings: gelu (exact, erf), "
        "gelu_tanh (its tanh approximation) or relu; that of the encoder in released models.",
    )
    mask_id: int | None = Field(
        None,
        ge=0,
        description="Index of [MASK] in the vocabulary: where a task does not say which tokens are "
        "asked about, pieces are predicted for such tokens alone. Null: for every token then, "
        "which takes a vocabulary of logits for each.",
    )
    top_k: int = Field(
        5, gt=0, description="How many of a token's most likely pieces are kept, pieces."
    )


class PretrainingConfig(MaskedLmConfig):
    """Options of ``pretraining``."""


class NextSentenceConfig(ComponentConfig):
    """Options of ``next_sentence``: none."""


def vocabulary(shape: EncoderShape) -> int:
    """Rows of an encoder's word embeddings.

    Raises:
        ValueError: If it does not say.
    """
    if shape.vocab_size is None:
        raise ValueError("the encoder's shape states no vocab_size, which a masked_lm head needs")
    return shape.vocab_size


def num_masked_lm(shape: EncoderShape) -> int:
    """Parameters of a head of masked pieces: dense layer, LayerNorm and the output's bias."""
    return (shape.hidden_size + 1 + 2) * shape.hidden_size + vocabulary(shape)


def masked_lm_names(shape: EncoderShape) -> tuple[TensorName, ...]:
    """Names of a head of masked pieces; its decoder is the encoder's word embeddings."""
    hidden, pieces = shape.hidden_size, vocabulary(shape)
    here, google = "cls.predictions.transform.", "cls/predictions/transform/"
    rows = [
        TensorName(
            f"transform.{ours}",
            (hidden, hidden) if theirs == "dense/kernel" else (hidden,),
            {"huggingface": f"{here}{port}", TENSORFLOW: f"{google}{theirs}"},
            transposed=frozenset({TENSORFLOW} if theirs == "dense/kernel" else ()),
            norm=ours.startswith("norm"),
        )
        for ours, port, theirs in (
            ("dense.weight", "dense.weight", "dense/kernel"),
            ("dense.bias", "dense.bias", "dense/bias"),
            ("norm.weight", "LayerNorm.weight", "LayerNorm/gamma"),
            ("norm.bias", "LayerNorm.bias", "LayerNorm/beta"),
        )
    ]
    bias = TensorName(
        "bias",
        (pieces,),
        {"huggingface": "cls.predictions.bias", TENSORFLOW: "cls/predictions/output_bias"},
        also_read={"huggingface": ("cls.predictions.decoder.bias",)},
    )
    decoder = TensorName(
        "decoder.weight",
        (pieces, hidden),
        {"huggingface": "cls.predictions.decoder.weight"},
        tied=WORDS,
    )
    return (*rows, bias, decoder)


def pretraining_names(shape: EncoderShape) -> tuple[TensorName, ...]:
    """Names of a head that is one of masked pieces and one of next sentences side by side."""
    order = names("classifier", shape, None, stored=NEXT_SENTENCE)
    return (
        *(replace(row, canonical=f"masked_lm.{row.canonical}") for row in masked_lm_names(shape)),
        *(replace(row, canonical=f"next_sentence.{row.canonical}") for row in order),
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
