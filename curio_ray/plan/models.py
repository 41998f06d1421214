"""Where a server's model lies and how large it is, without loading it."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from curio_ray.errors import ConfigError
from curio_ray.model_paths import locate_model
from curio_ray.plan.model_size import ModelSize, known_size, read_size, size_of

_HUB_TIMEOUT_S = 2.0


class Source(Enum):
    """Where a model is to be found."""

    FOLDER = "folder"
    CACHE = "Hugging Face cache"
    HUB = "to be downloaded"
    UNREACHABLE = "not here, hub unreachable"


@dataclass(frozen=True, slots=True)
class Model:
    """A model as found.

    `folder` is None where it is not on this machine, `size` where nobody here knows it.
    """

    name: str
    source: Source
    folder: Path | None
    size: ModelSize | None


def find_model(field: str, name: str) -> Model:
    """Find the model that the config's `field` names.

    The size of a model that is not on this machine is that of the list of known models, or what
    its config.json on the hub tells.

    Raises:
        ConfigError: the folder is missing or is not a model's, or the hub knows no such model.
    """
    try:
        located = locate_model(name)
    except ConfigError as error:
        raise ConfigError(f"{field}: {error}") from error
    if located != name or Path(located).is_dir():
        return Model(name, Source.FOLDER, Path(located), read_size(field, Path(located)))
    if name.count("/") > 1:
        raise ConfigError(
            f"{field}: there is no folder {name}; write an existing model folder, a Hugging Face "
            "id such as org/model, pocket:policy or pocket:world"
        )
    cached = _cached_folder(name)
    if cached is not None:
        return Model(name, Source.CACHE, cached, read_size(field, cached))
    source, size = _ask_hub(field, name)
    return Model(name, source, None, known_size(name) or size)


def _cached_folder(name: str) -> Path | None:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    snapshots = hub / f"models--{name.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def _ask_hub(field: str, name: str) -> tuple[Source, ModelSize | None]:
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return Source.UNREACHABLE, None
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    address = f"{hub}/{name}/resolve/main/config.json"
    try:
        with urllib.request.urlopen(address, timeout=_HUB_TIMEOUT_S) as answer:
            return Source.HUB, size_of(json.load(answer))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise ConfigError(
                f"{field}: there is no folder {name} and {hub} knows no such model; write an "
                "existing model folder, a Hugging Face id, pocket:policy or pocket:world"
            ) from error
        # the hub shows a gated model's files only to those who accepted its terms
        return Source.HUB, None
    except OSError:
        return Source.UNREACHABLE, None
    except (json.JSONDecodeError, KeyError):
        return Source.HUB, None
