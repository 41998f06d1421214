"""Text files that a user names: UTF-8 is read, with or without a mark, and all else is named."""

from __future__ import annotations

import codecs
from pathlib import Path

from curio_ray.errors import ConfigError

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_BINARY = (
    (b"\x1f\x8b", "a file compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with zstd"),
    (b"\xfd7zXZ\x00", "a file compressed with xz"),
    (b"BZh", "a file compressed with bzip2"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"%PDF-", "a PDF"),
)


def read_text(path: Path, name: str) -> str:
    """The text of a file in UTF-8; a byte order mark at its start is left out.

    Args:
        path: the file.
        name: what the user should name instead of a file that is none, such as "a YAML file".

    Raises:
        ConfigError: the file cannot be read, or is not text in UTF-8.
    """
    return decode_text(read_bytes(path, name), str(path), name)


def read_bytes(path: Path, name: str) -> bytes:
    """The bytes of a file; arguments and errors are those of `read_text`."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read ({reason}); name {name}") from error


def decode_text(data: bytes, source: str, name: str) -> str:
    """The text in bytes; `source` is where they are from, all else is as for `read_text`."""
    if binary := binary_format(data):
        raise ConfigError(f"{source}: is {binary}; name {name}")
    encoding = next((each for mark, each in _MARKS if data.startswith(mark)), None)
    # plain letters in UTF-16 are valid UTF-8, with a NUL beside each
    if encoding is None and b"\x00" in data:
        encoding = "UTF-16 or no text"
    if encoding is not None:
        raise ConfigError(f"{source}: is {encoding}, not UTF-8; save it as UTF-8, or name {name}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{source}: line {line}: is not UTF-8 (byte 0x{data[error.start]:02x}); save it as "
            f"UTF-8, or name {name}"
        ) from error


def binary_format(data: bytes) -> str | None:
    """What the first bytes of a file say that it is, or None where they say nothing."""
    return next((each for mark, each in _BINARY if data.startswith(mark)), None)
