"""From a checkpoint to the config that serves its policy. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from curio_ray.config import RunConfig

TRAINER_FOLDER = "trainer"
POLICY_FOLDER = "policy"


def policy_folder(checkpoint: Path) -> Path:
    """Where a checkpoint holds the policy as a Hugging Face model."""
    return checkpoint / TRAINER_FOLDER / POLICY_FOLDER


def serving(config: RunConfig, policy: Path) -> RunConfig:
    """The config with the policy's server serving the weights in a folder."""
    name = config.roles.policy.server
    # absolute, since a server may run in another folder
    server = config.servers[name].model_copy(update={"model": str(policy.absolute())})
    return config.model_copy(update={"servers": {**config.servers, name: server}})
