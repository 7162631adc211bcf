"""The heads that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bertmod import EncoderShape, HeadContext, HeadSpec, Part, TensorName, hookimpl
from bertmod.builtin.heads import config as heads
from bertmod.builtin.heads.config import (
    ClassificationConfig,
    MaskedLmConfig,
    MultiLabelConfig,
    MultipleChoiceConfig,
    NextSentenceConfig,
    PretrainingConfig,
    RegressionConfig,
    SpanConfig,
    TokenClassificationConfig,
)

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1

__all__ = [
    "ClassificationConfig",
    "MaskedLmConfig",
    "MultiLabelConfig",
    "MultipleChoiceConfig",
    "NextSentenceConfig",
    "PretrainingConfig",
    "RegressionConfig",
    "SpanConfig",
    "TokenClassificationConfig",
    "bertmod_heads",
]

PORT = "huggingface/pytorch-pretrained-BERT modeling.py"


def build_classification(config: ClassificationConfig, context: HeadContext) -> Module:
    """A fresh classification head."""
    from bertmod.builtin.heads.modules import Classification

    return Classification(config, context)


def build_regression(config: RegressionConfig, context: HeadContext) -> Module:
    """A fresh regression head."""
    from bertmod.builtin.heads.modules import Regression

    return Regression(config, context)


def build_multi_label(config: MultiLabelConfig, context: HeadContext) -> Module:
    """A fresh head of labels that are each there or not."""
    from bertmod.builtin.heads.modules import MultiLabel

    return MultiLabel(config, context)


def build_multiple_choice(config: MultipleChoiceConfig, context: HeadContext) -> Module:
    """A fresh head that chooses among rows."""
    from bertmod.builtin.heads.multiple_choice import MultipleChoice

    return MultipleChoice(config, context)


def build_token_classification(config: TokenClassificationConfig, context: HeadContext) -> Module:
    """A fresh head that tags words."""
    from bertmod.builtin.heads.token_classification import TokenClassification

    return TokenClassification(config, context)


def build_span(config: SpanConfig, context: HeadContext) -> Module:
    """A fresh head that finds answers."""
    from bertmod.builtin.heads.span import AnswerSpan

    return AnswerSpan(config, context)


def build_masked_lm(config: MaskedLmConfig, context: HeadContext) -> Module:
    """A fresh head that finds masked pieces."""
    from bertmod.builtin.heads.masked_lm import MaskedLm

    return MaskedLm(config, context)


def build_next_sentence(config: NextSentenceConfig, context: HeadContext) -> Module:
    """A fresh head that tells whether a text follows."""
    from bertmod.builtin.heads.next_sentence import NextSentence

    return NextSentence(config, context)


def build_pretraining(config: PretrainingConfig, context: HeadContext) -> Module:
    """A fresh head with both losses of pre-training."""
    from bertmod.builtin.heads.pretraining import Pretraining

    return Pretraining(config, context)


def masked_lm_parameters(config: MaskedLmConfig, shape: EncoderShape, labels: int) -> int:
    """Parameters of ``masked_lm``, whose outputs are the vocabulary's."""
    del config, labels
    return heads.num_masked_lm(shape)


def masked_lm_names(config: MaskedLmConfig, shape: EncoderShape) -> Sequence[TensorName]:
    """Names of the tensors of ``masked_lm``."""
    del config
    return heads.masked_lm_names(shape)


def pretraining_parameters(config: PretrainingConfig, shape: EncoderShape, labels: int) -> int:
    """Parameters of ``pretraining``: those of ``masked_lm`` and of ``next_sentence``."""
    del config
    return heads.num_masked_lm(shape) + heads.num_parameters(shape, labels)


def pretraining_names(config: PretrainingConfig, shape: EncoderShape) -> Sequence[TensorName]:
    """Names of the tensors of ``pretraining``; files call them as those of the single heads."""
    del config
    return heads.pretraining_names(shape)


def constant(value: Any, config: Any) -> Any:
    """``value``, whatever the options are."""
    del config
    return value


def layer(name: str, outputs: int | None, stored: Mapping[str, str]) -> dict[str, Any]:
    """What a spec says of a head that is a linear layer.

    Args:
        name: The layer's name in the head.
        outputs: Its outputs; None for one per label.
        stored: Format to the layer's name there.

    Returns:
        The spec's ``num_parameters`` and ``names``.
    """

    def num_parameters(config: Any, shape: EncoderShape, labels: int) -> int:
        del config
        return heads.num_parameters(shape, labels if outputs is None else outputs)

    def names(config: Any, shape: EncoderShape) -> Sequence[TensorName]:
        del config
        return heads.names(name, shape, outputs, stored=stored)

    return {"num_parameters": num_parameters, "names": names}


def reads(*parts: Part, **targets: str) -> dict[str, Any]:
    """The spec's ``want`` and ``targets``, name to kind, of a head that reads these parts."""
    return {
        "want": partial(constant, frozenset(parts)),
        "targets": partial(constant, targets),
    }


@hookimpl
def bertmod_heads() -> Iterator[HeadSpec]:
    """Heads on the pooled output, on each token's, and those of pre-training."""
    yield from _pooled_heads()
    yield from _token_heads()
    yield from _pretraining_heads()


def _pooled_heads() -> Iterator[HeadSpec]:
    yield HeadSpec(
        name="classification",
        config=ClassificationConfig,
        build=build_classification,
        summary="One of several classes from the pooled output, by cross entropy.",
        source="google-research/bert run_classifier.py",
        **reads("pooled", labels="class"),
        **layer("classifier", None, heads.PER_TASK),
    )
    yield HeadSpec(
        name="regression",
        config=RegressionConfig,
        build=build_regression,
        summary="One number from the pooled output, by squared error.",
        source="Bert-n-Pals run_multi_task.py",
        **reads("pooled", labels="value"),
        **layer("classifier", 1, heads.PER_TASK),
    )
    yield HeadSpec(
        name="multi_label",
        config=MultiLabelConfig,
        build=build_multi_label,
        summary="Any number of labels from the pooled output, by binary cross entropy.",
        **reads("pooled", labels="flags"),
        **layer("classifier", None, {"huggingface": "classifier"}),
    )
    yield HeadSpec(
        name="multiple_choice",
        config=MultipleChoiceConfig,
        build=build_multiple_choice,
        summary="One of a feature's rows from their pooled outputs, by cross entropy over them.",
        source="Bert-n-Pals modeling.py",
        **reads("pooled", labels="choice"),
        **layer("classifier", 1, heads.ALONE),
    )


def _token_heads() -> Iterator[HeadSpec]:
    yield HeadSpec(
        name="token_classification",
        config=TokenClassificationConfig,
        build=build_token_classification,
        summary="One of several classes for each word, from its first token, by cross entropy.",
        source=PORT,
        **reads("hidden", words="positions", labels="classes"),
        **layer("classifier", None, {"huggingface": "classifier"}),
    )
    yield HeadSpec(
        name="span",
        config=SpanConfig,
        build=build_span,
        summary="Start and end of an answer among a row's tokens, by cross entropy over them.",
        source="google-research/bert run_squad.py",
        **reads("hidden", start="position", end="position"),
        **layer("qa_outputs", 2, heads.SPAN),
    )


def _pretraining_heads() -> Iterator[HeadSpec]:
    yield HeadSpec(
        name="masked_lm",
        config=MaskedLmConfig,
        build=build_masked_lm,
        num_parameters=masked_lm_parameters,
        names=masked_lm_names,
        summary="The pieces behind masked tokens, among the whole vocabulary, by cross entropy.",
        source="google-research/bert run_pretraining.py",
        **reads("hidden", "word_embeddings", words="positions", labels="pieces"),
    )
    yield HeadSpec(
        name="next_sentence",
        config=NextSentenceConfig,
        build=build_next_sentence,
        labels=heads.NEXT_OR_RANDOM,
        summary="Whether the second text follows the first, from the pooled output.",
        source="google-research/bert run_pretraining.py",
        **reads("pooled", labels="class"),
        **layer("classifier", None, heads.NEXT_SENTENCE),
    )
    yield HeadSpec(
        name="pretraining",
        config=PretrainingConfig,
        build=build_pretraining,
        num_parameters=pretraining_parameters,
        names=pretraining_names,
        labels=heads.NEXT_OR_RANDOM,
        summary="Both losses of pre-training: masked tokens, and whether the second text follows.",
        source="google-research/bert run_pretraining.py",
        **reads(
            *("hidden", "word_embeddings", "pooled"),
            words="positions",
            labels="pieces",
            next_sentence="class",
        ),
    )
