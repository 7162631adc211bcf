"""Checkpoints as Google's TensorFlow programs read them, written by TensorFlow itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod import CheckpointContent, CheckpointError
from bertmod.builtin.loaders.tensorflow_config import written_config
from bertmod.builtin.loaders.tensorflow_tensors import load_tensorflow, require_tensorflow

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "bert_model.ckpt"
SCOPE = "bert/"
"""What stands before the encoder's names; heads have nothing before theirs."""

USE = f"""\
Google's programs take it with these options:

```text
--init_checkpoint={{folder}}/{PREFIX}
--bert_config_file={{folder}}/bert_config.json
--vocab_file={{folder}}/vocab.txt
--do_lower_case={{lower_case}}
```"""

POOLER = "pooler/dense/kernel"
WITHOUT_POOLER = {"span", "masked_lm"}
"""Heads that read tokens; for any other use the encoder needs its pooler."""


def write(content: CheckpointContent, folder: Path) -> str:
    """Fill a folder with a checkpoint that Google's programs take as ``--init_checkpoint``.

    Args:
        content: What to write.
        folder: An empty folder.

    Returns:
        How Google's programs take it, Markdown.

    Raises:
        CheckpointError: If the format cannot hold the content, or if TensorFlow is not installed.
        OSError: If the disk is full or the folder cannot be written.
    """
    need = "writing a TensorFlow checkpoint"
    require_tensorflow(need)
    _refuse(content)
    variables = _variables(content)
    config, vocab = written_config(content), content.files[content.tokenizer["vocab"]]
    (folder / "bert_config.json").write_text(config, encoding="utf-8")
    (folder / "vocab.txt").write_bytes(vocab)
    _save(variables, folder / PREFIX, tensorflow=load_tensorflow(need))
    return USE.replace("{lower_case}", str(bool(content.tokenizer.get("lower_case"))).lower())


def _refuse(content: CheckpointContent) -> None:
    """Raise for adapters, for an encoder or tokenizer that is not BERT's, and for half of one."""
    for task, adapters in content.adapters.items():
        for adapter in adapters:
            raise CheckpointError(
                f'the tensorflow format cannot hold adapters, but "{task}" has {adapter["name"]}\n'
                "  take them into the encoder's weights, where that can be done: --merge"
            )
    for kind, slot, name in (
        ("encoders", content.encoder, "bert"),
        ("tokenizers", content.tokenizer, "wordpiece"),
    ):
        if slot["name"].removeprefix("bertmod/") != name:
            raise CheckpointError(
                f"the tensorflow format cannot hold {kind} but {name}, and this is {slot['name']}"
            )
    kinds = {slot["name"].removeprefix("bertmod/") for slot in content.heads.values()}
    if POOLER not in content.tensors["encoder"] and (not kinds or kinds - WITHOUT_POOLER):
        raise CheckpointError(
            "the encoder has no pooler, and Google's programs would put random values in its place"
        )


def _variables(content: CheckpointContent) -> dict[str, Tensor]:
    """Every tensor by the name that Google's programs look for."""
    variables = {f"{SCOPE}{name}": value for name, value in content.tensors["encoder"].items()}
    owners: dict[str, str] = {}
    for task, slot in content.heads.items():
        own: Mapping[str, Tensor] = content.tensors.get(f"heads.{task}", {})
        if not own:
            raise CheckpointError(
                f'the tensorflow format has no names for the {slot["name"]} of "{task}"\n'
                "  choose other tasks with --task, or leave heads out with --encoder-only"
            )
        for name, value in own.items():
            if name in owners:
                raise CheckpointError(
                    f'the tensorflow format holds one "{name}", but "{owners[name]}" and "{task}" '
                    "both have one\n  choose one with --task"
                )
            owners[name], variables[name] = task, value
    return variables


def _save(variables: Mapping[str, Tensor], prefix: Path, *, tensorflow: Any) -> None:
    """Write the ``.index`` and the ``.data`` file; a session without GPUs leaves theirs alone."""
    v1, names = tensorflow.compat.v1, sorted(variables)
    arrays = {name: variables[name].numpy() for name in names}
    try:
        with tensorflow.Graph().as_default():
            places = [v1.placeholder(array.dtype, array.shape) for array in arrays.values()]
            save = tensorflow.raw_ops.SaveV2(
                prefix=str(prefix),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=places,
            )
            with v1.Session(config=v1.ConfigProto(device_count={"GPU": 0})) as session:
                session.run(save, dict(zip(places, arrays.values(), strict=True)))
    except tensorflow.errors.OpError as error:
        # of a whole traceback, the system's own words behind the name of a file
        reason = re.search(r"; ([^;\n]+)$", error.message, re.MULTILINE)
        raise OSError(reason[1] if reason else error.message) from error
