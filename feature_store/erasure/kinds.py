"""What kind of file something is, and its text: by its first bytes, not by its name alone."""

import gzip
from typing import Final, Literal

import pyarrow as pa

from nightrank.feature_store.contracts.storage import Location

Kind = Literal["parquet", "sqlite", "gzip", "zstd", "safetensors", "text", "binary"]
SQLITE: Final = b"SQLite format 3\0"
MAGIC: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"PAR1", "parquet"),
    (SQLITE, "sqlite"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
HEAD: Final = 1 << 16
LONGEST: Final = 100 << 20
"""A header is never longer, by the format."""
LENGTH: Final = 8
"""Bytes of a safetensors file that say how long its header is."""


def kind_of(place: Location) -> Kind:
    with place.open() as handle:
        head = handle.read(HEAD)
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if place.suffix == ".safetensors":
        return "safetensors"
    return "binary" if b"\0" in head else "text"


def text_of(place: Location, kind: Kind) -> bytes:
    """What is searched of a file that is no table: all of a text, unpacked; of tensors the header with their names."""
    if kind == "safetensors":
        with place.open() as handle:
            length = int.from_bytes(handle.read(LENGTH), "little")
            return handle.read(min(length, LONGEST))
    return unpacked(place.read_bytes(), kind)


def unpacked(data: bytes, kind: Kind) -> bytes:
    if kind == "gzip":
        return gzip.decompress(data)
    if kind == "zstd":
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return bytes(stream.read())
    return data


def packed(data: bytes, kind: Kind) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "zstd":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        return bytes(sink.getvalue())
    return data
