"""Text that a user names is read in UTF-8; any other encoding and format is said by its name."""

import codecs
import gzip

import pytest

from curio_ray.config import load_config
from curio_ray.config.text_files import read_text
from curio_ray.errors import ConfigError

TEXT = "extends: pocket\n# für Jürgen\nseed: 3\n"
NAMED = {
    "latin-1": (TEXT.encode("latin-1"), r"line 2: is not UTF-8 \(byte 0xfc\); save it as UTF-8"),
    "windows-1252": ("# \u201cx\u201d\n".encode("cp1252"), r"line 1: is not UTF-8 \(byte 0x93\)"),
    "shift-jis": ("seed: 1\n# 日本\n".encode("shift-jis"), r"line 2: is not UTF-8"),
    "utf-16": (TEXT.encode("utf-16"), "is UTF-16, not UTF-8; save it as UTF-8"),
    "utf-16 big-endian": (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "is UTF-16, not UTF-8"),
    "utf-16 without a mark": ("seed: 3\n".encode("utf-16-le"), "is UTF-16 or no text, not UTF-8"),
    "utf-32": (TEXT.encode("utf-32"), "is UTF-32, not UTF-8"),
    "gzip": (gzip.compress(TEXT.encode()), "is a file compressed with gzip; name a YAML file"),
    "zip": (b"PK\x03\x04rest", "is a zip archive; name a YAML file"),
    "parquet": (b"PAR1rest", "is a Parquet file; name a YAML file"),
    "sqlite": (b"SQLite format 3\x00rest", "is a SQLite database"),
    "cut off within a character": (TEXT.encode()[:20], r"line 2: is not UTF-8 \(byte 0xc3\)"),
}


@pytest.mark.parametrize("case", NAMED)
def test_what_is_not_utf_8_is_named_with_what_to_do(case, tmp_path):
    data, message = NAMED[case]
    path = tmp_path / "run.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=rf"run\.yaml: {message}"):
        load_config(path)


@pytest.mark.parametrize("case", NAMED)
def test_a_config_that_is_extended_is_read_in_the_same_way(case, tmp_path):
    (tmp_path / "base.yaml").write_bytes(NAMED[case][0])
    (tmp_path / "run.yaml").write_text("extends: base.yaml\n")
    with pytest.raises(ConfigError, match=rf"base\.yaml: {NAMED[case][1]}"):
        load_config(tmp_path / "run.yaml")


def test_a_byte_order_mark_of_utf_8_is_left_out(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(TEXT.encode("utf-8-sig"))
    assert load_config(path).seed == 3


def test_lines_may_end_as_on_windows(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert load_config(path).seed == 3


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read .*; name a JSON file"):
        read_text(tmp_path, "a JSON file")
