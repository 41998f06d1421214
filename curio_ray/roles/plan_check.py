"""What of the roles' templates and labels cannot work, before anything is started."""

from __future__ import annotations

from curio_ray.config import RunConfig
from curio_ray.config.servers import ServerConfig
from curio_ray.errors import ConfigError
from curio_ray.heavy_imports import import_transformers_without_torch
from curio_ray.plan.models import Source
from curio_ray.plan.plan import Plan
from curio_ray.roles.chat import format_loader
from curio_ray.roles.verification import RoleCheck, evaluation_checks, problems_of, role_checks

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


def check_role_models(plan: Plan) -> None:
    """Verify every role whose model's tokenizer is on this machine.

    Raises:
        ConfigError: one line per problem, each naming the role and the server.
    """
    import_transformers_without_torch()
    config = _with_cached_folders(plan)
    here = {name for name in config.servers if _is_here(plan, name)}
    load = format_loader(config.servers, config.template_clock)
    checks: list[RoleCheck] = [
        *role_checks(config, plan.task, load),
        *evaluation_checks(config, plan.task, load),
    ]
    if problems := problems_of(each for each in checks if here.issuperset(each.servers)):
        raise ConfigError("the run cannot work:\n  " + "\n  ".join(problems))


def _is_here(plan: Plan, name: str) -> bool:
    folder = plan.tokenizer_folder(name)
    return folder is not None and any((folder / file).is_file() for file in _TOKENIZER_FILES)


def _with_cached_folders(plan: Plan) -> RunConfig:
    """The config with the folders of cached models, so that no hub is asked about them."""
    servers = dict(plan.config.servers)
    for name, found in {**plan.models, **plan.tokenizers}.items():
        if found.source is Source.CACHE:
            field = "model" if isinstance(servers[name], ServerConfig) else "tokenizer"
            servers[name] = servers[name].model_copy(update={field: str(found.folder)})
    return plan.config.model_copy(update={"servers": servers})
