"""Configs by path, and those of the checkout's `configs/`, which the wheel packs, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from curio_ray.errors import ConfigError

# A link to `configs/` in a checkout, a folder with its files in an installed wheel.
_FOLDER = Path(__file__).parents[1] / "packaged_configs"


def find_config(name: str | Path, folder: Path = Path()) -> Path:
    """The YAML file that is meant by a path, or by the name of a packaged config.

    Args:
        name: a path relative to `folder`, or a bare name that no file has, such as `pocket`.
        folder: where relative paths begin.

    Raises:
        ConfigError: there is neither such a file nor such a packaged config.
    """
    path = folder / Path(name).expanduser()
    if path.exists() and not path.is_dir():
        return path
    if str(name) in packaged_names():
        return packaged_config(str(name))
    names = packaged_names()
    close = difflib.get_close_matches(path.stem, names, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    what = "is a folder" if path.is_dir() else "there is no such file"
    raise ConfigError(
        f"{name}: {what}; write the path of a YAML file, or a packaged config's name, one of: "
        f"{', '.join(names)}{guess}"
    )


def packaged_names() -> list[str]:
    """The names that `packaged_config` takes, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def packaged_config(name: str) -> Path:
    """The YAML file of a packaged config; a user's own copy is best made by `curio init`.

    Raises:
        ConfigError: no config of that name is packed.
    """
    names = packaged_names()
    if name not in names:
        raise ConfigError(f"{name}: there is no such packaged config; write {', '.join(names)}")
    return _FOLDER / f"{name}.yaml"
