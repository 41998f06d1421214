"""The configs of the checkout's `configs/`, which the wheel packs, by name."""

from __future__ import annotations

from pathlib import Path

from curio_ray.errors import ConfigError

# A link to `configs/` in a checkout, a folder with its files in an installed wheel.
_FOLDER = Path(__file__).parents[1] / "packaged_configs"


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
