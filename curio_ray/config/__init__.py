"""The typed config of a run. Nothing here starts a process or imports torch, Ray or vLLM."""

from curio_ray.config.loading import dump_config, load_config, parse_config, with_value
from curio_ray.config.run import RunConfig

__all__ = ["RunConfig", "dump_config", "load_config", "parse_config", "with_value"]
