"""Names and shapes in the ``.index`` file of a TensorFlow checkpoint, read without TensorFlow.

The file is a sorted table, as LevelDB keeps them: blocks of keys that leave out what they share
with the key before, each block with a checksum. Values are protocol buffers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertmod import CheckpointError

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER_BYTES = 48
TRAILER_BYTES = 5
POLYNOMIAL = 0x82F63B78
"""Of CRC-32C, its bits reversed."""

HEADER = b""
"""Key of the value that says how many shards there are; all others are tensors."""

SHAPE, SHARD, OFFSET, SIZE, SLICES = 2, 3, 4, 5, 7
"""Numbers of the fields of a tensor's entry."""

SLICE = b"\0"
"""What the keys of a partitioned tensor's slices begin with; the whole has a key beside."""


@dataclass(frozen=True)
class Index:
    """What an index file says of its tensors.

    Attributes:
        shapes: Name to shape.
        shards: Number of shard to the bytes that its file must have at least.
        num_shards: How many files of data were written.
    """

    shapes: Mapping[str, tuple[int, ...]]
    shards: Mapping[int, int]
    num_shards: int

    def file(self, prefix: Path, shard: int) -> Path:
        """The file of a shard."""
        return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{self.num_shards:05d}")


def is_table(path: Path) -> bool:
    """Whether a file ends as such tables end."""
    try:
        with path.open("rb") as stream:
            stream.seek(-len(MAGIC), 2)
            return stream.read() == MAGIC
    except OSError:
        return False


def read_index(path: Path) -> Index:
    """What an index file says.

    Args:
        path: The ``.index`` file.

    Raises:
        CheckpointError: If it cannot be read, or is damaged.

    Source: tensorflow/tensorflow tensorflow/core/protobuf/tensor_bundle.proto.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _index(dict(_table(content)))
    except (ValueError, IndexError) as error:
        raise CheckpointError(
            f"{path}: damaged or cut off: {error}\n  copy the file again"
        ) from error


def _index(table: Mapping[bytes, bytes]) -> Index:
    shapes: dict[str, tuple[int, ...]] = {}
    shards: dict[int, int] = {}
    for key, value in table.items():
        if key == HEADER:
            continue
        entry = _Message(value)
        if not entry.parts(SLICES):  # a partitioned tensor has no data but its slices'
            shard, end = entry.number(SHARD), entry.number(OFFSET) + entry.number(SIZE)
            shards[shard] = max(end, shards.get(shard, 0))
        if not key.startswith(SLICE):
            sides = (
                _Message(side) for part in entry.parts(SHAPE) for side in _Message(part).parts(2)
            )
            shapes[key.decode()] = tuple(side.number(1) for side in sides)
    if HEADER not in table:
        raise ValueError("it does not say how many shards there are")
    return Index(shapes, shards, _Message(table[HEADER]).number(1))


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values, in the order of the keys."""
    if len(content) < FOOTER_BYTES or not content.endswith(MAGIC):
        raise ValueError("it does not end as an index does")
    footer = content[-FOOTER_BYTES:]
    _, place = _handle(footer, 0)  # of an index of indices, which is empty
    root, _ = _handle(footer, place)
    for _, value in _entries(_block(content, root)):
        yield from _entries(_block(content, _handle(value, 0)[0]))


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and length of a block, and where reading goes on."""
    offset, place = _varint(data, place)
    length, place = _varint(data, place)
    return (offset, length), place


def _block(content: bytes, handle: tuple[int, int]) -> bytes:
    """A block whose checksum is right."""
    offset, length = handle
    whole = content[offset : offset + length + TRAILER_BYTES]
    if len(whole) < length + TRAILER_BYTES:
        raise ValueError("a block lies beyond its end")
    if int.from_bytes(whole[-4:], "little") != _masked(_crc32c(whole[:-4])):
        raise ValueError("the checksum of a block is wrong")
    if whole[length]:
        raise ValueError("a block is compressed, which no index is")
    return whole[:length]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; its end lists places to start from, which nobody needs here."""
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        fresh, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + fresh]
        place += fresh + length
        yield key, block[place - length : place]


class _Message:
    """The fields of a protocol buffer by their numbers."""

    def __init__(self, data: bytes) -> None:
        self._numbers: dict[int, int] = {}
        self._parts: dict[int, list[bytes]] = {}
        place = 0
        while place < len(data):
            tag, place = _varint(data, place)
            field, kind = tag >> 3, tag & 7
            if kind == 0:
                self._numbers[field], place = _varint(data, place)
                continue
            length, place = (8, place) if kind == 1 else (4, place)
            if kind == 2:
                length, place = _varint(data, place)
                self._parts.setdefault(field, []).append(data[place : place + length])
            elif kind not in (1, 5):
                raise ValueError("a value is no protocol buffer")
            place += length

    def number(self, field: int) -> int:
        """A whole number; 0 where the field is left out."""
        return self._numbers.get(field, 0)

    def parts(self, field: int) -> list[bytes]:
        """Every value of a field that is a text or another message."""
        return self._parts.get(field, [])


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A whole number in groups of seven bits, and where reading goes on."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


CRC_TABLE = _crc_table()


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _masked(crc: int) -> int:
    """A checksum as it is stored: turned by 15 bits, and a constant added."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
