"""Options of the BERT encoder and what follows from them without a tensor."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, Site
from bertmod.builtin.encoders.layer_names import layer_names

Size = Literal["tiny", "mini", "small", "medium", "base", "large"]
Activation = Literal["gelu", "gelu_tanh", "relu"]

SIZES: dict[str, tuple[int, int]] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}
"""Size to (layers, hidden size); heads are 64 wide, the inner layer four times the hidden size."""

HEAD_WIDTH = 64
VOCAB_SIZE = 30522


class BertConfig(ComponentConfig):
    """Options of ``bert``; null stands for the checkpoint's value, else the size's."""

    size: Size | None = Field(
        None,
        description="Released size that gives the dimensions not stated here: tiny 2 layers of "
        "128, mini 4 of 256, small 4 of 512, medium 8 of 512, base 12 of 768, large 24 of 1024. "
        "Null: the checkpoint's dimensions, or tiny without a checkpoint.",
    )
    vocab_size: int | None = Field(
        None, gt=0, description="Rows of the word-embedding matrix; null: the vocabulary's entries."
    )
    hidden_size: int | None = Field(None, gt=0, description="Width of the hidden states, units.")
    num_hidden_layers: int | None = Field(None, gt=0, description="Number of layers.")
    num_attention_heads: int | None = Field(
        None, gt=0, description="Attention heads; divides hidden_size. Null: one per 64 units."
    )
    intermediate_size: int | None = Field(
        None,
        gt=0,
        description="Width between the two feed-forward layers, units. Null: 4 * hidden_size.",
    )
    hidden_act: Activation | None = Field(
        None,
        description="Activation between the feed-forward layers: gelu (exact, erf), gelu_tanh "
        "(its tanh approximation) or relu. Null: gelu.",
    )
    max_position_embeddings: int | None = Field(
        None, gt=0, description="Longest row, tokens. Null: 512."
    )
    type_vocab_size: int | None = Field(
        None, gt=0, description="Number of segment embeddings. Null: 2."
    )
    hidden_dropout_prob: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout after embeddings and dense layers, in [0, 1). Null: 0.1.",
    )
    attention_probs_dropout_prob: float | None = Field(
        None, ge=0, lt=1, description="Dropout of attention weights, in [0, 1). Null: 0.1."
    )
    layer_norm_eps: float | None = Field(
        None, gt=0, description="Added to the variance inside LayerNorm. Null: 1e-12."
    )
    initializer_range: float | None = Field(
        None, gt=0, description="Standard deviation of fresh weights. Null: 0.02."
    )


class Dimensions(NamedTuple):
    """Every option of an encoder with its value."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: Activation
    max_position_embeddings: int
    type_vocab_size: int
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    layer_norm_eps: float
    initializer_range: float


DEFAULTS: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}


def dimensions(config: BertConfig) -> Dimensions:
    """All options, with the size's and the usual values where the config has null."""
    stated = {
        name: value for name in Dimensions._fields if (value := getattr(config, name)) is not None
    }
    layers, hidden = SIZES[config.size or "tiny"]
    hidden = stated.get("hidden_size", hidden)
    derived = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": max(1, hidden // HEAD_WIDTH),
        "intermediate_size": 4 * hidden,
    }
    return Dimensions(**{**DEFAULTS, **derived, **stated})


def complete(config: BertConfig) -> BertConfig:
    """The config with every null option but ``size`` filled in."""
    return config.model_copy(update=dimensions(config)._asdict())


def may_state(option: str, stated: Any, found: Any) -> bool:
    """Whether a recipe's value may differ from the checkpoint's.

    Dropout and the spread of fresh weights are choices of training. The tanh form of gelu may be
    asked for because files that say "gelu" mean either.
    """
    if option in {"hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"}:
        return True
    return option == "hidden_act" and stated == "gelu_tanh" and found == "gelu"


def check(config: BertConfig) -> tuple[Problem, ...]:
    """Problems of the options among themselves."""
    sizes = dimensions(config)
    hidden, heads = sizes.hidden_size, sizes.num_attention_heads
    if hidden % heads == 0:
        return ()
    divisors = ", ".join(str(n) for n in range(1, hidden + 1) if hidden % n == 0)
    stated = config.num_attention_heads is not None
    what = f"{heads} heads do not divide hidden_size {hidden}"
    return (
        Problem(
            "num_attention_heads",
            what if stated else f"{what} (null means one head per {HEAD_WIDTH} units)",
            (f"accepted: {divisors}",),
        ),
    )


def shape(config: BertConfig) -> EncoderShape:
    """Sizes, sites and outputs of the encoder."""
    sizes = dimensions(config)
    hidden, inner = sizes.hidden_size, sizes.intermediate_size
    sites = {"embedding_output": Site("block", hidden, hidden)}
    for name in ("query", "key", "value", "attention_dense"):
        sites[name] = Site("projection", hidden, hidden)
    sites["attention_output"] = Site("block", hidden, hidden)
    sites["attention_norm"] = Site("norm", hidden, hidden)
    sites["ffn_up"] = Site("projection", hidden, inner)
    sites["ffn_activation"] = Site("block", inner, inner)
    sites["ffn_down"] = Site("projection", inner, hidden)
    sites["ffn_output"] = Site("block", hidden, hidden)
    sites["layer_residual"] = Site("delta", hidden, hidden)
    sites["output_norm"] = Site("norm", hidden, hidden)
    sites["layer_output"] = Site("block", hidden, hidden)
    sites["encoder_output"] = Site("block", hidden, hidden)
    return EncoderShape(
        hidden_size=hidden,
        num_hidden_layers=sizes.num_hidden_layers,
        max_length=sizes.max_position_embeddings,
        sites=sites,
        provides=frozenset({"hidden", "layers", "pooled", "word_embeddings"}),
        end_sites=frozenset({"embedding_output", "encoder_output"}),
        layer_norm_eps=sizes.layer_norm_eps,
        layer_names=layer_names(hidden, inner),
        vocab_size=sizes.vocab_size,
        type_vocab_size=sizes.type_vocab_size,
    )


def initializer_range(config: BertConfig) -> float:
    """Standard deviation of fresh weights."""
    return dimensions(config).initializer_range
