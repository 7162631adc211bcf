"""Short ways to the objects that recipes describe, for Python code without a recipe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.encoder import Encoder, EncoderContext
from bertmod.contracts.head import Head, HeadContext, TaskInfo
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import ScoredFeatures
from bertmod.engine.tasks import TrainingTask
from bertmod.model.sites import adapter_context
from bertmod.nn.initialisation import initialise
from bertmod.plugins import SWITCH
from bertmod.registry import Registry, load_registry

Texts = Sequence[str] | Sequence[tuple[str, str]]


def installed() -> Registry:
    """What is installed and switched on, looked up once."""
    return _installed(os.environ.get(SWITCH))


@cache
def _installed(switch: str | None) -> Registry:
    del switch  # the key alone: the registry reads it itself
    return load_registry()


def build(kind: str, name: str, *context: Any, **options: Any) -> Any:
    """A component by kind and name, as a recipe would name it.

    Args:
        kind: Such as ``sampler``.
        name: Such as ``anneal``; ``provider/name`` if two plugins have it.
        context: What the kind's builder takes beside the options.
        options: The component's options.

    Raises:
        PluginError: If there is no such component.
        pydantic.ValidationError: If an option is unknown or wrong.
    """
    spec: Any = installed().get(kind, name).spec
    return spec.build(spec.config(**options), *context)


def build_encoder(name: str = "bert", **options: Any) -> Encoder:
    """A fresh encoder; seed torch first for the same values every time."""
    return cast(Encoder, build("encoder", name, EncoderContext(initialise), **options))


def build_adapter(
    encoder: Encoder,
    task: str,
    name: str,
    *,
    layers: Sequence[int] | None = None,
    **options: Any,
) -> Adapter:
    """A task's adapter for an encoder.

    Args:
        encoder: The encoder it will sit in.
        task: Id of its task.
        name: Such as ``pals``.
        layers: Layers from 0; None means all.
        options: The adapter's options.
    """
    chosen = range(encoder.shape.num_hidden_layers) if layers is None else layers
    context = adapter_context(encoder, task, layers=chosen, init=initialise)
    return cast(Adapter, build("adapter", name, context, **options))


def build_head(
    encoder: Encoder,
    task: str,
    name: str,
    *,
    labels: Sequence[str] | None = None,
    max_length: int | None = None,
    **options: Any,
) -> Head:
    """A task's head for an encoder.

    Args:
        encoder: The encoder it reads.
        task: Id of its task.
        name: Such as ``classification``.
        labels: Label names in the order of the logits; None for a head without classes.
        max_length: Longest row of the task, tokens, for a head that needs to know it.
        options: The head's options.
    """
    info = TaskInfo(labels=None if labels is None else tuple(labels))
    context = HeadContext(task, encoder.shape, info, initialise, max_length)
    return cast(Head, build("head", name, context, **options))


def text_features(
    tokenizer: Tokenizer, texts: Texts, labels: Sequence[int], *, max_length: int = 128
) -> FeatureTable:
    """Features of labelled texts or pairs of texts.

    Args:
        tokenizer: The encoder's tokenizer.
        texts: Texts, or pairs of texts.
        labels: Index of each text's label.
        max_length: Longest row, tokens.
    """
    pairs = [(text, None) if isinstance(text, str) else text for text in texts]
    first = tokenizer.texts([a for a, _ in pairs])
    paired = pairs and pairs[0][1] is not None
    second = tokenizer.texts([b or "" for _, b in pairs]) if paired else None
    rows = tokenizer.rows(first, second, max_length=max_length)
    return FeatureTable.from_rows(rows, {"labels": np.asarray(labels, dtype=np.int64)})


def text_task(task: str, train: FeatureTable, dev: FeatureTable) -> TrainingTask:
    """A classification task on features in memory, judged by its accuracy on ``dev``.

    Args:
        task: Id of the task.
        train: Training features with the target ``labels``.
        dev: Features to score, likewise.
    """
    labels = dev.targets["labels"].values
    usual = np.bincount(labels).max() / len(labels)

    def accuracy(decoded: Sequence[Any]) -> dict[str, float]:
        given = np.array([arrays["probabilities"].argmax() for arrays in decoded])
        return {"accuracy": float((given == labels).mean())}

    split = ScoredFeatures(dev, accuracy, {"accuracy": float(usual)})
    return TrainingTask(task, train, {"dev": split}, "dev/accuracy")
