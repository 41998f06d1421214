"""Chat templates as Jinja files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curio_ray.errors import ConfigError


def read_template(path: str) -> str:
    """The text of a template's file.

    Raises:
        ConfigError: there is no such file, or it is not text.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"chat_template: {path} cannot be read ({error}); write the path of a Jinja file, or "
            "leave it out to take the tokenizer's own"
        ) from error


def with_defaults(template: str, values: Mapping[str, Any]) -> str:
    """A template that takes these values where it is given none.

    Args:
        template: Jinja source.
        values: plain values as YAML knows them.
    """
    # each line is a block alone, whose line break Jinja drops, so that nothing is added to a chat
    lines = [
        f"{{% if {name} is not defined %}}{{% set {name} = {value!r} %}}{{% endif %}}\n"
        for name, value in values.items()
    ]
    return "".join([*lines, template])
