"""The encoders that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertmod import EncoderContext, EncoderSpec, hookimpl
from bertmod.builtin.encoders import config as bert
from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1

__all__ = ["BertConfig", "bertmod_encoders"]


def build_bert(config: BertConfig, context: EncoderContext) -> Module:
    """A fresh BERT encoder."""
    from bertmod.builtin.encoders.modules import BertEncoder

    return BertEncoder(config, context)


@hookimpl
def bertmod_encoders() -> Iterator[EncoderSpec]:
    """Encoders: ``bert``."""
    yield EncoderSpec(
        name="bert",
        config=BertConfig,
        build=build_bert,
        complete=bert.complete,
        shape=bert.shape,
        names=names,
        initializer_range=bert.initializer_range,
        check=bert.check,
        may_state=bert.may_state,
        summary="BERT: post-LayerNorm transformer encoder with a tanh pooler, any size.",
        source="Devlin et al. 2018, arXiv:1810.04805; google-research/bert modeling.py",
    )
