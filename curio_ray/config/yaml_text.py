"""YAML read strictly: every error has its line, and what may be read in two ways is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from curio_ray.config.text_files import read_text
from curio_ray.errors import ConfigError


class Empty:
    """A key with nothing after its colon, as against a written `null`."""


EMPTY = Empty()


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; keys with nothing after their colon hold `EMPTY`.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or holds something else.
    """
    values = parse_yaml(read_text(path, "a YAML file"), str(path))
    if not isinstance(values, dict):
        found = "is empty; it" if values is None or values is EMPTY else ""
        raise ConfigError(
            f"{path}: {found} must hold a mapping of sections, such as 'task:' and 'servers:'"
        )
    return values


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text holds.

    Raises:
        ConfigError: it is not YAML, or a part of it may be read in two ways; the message has the
            line.
    """
    documents = parse_documents(text, source, most=1)
    return documents[0] if documents else None


def parse_documents(text: str, source: str, most: int | None = None) -> list[Any]:
    """The values of all documents in a YAML text; errors are those of `parse_yaml`.

    Args:
        text: with a line `---` between two documents.
        source: where it is from, for errors.
        most: how many documents there may be.
    """
    try:
        documents = list(yaml.load_all(text, _StrictLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = "" if mark is None else f" line {mark.line + 1}:"
        hint = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise ConfigError(f"{source}:{line} not valid YAML: {error.problem}{hint}") from error
    except yaml.reader.ReaderError as error:
        line = f" line {text.count(chr(10), 0, error.position) + 1}:"
        code = f"#x{ord(text[error.position]):04x}"
        raise ConfigError(
            f"{source}:{line} not valid YAML: the character {code} may not stand there; remove it"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{source}: not valid YAML: it is nested too deeply") from error
    if most is not None and len(documents) > most:
        raise ConfigError(
            f"{source}: not valid YAML: it holds {len(documents)} documents; remove the lines '---'"
        )
    return documents


def dump_yaml(value: Any, **options: Any) -> str:
    """A value as YAML that `parse_yaml` reads as the same value; options are those of PyYAML."""
    text: str = yaml.dump(value, Dumper=_Dumper, **options)
    return text


def without_empty(value: Any) -> Any:
    """The same value with None in place of every `EMPTY`."""
    if isinstance(value, dict):
        return {key: without_empty(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_empty(each) for each in value]
    return None if value is EMPTY else value


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses what stands twice, within itself, or for two values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[str | None] = []

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            problem = f"'*{event.anchor}' stands within itself; write its values out"
            mark: Any = event.start_mark
            raise yaml.composer.ComposerError(None, None, problem, mark)
        self._open.append(None if isinstance(event, yaml.AliasEvent) else event.anchor)
        node = super().compose_node(parent, index)
        self._open.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = (key.tag, key.value)
            if name in seen:
                problem = f"'{key.value}' stands here and in line {seen[name]}; write it once"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            seen[name] = key.start_mark.line + 1
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, OverflowError, AttributeError) as error:
            problem = f"{node.value!r} is no {node.tag.rpartition(':')[2]} ({error})"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def _construct_null(loader: _StrictLoader, node: yaml.ScalarNode) -> Empty | None:
    loader.construct_scalar(node)
    return None if node.value else EMPTY


def _construct_bool(loader: _StrictLoader, node: yaml.ScalarNode) -> bool:
    value = loader.construct_yaml_bool(node)
    if node.value.lower() not in ("true", "false"):
        _refuse(node, f"may be a word or {str(value).lower()}; write {str(value).lower()}")
    return value


def _construct_int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    if ":" in node.value:
        _refuse(node, "may be a time or a number to base 60; write the number")
    if re.fullmatch(r"[-+]?0[0-9_]+", node.value):
        _refuse(node, "may be a number to base 8 or 10; leave out the 0 at its start")
    value: int = loader.construct_yaml_int(node)
    return value


def _construct_float(loader: _StrictLoader, node: yaml.ScalarNode) -> float:
    if ":" in node.value:
        _refuse(node, "may be a time or a number to base 60; write the number")
    value: float = loader.construct_yaml_float(node)
    return value


def _construct_date(loader: _StrictLoader, node: yaml.ScalarNode) -> None:
    _refuse(node, "may be a date or a word; a config holds no dates")


def _refuse(node: yaml.ScalarNode, problem: str) -> None:
    text = f"{node.value} {problem}, or put it in quotes: '{node.value}'"
    raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that `_StrictLoader` would not read as text."""


# YAML 1.1, which PyYAML reads, wants a point in a number with an exponent
_NUMBER = (
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
for _class in (_StrictLoader, _Dumper):
    _class.add_implicit_resolver(*_NUMBER)
for _tag, _construct in {
    "null": _construct_null,
    "bool": _construct_bool,
    "int": _construct_int,
    "float": _construct_float,
    "timestamp": _construct_date,
}.items():
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct)
