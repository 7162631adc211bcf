"""The checkpoint loaders that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import CheckpointWriter, EmptyConfig, LoaderSpec, hookimpl
from bertmod.builtin.loaders import (
    bert_n_pals,
    bertmod_folder,
    bertmod_writer,
    huggingface,
    huggingface_writer,
    pytorch_pretrained_bert,
    tensorflow,
    tensorflow_writer,
)

BERTMOD_CONTRACT = 1


@hookimpl
def bertmod_loaders() -> Iterator[LoaderSpec]:
    """Loaders: ``bertmod``, and one for each format of others."""
    yield LoaderSpec(
        name="bertmod",
        config=EmptyConfig,
        can_load=bertmod_folder.can_load,
        describe=bertmod_folder.describe,
        tensors=bertmod_folder.tensors,
        writer=CheckpointWriter("bertmod", bertmod_writer.write),
        summary="What bertmod's own runs leave behind: a run folder, or a model folder in it.",
    )
    yield LoaderSpec(
        name="huggingface",
        config=EmptyConfig,
        can_load=huggingface.can_load,
        describe=huggingface.describe,
        tensors=huggingface.tensors,
        writer=CheckpointWriter("huggingface", huggingface_writer.write, library="transformers"),
        summary="A folder with config.json and model.safetensors or pytorch_model.bin; hf:NAME.",
        source="huggingface/transformers",
    )
    yield LoaderSpec(
        name="pytorch_pretrained_bert",
        config=EmptyConfig,
        can_load=pytorch_pretrained_bert.can_load,
        describe=pytorch_pretrained_bert.describe,
        tensors=pytorch_pretrained_bert.tensors,
        summary="bert_config.json beside pytorch_model.bin: the folder, the .bin, or a .tar.gz.",
        source="huggingface/pytorch-pretrained-BERT pytorch_pretrained_bert/modeling.py",
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
    yield LoaderSpec(
        name="tensorflow",
        config=EmptyConfig,
        can_load=tensorflow.can_load,
        describe=tensorflow.describe,
        tensors=tensorflow.tensors,
        writer=CheckpointWriter("tensorflow", tensorflow_writer.write),
        summary="Google's bert_model.ckpt and bert_config.json: prefix, folder or zip; SavedModel.",
        source="google-research/bert run_classifier.py, modeling.py",
    )
