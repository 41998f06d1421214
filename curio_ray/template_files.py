"""Chat templates as Jinja files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curio_ray.errors import ConfigError


def read_template(path: str, field: str) -> str:
    """The text of the template's file that the config's `field` names.

    Raises:
        ConfigError: there is no such file, or it is not text.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{field}: {path} cannot be read ({error}); write the path of a Jinja file, or "
            "leave it out to take the tokenizer's own"
        ) from error


def keep_template(folder: Path, template: str | None, values: Mapping[str, Any]) -> None:
    """Write the template that a model was trained with into the model's folder.

    Args:
        folder: with the model's tokenizer.
        template: path of the Jinja file that stood in for the tokenizer's own, or None.
        values: what it was given; they become its defaults.

    Raises:
        ConfigError: the file cannot be read.
    """
    if template is None and not values:
        return
    if template is not None:
        text = read_template(template, "chat_template")
    else:
        from transformers import AutoTokenizer

        text = AutoTokenizer.from_pretrained(folder).get_chat_template()
    (folder / "chat_template.jinja").write_text(with_defaults(text, values), encoding="utf-8")


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
