"""From a model's name in the config to what the loaders of vLLM and transformers accept."""

from __future__ import annotations

from pathlib import Path

from curio_ray.errors import ConfigError

POCKET_PREFIX = "pocket:"


def locate_model(name: str) -> str:
    """The folder of a packaged or local model, or the name itself as a Hugging Face id.

    Raises:
        ConfigError: a pocket model that does not exist, or a folder without a `config.json`.
    """
    if name.startswith(POCKET_PREFIX):
        return str(pocket_model(name.removeprefix(POCKET_PREFIX)))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"{name}: the folder holds no config.json; write the folder of a model saved "
                "with save_pretrained"
            )
        return str(folder.resolve())
    if name.startswith(("/", "./", "../", "~")):
        raise ConfigError(
            f"{name}: there is no such folder; write an existing model folder, a Hugging Face id, "
            "pocket:policy, pocket:world or pocket:changing_world"
        )
    return name


def absolute_name(name: str) -> str:
    """The name as a process in any folder understands it: an existing folder's absolute path.

    Other names stay as they are.
    """
    folder = Path(name).expanduser()
    if name.startswith(POCKET_PREFIX) or not folder.is_dir():
        return name
    return str(folder.resolve())


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
    return Path(__file__).parent / "pocket" / "assets"
