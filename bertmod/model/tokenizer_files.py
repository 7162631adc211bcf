"""A tokenizer's files as the libraries ``tokenizers`` and ``transformers`` read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bertmod.contracts.checkpoint import Slot
from bertmod.errors import CheckpointError

PIPELINE = "tokenizer.json"
OPTIONS = "tokenizer_config.json"

OWN_KEY = "bertmod"
"""Key of what bertmod writes into the configuration beside what transformers knows."""

SPECIAL = {
    "[PAD]": "pad_token",
    "[UNK]": "unk_token",
    "[CLS]": "cls_token",
    "[SEP]": "sep_token",
    "[MASK]": "mask_token",
}
"""Special token to what transformers calls it."""


def tokenizer_files(
    tokenizer: Slot, files: Mapping[str, bytes], *, pipeline: str, max_length: int
) -> dict[str, bytes]:
    """Name to content of the tokenizer's own files, its pipeline and its configuration.

    Args:
        tokenizer: Its slot, every option stated.
        files: Name to content of its own files.
        pipeline: The tokenizer for the ``tokenizers`` library, as ``TokenizerSpec.pipeline``
            gives it; empty if it has none.
        max_length: Longest row, tokens.

    Raises:
        CheckpointError: If it has no pipeline.
    """
    if not pipeline:
        raise CheckpointError(
            f'the tokenizer "{tokenizer["name"]}" has no form that transformers reads'
        )
    return {
        **files,
        PIPELINE: _json(_pipeline(pipeline)),
        OPTIONS: _json(_options(tokenizer, pipeline, max_length)),
    }


def special_tokens(pipeline: str) -> dict[str, int]:
    """The special tokens that a pipeline's vocabulary has, and their indices."""
    vocab = json.loads(pipeline)["model"]["vocab"]
    return {token: vocab[token] for token in SPECIAL if token in vocab}


def _pipeline(text: str) -> dict[str, Any]:
    """The pipeline, with special tokens and the rows that they mark."""
    values: dict[str, Any] = json.loads(text)
    special = special_tokens(text)
    added = [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token, index in sorted(special.items(), key=lambda each: each[1])
    ]
    return values | {
        "added_tokens": added,
        "post_processor": _rows(special),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }


def _rows(special: Mapping[str, int]) -> dict[str, Any]:
    """``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]``."""

    def mark(token: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": segment}}

    def text(name: str, segment: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [mark("[CLS]", 0), text("A", 0), mark("[SEP]", 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), mark("[SEP]", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [special[token]], "tokens": [token]}
            for token in ("[CLS]", "[SEP]")
        },
    }


def _options(slot: Slot, pipeline: str, max_length: int) -> dict[str, Any]:
    return {
        # BertTokenizer would build a pipeline of its own in place of the one in the file
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "do_lower_case": slot.get("lower_case"),
        "strip_accents": None,
        "tokenize_chinese_chars": slot.get("split_cjk"),
        "clean_up_tokenization_spaces": True,
        **{SPECIAL[token]: token for token in special_tokens(pipeline)},
        OWN_KEY: {key: value for key, value in slot.items() if key not in ("name", "vocab")},
    }


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
