"""Where the packaged pocket models lie."""

from __future__ import annotations

from pathlib import Path

from curio_ray.errors import ConfigError

POCKET_MODELS = ("policy", "world", "changing_world")


def pocket_model(name: str) -> Path:
    """The folder of a packaged model, in the Hugging Face layout.

    Raises:
        ConfigError: there is no such model, or it is missing from the installation.
    """
    if name not in POCKET_MODELS:
        known = " or ".join(f"pocket:{model}" for model in POCKET_MODELS)
        raise ConfigError(f"pocket:{name}: there is no such packaged model; write {known}")
    folder = assets_folder() / name
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"pocket:{name}: {folder} holds no model; run "
            f"`curio pocket build --output {assets_folder()}`"
        )
    return folder


def assets_folder() -> Path:
    """The folder of the packaged models and their card."""
    return Path(__file__).parent / "assets"
