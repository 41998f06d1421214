"""Whether a plan can work on a machine; what cannot is named by its field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from curio_ray.config.learner import LoraConfig
from curio_ray.config.losses import CustomLossConfig
from curio_ray.errors import ConfigError
from curio_ray.heavy_imports import NEEDS_GPUS, vllm_needs_gpus
from curio_ray.placement.layout import DRIVER_CPUS, bundles, make_layout
from curio_ray.placement.nodes import Node, advise, unplaced_groups
from curio_ray.plan.machine import Machine
from curio_ray.plan.memory import GIB, MemoryPart
from curio_ray.plan.model_checks import model_problems
from curio_ray.plan.models import Model, Source
from curio_ray.plan.plan import ROLES, Plan
from curio_ray.plan.reader_checks import evaluation_problems, too_long, user_model_problems
from curio_ray.plan.task_rules import sample_turns
from curio_ray.plan.temporary_folder import temporary_folder_problems
from curio_ray.plugins import check_takes, load_function
from curio_ray.weights.sync import weight_sync_class

_NAMED_PARTS = 3


def check_plan(plan: Plan, machine: Machine) -> None:
    """Raise if the run cannot work.

    Memory and GPUs are compared with this machine only where the run starts its own Ray.

    Raises:
        ConfigError: one line per problem, each naming a field and what to write.
    """
    user_model = plan.config.roles.user_model
    problems = [
        *model_problems(plan.config, plan.models),
        *_rule_problems(plan),
        *_quality_problems(plan),
        *_loss_problems(plan),
        *_context_problems(plan),
        *_cache_problems(plan),
        *user_model_problems(plan, "roles.user_model", user_model, user_model.others),
        *evaluation_problems(plan),
        *adapter_problems(plan.config.learner.lora, plan.models[plan.config.roles.policy.server]),
        *_weight_problems(plan),
    ]
    if plan.config.cluster.address is None:
        problems += [
            *temporary_folder_problems(),
            *_cpu_problems(plan, machine),
            *_build_problems(plan),
            *_gpu_problems(plan, machine),
            *_placement_problems(plan),
            *_memory_problems(plan, machine),
        ]
    if problems:
        raise ConfigError("the run cannot work:\n  " + "\n  ".join(problems))


def check_models_are_here(plan: Plan) -> None:
    """Raise if a model can be had neither from this machine nor from a hub.

    Raises:
        ConfigError: names every such server's model.
    """
    wanted = {f"servers.{name}.model": model for name, model in plan.models.items()}
    wanted |= {f"servers.{name}.tokenizer": model for name, model in plan.tokenizers.items()}
    problems = [
        f"{field}: there is no folder {model.name}, no such model in the Hugging Face "
        "cache, and no hub can be reached; write an existing model folder, pocket:policy or "
        "pocket:world"
        for field, model in wanted.items()
        if model.source is Source.UNREACHABLE
    ]
    if problems and plan.config.cluster.address is None:
        raise ConfigError("\n  ".join(problems))


def _rule_problems(plan: Plan) -> Iterator[str]:
    by_rule = plan.config.rewards.task.source == "rule"
    if by_rule and plan.task.rule_score(plan.task.users("train")[0], sample_turns()) is None:
        yield (
            f"rewards.task.source: the task '{plan.config.task.name}' has no rule; "
            "write reward_model"
        )


def _quality_problems(plan: Plan) -> Iterator[str]:
    known = plan.task.quality_prompts()
    for name in plan.config.rewards.quality:
        if name not in known:
            has = f"write one of: {', '.join(known)}" if known else "it has none; leave it out"
            yield (
                f"rewards.quality.{name}: the task '{plan.config.task.name}' has no such quality "
                f"term; {has}"
            )


def _loss_problems(plan: Plan) -> Iterator[str]:
    loss = plan.config.learner.loss
    if isinstance(loss, CustomLossConfig):
        try:
            function = load_function(loss.function, "learner.loss.function")
            check_takes(function, 2, loss.options, "learner.loss.options")
        except ConfigError as error:
            yield str(error)


def _context_problems(plan: Plan) -> Iterator[str]:
    for name, model in plan.models.items():
        longest = plan.config.own_servers[name].max_model_len
        if model.size is not None and model.size.context and longest > model.size.context:
            yield (
                f"servers.{name}.max_model_len: {model.name} reads at most {model.size.context} "
                f"tokens; write {model.size.context} or less, not {longest}"
            )
    for role in ROLES:
        server = getattr(plan.config.roles, role).server
        context = plan.contexts[role]
        # an estimate counts rather too many tokens, so it stops no run
        if not context.estimated:
            reader = role.replace("_", " ")
            yield from too_long(plan, server, reader, context.tokens, context.too_long)


def _cache_problems(plan: Plan) -> Iterator[str]:
    for name, model in plan.models.items():
        server = plan.config.own_servers[name]
        if model.size is None:
            continue
        one = server.max_model_len * model.size.key_value_bytes(server.dtype) / GIB
        if one > server.kv_cache_gib * server.tensor_parallel:
            yield (
                f"servers.{name}.kv_cache_gib: one sequence of max_model_len "
                f"{server.max_model_len} takes {one:.3g} GiB; write {one * 1.1:.2g} or more "
                f"instead of {server.kv_cache_gib:g}"
            )


def _weight_problems(plan: Plan) -> Iterator[str]:
    try:
        weight_sync_class(plan.config)
    except ConfigError as error:
        yield str(error)


def _cpu_problems(plan: Plan, machine: Machine) -> Iterator[str]:
    wanted = DRIVER_CPUS + sum(each.count * each.cpus for each in bundles(plan.config))
    offered = plan.config.cluster.cpus or machine.cores
    # Ray would leave the last actors waiting, without a word, until a deadline passes
    if wanted > offered:
        yield (
            f"cluster.cpus: the actors ask for {wanted:g} logical CPUs and Ray would offer "
            f"{offered}; write {math.ceil(wanted)}, or lower learner.threads, learner.ranks, "
            "servers.*.replicas or rollout.runners"
        )


def _build_problems(plan: Plan) -> Iterator[str]:
    if not vllm_needs_gpus():
        return
    for name, server in plan.config.own_servers.items():
        if server.gpus == 0:
            yield f"servers.{name}.gpus: 0 {NEEDS_GPUS}"


def _gpu_problems(plan: Plan, machine: Machine) -> Iterator[str]:
    if plan.gpus <= machine.gpus:
        return
    there = f"this machine has {machine.gpus or 'none'}"
    for name, server in plan.config.own_servers.items():
        if server.gpus:
            yield (
                f"servers.{name}.gpus: {server.replicas} x {server.gpus:g} GPUs are asked for and "
                f"{there}; write 0 to use the CPU, or name a cluster in cluster.address"
            )
    if plan.config.learner.gpus_per_rank:
        learner = plan.config.learner
        yield (
            f"learner.gpus_per_rank: {learner.ranks} x {learner.gpus_per_rank:g} GPUs are asked "
            f"for and {there}; write 0 to use the CPU, or name a cluster in cluster.address"
        )


def _placement_problems(plan: Plan) -> Iterator[str]:
    """What one node cannot give however large it is: labels, and places apart."""
    machine = [Node("this machine", math.inf, math.inf)]
    missing = unplaced_groups(make_layout(plan.config).groups, machine)
    for problem in advise(missing, machine):
        yield f"{problem}; or name a cluster in cluster.address"


def _memory_problems(plan: Plan, machine: Machine) -> Iterator[str]:
    excess = plan.memory_bytes - machine.available_bytes
    if excess <= 0:
        return
    yield (
        f"the run needs {plan.memory_bytes / GIB:.1f} GiB of memory and "
        f"{machine.available_bytes / GIB:.1f} GiB are available; its biggest parts:"
    )
    parts = [part for part in plan.memory if part.place == "memory" and _can_shrink(plan, part)]
    parts.sort(key=lambda part: part.bytes, reverse=True)
    for part in parts[:_NAMED_PARTS]:
        yield f"{part.field}: {part.bytes / GIB:.2f} GiB; {_advice(plan, part, excess)}"


def _can_shrink(plan: Plan, part: MemoryPart) -> bool:
    if part.field is None:
        return False
    counts = {
        f"servers.{name}.replicas": server.replicas
        for name, server in plan.config.own_servers.items()
    } | {"learner.ranks": plan.config.learner.ranks, "rollout.runners": plan.config.rollout.runners}
    return counts.get(part.field, 2) > 1


def _advice(plan: Plan, part: MemoryPart, excess: int) -> str:
    field = part.field or ""
    if field.endswith(".kv_cache_gib"):
        server = plan.config.own_servers[field.split(".")[1]]
        possible = server.kv_cache_gib - excess / GIB / server.replicas
        return f"write {possible:.2g} or less" if possible >= 0.01 else "write a smaller number"
    if field.endswith(".model"):
        return "write a smaller model, or a smaller dtype"
    if field == "learner.zero_stage":
        return "write a higher stage with more ranks, or train a smaller model"
    if field == "learner.max_update_kl":
        return "write null to keep no copy of weights and moments"
    if field == "learner.kl_coefficient":
        return "write 0 to keep no copy of the start policy"
    return "write a smaller number"


def adapter_problems(lora: LoraConfig | None, model: Model) -> Iterator[str]:
    """A line for each name in `learner.lora.targets` that a model on this machine lacks."""
    if lora is None or lora.targets == "all-linear" or model.folder is None:
        return
    layers = _matrix_names(model.folder)
    for target in lora.targets:
        if layers and target not in layers:
            yield (
                f"learner.lora.targets: {model.name} has no layer '{target}'; write all-linear or "
                f"some of: {', '.join(sorted(layers))}"
            )


def _matrix_names(folder: Path) -> set[str]:
    """The last names of all layers that hold a matrix, without embeddings and output head."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for key in file.keys():  # noqa: SIM118
                if key.endswith(".weight") and len(file.get_slice(key).get_shape()) == 2:
                    names.add(key.split(".")[-2])
    return names - {"embed_tokens", "lm_head"}
