"""What a model's folder tells before it is loaded: its architecture, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from curio_ray.architectures import (
    ALONE,
    REFUSED,
    REPEATED,
    architecture_of,
    learner_problem,
    weights_problem,
)
from curio_ray.config import RunConfig
from curio_ray.model_paths import POCKET_PREFIX
from curio_ray.model_weights import find_missing
from curio_ray.plan.models import Model


def model_problems(config: RunConfig, models: Mapping[str, Model]) -> Iterator[str]:
    """One line for each model that is on this machine and cannot be learned from or served.

    The packaged models are left out: looking at weights takes the import of transformers.
    """
    policy = config.roles.policy.server
    architecture = _architecture(models[policy])
    if architecture is not None:
        problem = learner_problem(architecture, config.learner.tokens_per_pack) or weights_problem(
            architecture, config.weights.backend
        )
        if problem is not None:
            yield f"servers.{policy}.model: {problem}"
            return
    for name, model in models.items():
        if model.folder is None or model.name.startswith(POCKET_PREFIX):
            continue
        try:
            problem = find_missing(model.folder)
        except ValueError as error:
            # what transformers does not know, vLLM may still serve
            problem = f"transformers cannot make it: {error}" if name == policy else None
        if problem is not None:
            yield f"servers.{name}.model: {model.name}: {problem}"


def model_warnings(config: RunConfig, models: Mapping[str, Model]) -> Iterator[str]:
    """A policy of an architecture that nobody has tried."""
    policy = config.roles.policy.server
    architecture = _architecture(models[policy])
    if architecture is not None and architecture not in REPEATED | ALONE | REFUSED.keys():
        yield (
            f"servers.{policy}.model: {architecture} is not among the architectures that were "
            "tried; the learner compares it with transformers when it has loaded it"
        )


def _architecture(model: Model) -> str | None:
    if model.folder is None:
        return None
    return architecture_of(json.loads((model.folder / "config.json").read_text()))
