"""Google's records for pre-training: TFRecord files, written and read with TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.data.durable import WRITING
from bertmod.errors import DataError

ROW_KEYS = ("input_ids", "input_mask", "segment_ids")
MASK_KEYS = ("masked_lm_positions", "masked_lm_ids")
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
WEIGHTS_KEY, LABEL_KEY = "masked_lm_weights", "next_sentence_labels"


def tensorflow(need: str) -> Any:
    """The library, without its messages.

    Args:
        need: What takes it, for the message.

    Raises:
        DataError: If it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import tensorflow
    except ImportError as error:
        raise DataError(
            f'{need} takes TensorFlow: {error}\n  pip install "bertmod[tensorflow]"'
        ) from error
    return tensorflow


def write_records(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    *,
    max_seq_length: int,
    max_predictions_per_seq: int,
) -> None:
    """Write instances as Google's ``create_pretraining_data.py`` does, padded with zeros.

    Args:
        path: The file; whole, or not there.
        arrays: A shard's arrays by name, masked, with next-sentence labels.
        max_seq_length: Length to which rows are padded, tokens.
        max_predictions_per_seq: Length to which masked positions are padded.

    Raises:
        DataError: If TensorFlow is not installed.
        OSError: If the file cannot be written.
    """
    tf = tensorflow(f"{path.name}: writing TFRecord files")
    aside = path.with_name(f"{WRITING}{path.name}")
    try:
        with tf.io.TFRecordWriter(str(aside)) as writer:
            for padded in _padded(arrays, max_seq_length, max_predictions_per_seq):
                writer.write(_example(tf, padded))
        with aside.open("rb") as file:
            os.fsync(file.fileno())
    except (tf.errors.OpError, OSError) as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise
        raise OSError(getattr(error, "message", str(error))) from error
    aside.rename(path)


def read_records(
    path: Path, *, max_seq_length: int, max_predictions_per_seq: int, vocab_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """The records of a file as arrays by Google's keys, padded as they are.

    Args:
        path: A TFRecord file.
        max_seq_length: Length that the rows must have.
        max_predictions_per_seq: Number of masked positions that they must have.
        vocab_size: Number of pieces; a higher index is of another vocabulary.

    Raises:
        DataError: If TensorFlow is not installed, the file is cut off, or a record is of another
            length or vocabulary.
    """
    tf = tensorflow(f"{path}: reading TFRecord files")
    wanted = {
        **dict.fromkeys(ROW_KEYS, max_seq_length),
        **dict.fromkeys((*MASK_KEYS, WEIGHTS_KEY), max_predictions_per_seq),
        LABEL_KEY: 1,
    }
    number = 0
    try:
        for number, text in enumerate(tf.data.TFRecordDataset(str(path)), 1):
            yield _checked(
                _parsed(tf, text.numpy()), wanted, f"{path}, record {number}", vocab_size
            )
    except (tf.errors.OpError, OSError) as error:
        raise _unreadable(f"{path}: cannot be read behind record {number}", error) from error


def _unreadable(what: str, error: Exception) -> DataError:
    said = getattr(error, "message", "") or str(error)
    return DataError(
        f"{what}: {said.splitlines()[0]}\n  the file is cut off or no TFRecord file; make it again"
    )


def record_lengths(path: Path) -> tuple[int, int]:
    """Tokens and masked positions of the first record of a file, as they are padded.

    Args:
        path: A TFRecord file.

    Raises:
        DataError: If TensorFlow is not installed, or there is no record of Google's.
    """
    tf = tensorflow(f"{path}: reading TFRecord files")
    try:
        text = next(iter(tf.data.TFRecordDataset(str(path)).take(1)), None)
        row = {} if text is None else _parsed(tf, text.numpy())
    except (tf.errors.OpError, OSError) as error:
        raise _unreadable(f"{path}: cannot be read", error) from error
    missing = [name for name in (*ROW_KEYS, *MASK_KEYS, WEIGHTS_KEY, LABEL_KEY) if name not in row]
    if missing:
        what = "no record in it" if text is None else f"its records lack {', '.join(missing)}"
        raise DataError(f"{path}: {what}\n  name what create_pretraining_data.py wrote")
    return len(row[ROW_KEYS[0]]), len(row[MASK_KEYS[0]])


def _padded(
    arrays: Mapping[str, np.ndarray], max_seq_length: int, max_predictions_per_seq: int
) -> Iterator[dict[str, np.ndarray]]:
    for number in range(len(arrays["bounds"]) - 1):
        start, end = arrays["bounds"][number : number + 2]
        first_mask, end_mask = arrays["masked_bounds"][number : number + 2]
        length, num_masks = int(end - start), int(end_mask - first_mask)
        row = {name: np.zeros(max_seq_length, np.int64) for name in ROW_KEYS}
        row["input_ids"][:length] = arrays["tokens"][start:end]
        row["input_mask"][:length] = 1
        row["segment_ids"][arrays["first_lengths"][number] : length] = 1
        row |= {name: np.zeros(max_predictions_per_seq, np.int64) for name in MASK_KEYS}
        row["masked_lm_positions"][:num_masks] = arrays["masked_positions"][first_mask:end_mask]
        row["masked_lm_ids"][:num_masks] = arrays["masked_labels"][first_mask:end_mask]
        row[WEIGHTS_KEY] = np.zeros(max_predictions_per_seq, np.float32)
        row[WEIGHTS_KEY][:num_masks] = 1
        row[LABEL_KEY] = arrays["next_sentence_labels"][number : number + 1].astype(np.int64)
        yield row


def _example(tf: Any, row: Mapping[str, np.ndarray]) -> bytes:
    features = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if name == WEIGHTS_KEY
        else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for name, values in row.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(example.SerializeToString(deterministic=True))


def _parsed(tf: Any, text: bytes) -> dict[str, np.ndarray]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        features = tf.train.Example.FromString(text).features.feature
    except DecodeError:
        raise OSError("a record that is no tf.train.Example") from None
    return {
        name: np.array(feature.float_list.value, np.float32)
        if name == WEIGHTS_KEY
        else np.array(feature.int64_list.value, np.int64)
        for name, feature in features.items()
    }


def _checked(
    row: dict[str, np.ndarray], wanted: Mapping[str, int], place: str, vocab_size: int
) -> dict[str, np.ndarray]:
    for name, length in wanted.items():
        found = len(row.get(name, ()))
        if found != length:
            raise DataError(
                f"{place}: {name} has {found} values, not {length}\n"
                "  read it with the lengths that it was made with"
            )
    highest = max(int(row["input_ids"].max()), int(row["masked_lm_ids"].max()))
    if highest >= vocab_size:
        raise DataError(
            f"{place}: piece {highest:,}, but the vocabulary has {vocab_size:,}\n"
            "  use the vocabulary that the records were made with"
        )
    return row
