"""The rows of a user's data file: JSON, JSON Lines or Parquet, also compressed with gzip."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curio_ray.config.text_files import decode_text, read_bytes
from curio_ray.errors import ConfigError

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_WANTED = "a file of the dataset, in JSON, JSON Lines or Parquet"


def read_rows(path: Path) -> list[Any]:
    """All rows of a file: the elements of its list, its lines, or its records.

    A mapping that stands alone is the only row.

    Raises:
        ConfigError: the file is missing, damaged or empty, or is of another format; the message
            names it.
    """
    data = read_bytes(path, _WANTED)
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(f"{path}: is damaged gzip ({error}); fetch the file again") from error
    if data.startswith(_PARQUET):
        rows = _parquet_rows(data, path)
    else:
        rows = _json_rows(decode_text(data, str(path), _WANTED), path)
    if not rows:
        raise ConfigError(f"{path}: holds no conversation; name {_WANTED}")
    return rows


def shape_of(row: Any) -> str | None:
    """Which well-known dataset's shape a row has, or None."""
    if isinstance(row, list):
        return "a bare list of messages" if row and isinstance(row[0], dict) else None
    if not isinstance(row, Mapping):
        return None
    turns = row.get("conversations")
    if isinstance(turns, list):
        first = turns[0] if turns and isinstance(turns[0], Mapping) else {}
        return "a chat in OpenAI's form" if "content" in first else "ShareGPT"
    return next((name for keys, name in _SHAPES if all(each in row for each in keys)), None)


_SHAPES = (
    (("messages",), "a chat in OpenAI's form"),
    (("preference", "conversation"), "PrefEval"),
    (("preference", "question"), "PrefEval"),
    (("chosen", "rejected"), "a pair of preferences"),
    (("instruction", "output"), "Alpaca"),
    (("instruction", "response"), "an instruction with its response"),
    (("prompt", "completion"), "a prompt with its completion"),
    (("mapping", "current_node"), "an export of ChatGPT"),
    (("role", "content"), "a single message"),
    (("from", "value"), "a single message of ShareGPT"),
    (("dialog",), "a dialogue of another dataset"),
    (("utterances",), "a dialogue of another dataset"),
    (("turns",), "a dialogue of another dataset"),
    (("text",), "plain text"),
)


def _parquet_rows(data: bytes, path: Path) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Any] = pq.read_table(io.BytesIO(data)).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: is damaged Parquet ({error}); fetch the file again") from error
    return rows


def _json_rows(text: str, path: Path) -> list[Any]:
    if not text.strip():
        raise ConfigError(f"{path}: is empty; name {_WANTED}")
    if text.startswith("version https://git-lfs."):
        raise ConfigError(
            f"{path}: is a pointer of Git LFS, not the file; call 'git lfs pull' where it is from"
        )
    if text.lstrip().startswith("<"):
        raise ConfigError(f"{path}: is a web page or XML, not data; fetch the file itself")
    values = _json_values(text, path)
    if len(values) == 1 and isinstance(values[0], list):
        return values[0]
    alone = values[0] if len(values) == 1 else None
    if isinstance(alone, Mapping) and "background_info" not in alone and not shape_of(alone):
        keys = ", ".join(alone) or "nothing"
        raise ConfigError(
            f"{path}: holds a mapping of {keys}, not a list of conversations; name {_WANTED}"
        )
    if all(isinstance(value, Mapping) for value in values):
        return values
    raise ConfigError(
        f"{path}: holds {json.dumps(values[0])[:40]}, not conversations; name {_WANTED}"
    )


def _json_values(text: str, path: Path) -> list[Any]:
    """The one value of a JSON file, or those of JSON Lines."""
    decoder, values, position = json.JSONDecoder(), [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except RecursionError as error:
            raise ConfigError(f"{path}: is nested too deeply; name {_WANTED}") from error
        except json.JSONDecodeError as error:
            if not text[error.pos :].strip():
                raise ConfigError(
                    f"{path}: line {error.lineno}: not valid JSON: it is cut off ({error.msg}); "
                    "fetch the file again"
                ) from error
            raise ConfigError(
                f"{path}: line {error.lineno}: not valid JSON ({error.msg} at "
                f"{text[error.pos : error.pos + 20]!r}); mend it, or name {_WANTED}"
            ) from error
        except ValueError as error:
            raise ConfigError(f"{path}: not valid JSON ({error}); name {_WANTED}") from error
        values.append(value)
    return values
