"""The checkpoint loaders that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import EmptyConfig, LoaderSpec, hookimpl
from bertmod.builtin.loaders import bert_n_pals, bertmod_folder, huggingface

BERTMOD_CONTRACT = 1


@hookimpl
def bertmod_loaders() -> Iterator[LoaderSpec]:
    """Loaders: ``bertmod``, ``huggingface`` and ``bert_n_pals``."""
    yield LoaderSpec(
        name="bertmod",
        config=EmptyConfig,
        can_load=bertmod_folder.can_load,
        describe=bertmod_folder.describe,
        tensors=bertmod_folder.tensors,
        summary="What bertmod's own runs leave behind: a run folder, or a model folder in it.",
    )
    yield LoaderSpec(
        name="huggingface",
        config=EmptyConfig,
        can_load=huggingface.can_load,
        describe=huggingface.describe,
        tensors=huggingface.tensors,
        summary="A folder with config.json, model.safetensors or pytorch_model.bin, vocab.txt.",
        source="huggingface/transformers; huggingface/pytorch-pretrained-BERT",
    )
    yield LoaderSpec(
        name="bert_n_pals",
        config=EmptyConfig,
        can_load=bert_n_pals.can_load,
        describe=bert_n_pals.describe,
        tensors=bert_n_pals.tensors,
        summary="A state dict of Bert-n-Pals with its configuration; state the tasks' order.",
        source="AsaCooperStickland/Bert-n-Pals modeling.py",
    )
